"""Faults: what an order may say, when one ends, whom it hits."""

import json
import random
from typing import Any

import pytest

from node.faults import MAX_ACTIVE, Faults, Verdict
from node.fields import BadField


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def faults(clock: Clock) -> Faults:
    return Faults(clock)


RNG = random.Random(1)


def test_without_faults_nothing_happens(faults: Faults) -> None:
    assert faults.draw(RNG) == Verdict()


def test_defaults(faults: Faults) -> None:
    fault = faults.add({"kind": "slow"})
    assert (fault.probability, fault.expires_s, fault.health) == (1.0, 60.0, False)
    assert (fault.add_ms, fault.factor) == (500, 1)
    assert faults.add({"kind": "slow", "factor": 10}).add_ms == 0
    assert faults.add({"kind": "error"}).status == 500


@pytest.mark.parametrize(
    ("kind", "health"), [("slow", False), ("error", False), ("hang", True), ("refuse", True), ("crash", True)]
)
def test_which_faults_hit_probes_by_default(faults: Faults, kind: str, health: bool) -> None:
    faults.add({"kind": kind})
    assert (faults.draw(RNG, health=True) != Verdict()) is health
    assert faults.draw(RNG) != Verdict()


@pytest.mark.parametrize("kind", ["slow", "error", "hang", "refuse", "crash"])
@pytest.mark.parametrize("health", [False, True])
def test_whom_it_hits_can_be_ordered(faults: Faults, kind: str, health: bool) -> None:
    faults.add({"kind": kind, "health": health})
    assert (faults.draw(RNG, health=True) != Verdict()) is health


def test_a_fault_expires_by_itself(faults: Faults, clock: Clock) -> None:
    faults.add({"kind": "refuse", "expires_s": 5})
    clock.now += 4.99
    assert faults.draw(RNG).refuse
    assert faults.view()[0]["left_s"] == pytest.approx(0.01)
    clock.now += 0.01
    assert not faults.draw(RNG).refuse
    assert faults.active() == []


def test_clear_ends_all_and_wakes_the_hanging(faults: Faults) -> None:
    hang = faults.add({"kind": "hang"})
    faults.add({"kind": "error"})
    assert faults.clear() == 2
    assert faults.active() == []
    assert hang.ended.is_set()
    faults.sit_out(hang)  # does not wait
    assert faults.clear() == 0


def test_an_expired_hang_is_not_waited_for(faults: Faults, clock: Clock) -> None:
    hang = faults.add({"kind": "hang", "expires_s": 1})
    clock.now += 2
    faults.sit_out(hang)
    assert not hang.ended.is_set()


def test_several_at_once(faults: Faults) -> None:
    faults.add({"kind": "slow", "add_ms": 100})
    faults.add({"kind": "slow", "factor": 3})
    faults.add({"kind": "slow", "factor": 2, "add_ms": 50})
    faults.add({"kind": "error", "status": 503})
    faults.add({"kind": "error", "status": 500})
    hang = faults.add({"kind": "hang"})
    verdict = faults.draw(RNG)
    assert (verdict.factor, verdict.add_ms, verdict.error, verdict.hangs) == (6, 150, 503, (hang,))
    assert not verdict.refuse


def test_probability(faults: Faults) -> None:
    fault = faults.add({"kind": "error", "probability": 0.25})
    rng = random.Random(5)
    hits = sum(faults.draw(rng).error is not None for _ in range(10_000))
    assert hits == pytest.approx(2500, abs=4 * 43)  # 4 standard deviations
    assert fault.hits == hits


def test_probability_zero_and_one(faults: Faults) -> None:
    faults.add({"kind": "refuse", "probability": 0})
    faults.add({"kind": "error", "probability": 1})
    verdicts = {faults.draw(RNG) for _ in range(1000)}
    assert verdicts == {Verdict(error=500)}


def test_a_seed_meets_the_same_fate(faults: Faults) -> None:
    faults.add({"kind": "error", "probability": 0.5})
    fates = [[faults.draw(random.Random(seed)).error for seed in range(50)] for _ in range(2)]
    assert fates[0] == fates[1]
    assert set(fates[0]) == {None, 500}


@pytest.mark.parametrize(
    ("order", "field", "rule"),
    [
        (None, "body", "a JSON object"),
        ([], "body", "a JSON object"),
        ({}, "kind", "one of slow, error, hang, refuse"),
        ({"kind": "slwo"}, "kind", "one of slow"),
        ({"kind": 3}, "kind", "one of slow"),
        ({"kind": "slow", "probability": 1.1}, "probability", "a number from 0 to 1"),
        ({"kind": "slow", "probability": -0.1}, "probability", "a number from 0 to 1"),
        ({"kind": "slow", "probability": True}, "probability", "a number from 0 to 1"),
        ({"kind": "slow", "probability": float("nan")}, "probability", "a number from 0 to 1"),
        ({"kind": "slow", "expires_s": 0}, "expires_s", "a number from 0.001 to 3600"),
        ({"kind": "slow", "expires_s": 3601}, "expires_s", "a number from 0.001 to 3600"),
        ({"kind": "slow", "add_ms": "x"}, "add_ms", "a number from 0 to 60000"),
        ({"kind": "slow", "factor": 0.5}, "factor", "a number from 1 to 1000"),
        ({"kind": "slow", "health": 1}, "health", "true or false"),
        ({"kind": "error", "status": 200}, "status", "a whole number from 400 to 599"),
        ({"kind": "error", "status": 500.5}, "status", "a whole number from 400 to 599"),
        ({"kind": "error", "status": None}, "status", "a whole number from 400 to 599"),
        ({"kind": "slow", "addms": 5}, "addms", "did you mean add_ms?"),
        ({"kind": "hang", "status": 500}, "status", "hang knows kind, probability, expires_s, health"),
    ],
)
def test_bad_orders_name_field_and_rule_and_leave_no_trace(faults: Faults, order: Any, field: str, rule: str) -> None:
    with pytest.raises(BadField) as caught:
        faults.add(order)
    assert caught.value.field == field
    assert rule in caught.value.rule
    assert field in str(caught.value)
    json.dumps(caught.value.value, allow_nan=False)  # it goes into the answer
    assert faults.active() == []


def test_there_is_a_most_of_active_faults(faults: Faults, clock: Clock) -> None:
    for _ in range(MAX_ACTIVE):
        faults.add({"kind": "slow", "expires_s": 10})
    with pytest.raises(BadField, match="fewer than 32"):
        faults.add({"kind": "slow"})
    clock.now += 10
    assert faults.add({"kind": "slow"}).id == MAX_ACTIVE + 1


def test_jitter_spreads_what_is_added_and_never_takes_time_away() -> None:
    faults = Faults(Clock())
    faults.add({"kind": "slow", "add_ms": 100, "jitter_ms": 150})
    added = [faults.draw(random.Random(i)).add_ms for i in range(200)]
    assert min(added) == 0
    assert 200 < max(added) <= 250


def test_a_crash_is_drawn_like_any_other_fault() -> None:
    faults = Faults(Clock())
    faults.add({"kind": "crash", "probability": 0.5})
    drawn = [faults.draw(random.Random(i)).crash for i in range(100)]
    assert 20 < sum(drawn) < 80
