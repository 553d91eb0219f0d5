"""Rise and fall: on results in a row, never on sums."""

from random import Random
from typing import cast

import pytest

from balancer.health import HISTORY, STARTING_PROBES, Prober, ProbeState
from balancer.stream import Waits
from balancer.upstream import NodePool
from cluster.config import Limits, ProbeSettings, Timeouts
from cluster.states import Health


def after(results: str, health: Health, rise: int = 2, fall: int = 3) -> Health:
    """Health after probes: `+` passed, `-` failed."""
    state = ProbeState(ProbeSettings(rise=rise, fall=fall), "/-/health")
    for at, result in enumerate(results):
        health = state.passed(health, 1.0, float(at)) if result == "+" else state.failed(health, "refused", float(at))
    return health


@pytest.mark.parametrize(
    ("results", "begin", "end"),
    [
        ("", Health.UNKNOWN, Health.UNKNOWN),
        ("+", Health.UNKNOWN, Health.UP),  # a node that nobody has asked yet is up at its first pass
        ("-", Health.UNKNOWN, Health.UNKNOWN),
        ("--", Health.UNKNOWN, Health.UNKNOWN),
        ("---", Health.UNKNOWN, Health.DOWN),
        ("--", Health.UP, Health.UP),
        ("---", Health.UP, Health.DOWN),
        ("--+--+--+--", Health.UP, Health.UP),
        ("+", Health.DOWN, Health.DOWN),
        ("++", Health.DOWN, Health.UP),
        ("+-+-+-+-", Health.DOWN, Health.DOWN),
        ("---++", Health.UP, Health.UP),
        ("---+", Health.UP, Health.DOWN),
    ],
)
def test_rise_2_fall_3(results: str, begin: Health, end: Health) -> None:
    assert after(results, begin) is end


@pytest.mark.parametrize("count", [1, 2, 5])
def test_exactly_rise_and_fall(count: int) -> None:
    assert after("-" * (count - 1), Health.UP, fall=count) is Health.UP
    assert after("-" * count, Health.UP, fall=count) is Health.DOWN
    assert after("+" * (count - 1), Health.DOWN, rise=count) is Health.DOWN
    assert after("+" * count, Health.DOWN, rise=count) is Health.UP


def test_the_view_tells_what_was_seen() -> None:
    state = ProbeState(ProbeSettings(interval_s=2), "/ok")
    assert state.view()["last_ok"] is None
    for at in range(HISTORY + 10):
        state.passed(Health.UP, 3.14159, float(at))
    state.failed(Health.UP, "no answer within 1 s", 99.0)
    view = state.view()
    assert view["history"] == [1] * (HISTORY - 1) + [0]
    assert (view["passes"], view["fails"], view["last_ok"], view["last_ms"]) == (0, 1, False, None)
    assert (view["cause"], view["last_at"], view["path"], view["interval_s"]) == (
        "no answer within 1 s",
        99.0,
        "/ok",
        2,
    )


def pauses(monkeypatch: pytest.MonkeyPatch, results: str, health: Health) -> list[float]:
    """Seconds between the probes of a node that answers so; `health` is what the scoreboard says first."""
    said, slept, now = iter(results), list[float](), [health]

    def once(prober: Prober) -> None:
        result = next(said, None)
        if result is None:
            raise StopIteration
        state = prober.state
        now[0] = state.passed(now[0], 1.0, 0.0) if result == "+" else state.failed(now[0], "refused", 0.0)

    monkeypatch.setattr(Prober, "_once", once)
    monkeypatch.setattr(Prober, "_pause", lambda prober, longest_s: slept.append(longest_s))
    settings = ProbeSettings(interval_s=1, jitter=0)
    pool = NodePool("l1", "127.0.0.1", 1, Timeouts(), Limits(), cast(Waits, None))
    with pytest.raises(StopIteration):
        Prober(pool, "/", settings, Random(1), lambda: now[0], lambda health, report: None).run()
    return slept


@pytest.mark.parametrize(
    ("results", "begin", "slept"),
    [
        ("+++", Health.UP, [1, 1, 1]),
        ("++-++", Health.UP, [1, 1, 0.1, 1, 1]),
        ("++---++", Health.UP, [1, 1, 0.1, 0.1, 1, 0.1, 1]),
        ("-++", Health.UNKNOWN, [0.1, 1, 1]),
        ("--" + "++" + "+", Health.DOWN, [0.1, 0.1, 0.1, 1, 1]),  # down from before a stop, and just starting
        ("-" * (STARTING_PROBES + 2), Health.DOWN, [0.1] * (STARTING_PROBES - 1) + [1, 1, 1]),
    ],
)
def test_probes_are_near_together_when_that_tells_something(
    monkeypatch: pytest.MonkeyPatch, results: str, begin: Health, slept: list[float]
) -> None:
    assert pauses(monkeypatch, results, begin) == slept


def test_a_node_that_an_operator_enables_is_probed_at_once_and_often(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = list[float]()
    state = {"left": 4}

    def once(prober: Prober) -> None:
        state["left"] -= 1
        if not state["left"]:
            raise StopIteration
        if state["left"] == 1:
            prober.hurry()

    monkeypatch.setattr(Prober, "_once", once)
    monkeypatch.setattr(Prober, "_pause", lambda prober, longest_s: slept.append(longest_s))
    pool = NodePool("l1", "127.0.0.1", 1, Timeouts(), Limits(), cast(Waits, None))
    prober = Prober(pool, "/", ProbeSettings(interval_s=1, jitter=0), Random(1), lambda: Health.DOWN, lambda *_: None)
    prober._starting, prober.state.fails = 0, 1
    with pytest.raises(StopIteration):
        prober.run()
    assert slept == [1, 1, 0.1]
