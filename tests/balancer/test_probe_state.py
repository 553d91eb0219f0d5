"""Rise and fall: on results in a row, never on sums."""

import pytest

from balancer.health import HISTORY, ProbeState
from cluster.config import ProbeSettings
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
