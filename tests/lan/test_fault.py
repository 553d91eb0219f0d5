"""What a fault may be, the switch's rules for it, and what a cable does to frames: pure."""

import random

import pytest

from lab.lan.cable import Way
from lab.lan.cables import settings
from lab.lan.errors import LanError
from lab.lan.fault import DOES, MAY_SAY, Fault
from lab.lan.faults import KINDS
from lab.lan.switch import rules

PORTS = {"a": "port1", "b": "port2", "operator": "port0"}


def test_every_kind_is_described_checked_and_brought_about() -> None:
    assert set(DOES) == set(MAY_SAY) == set(KINDS)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"kind": "fire"}, "fault 'fire': there are partition, loss, delay"),
        ({"kind": "loss"}, "loss needs percent"),
        ({"kind": "loss", "percent": 101}, "percent 101: say 0.001 to 100"),
        ({"kind": "loss", "percent": float("nan")}, "percent nan: say 0.001 to 100"),
        ({"kind": "delay"}, "delay needs delay_ms"),
        ({"kind": "delay", "delay_ms": 5, "jitter_ms": 6}, "jitter_ms 6 is more than delay_ms 5"),
        ({"kind": "delay", "delay_ms": 5, "peer": "b"}, "delay knows no peer; it takes direction, delay_ms, jitter_ms"),
        ({"kind": "freeze", "percent": 5}, "freeze knows no percent; it takes nothing"),
        ({"kind": "freeze", "direction": "in"}, "freeze knows no direction"),
        ({"kind": "partition", "direction": "up"}, "direction 'up': say both, in, out"),
        ({"kind": "partition", "peer": "a"}, "peer a: a host has no cable to itself"),
        ({"kind": "bandwidth", "kbytes_s": 0}, "kbytes_s 0: say 1 to"),
    ],
)
def test_what_cannot_be_is_refused_with_the_rule(said: dict[str, object], complaint: str) -> None:
    with pytest.raises(LanError) as refused:
        Fault("a", **said)  # type: ignore[arg-type]
    assert str(refused.value).startswith(complaint)


def matches(text: str) -> list[str]:
    return [line for line in text.splitlines() if "drop" in line]


def test_a_partition_drops_what_comes_and_what_goes_by_either_end_of_the_cable() -> None:
    assert matches(rules([Fault("a", "partition")], PORTS)) == [
        'oifname { "port1", "cable1" } counter drop comment "partition all a"',
        'iifname { "port1", "cable1" } counter drop comment "partition a all"',
    ]


def test_one_way_between_two_hosts_is_one_rule() -> None:
    assert matches(rules([Fault("a", "partition", direction="in", peer="b")], PORTS)) == [
        'iifname { "port2", "cable2" } oifname { "port1", "cable1" } counter drop comment "partition b a"'
    ]


def test_loss_is_drawn_in_thousandths_of_a_percent() -> None:
    rule = matches(rules([Fault("a", "loss", direction="out", percent=0.25)], PORTS))[0]
    assert "numgen random mod 100000 < 250 counter drop" in rule


def test_no_fault_is_no_rule_and_a_delay_is_not_the_switchs() -> None:
    assert matches(rules([Fault("a", "delay", delay_ms=5), Fault("b", "freeze")], PORTS)) == []


def test_a_cable_is_as_slow_as_all_its_faults_say() -> None:
    faults = [Fault("a", "delay", delay_ms=40, jitter_ms=5), Fault("a", "bandwidth", direction="in", kbytes_s=500)]
    assert settings(faults, "a") == {
        "in": {"delay_ms": 40, "jitter_ms": 5, "kbytes_s": 500},
        "out": {"delay_ms": 40, "jitter_ms": 5},
    }
    assert settings(faults, "b") is None


def test_frames_travel_for_their_delay_and_stay_in_order() -> None:
    way, rng = Way(delay_ms=40, jitter_ms=30), random.Random(1)
    for number in range(100):
        way.send(bytes([number]), 0.001 * number, rng)
    assert way.due_at() is not None
    assert way.arrived(0.0099) == []
    got, ages = [], []
    for tick in range(2000):
        for frame in way.arrived(tick / 10000):
            got.append(frame[0])
            ages.append(tick / 10000 - 0.001 * frame[0])
    assert got == list(range(100))
    assert min(ages) >= 0.010
    assert 0.060 < max(ages) <= 0.0702
    assert way.due_at() is None


def test_a_narrow_cable_carries_its_rate_and_drops_what_its_queue_cannot_hold() -> None:
    way, rng = Way(kbytes_s=100), random.Random(1)
    for _ in range(100):
        way.send(bytes(1000), 0.0, rng)
    arrived_at = [tick / 1000 for tick in range(1000) for _ in way.arrived(tick / 1000)]
    assert len(arrived_at) == 24  # what fits: 16 full frames' worth, more than 0.2 s of 100 kB/s
    assert arrived_at[0] == pytest.approx(0.010, abs=0.001)
    assert arrived_at[-1] == pytest.approx(0.240, abs=0.0015)


def test_an_idle_cable_saves_nothing_up() -> None:
    way, rng = Way(kbytes_s=100), random.Random(1)
    way.send(bytes(1000), 0.0, rng)
    way.send(bytes(1000), 5.0, rng)
    assert [len(way.arrived(at)) for at in (0.0101, 5.0099, 5.0101)] == [1, 0, 1]
