"""Figures over the last ten seconds, from counters that only grow."""

import pytest

from balancer.windows import WINDOW_S, Rolling
from cluster.histogram import BUCKETS, bucket_of, packed


def histogram(**counts: int) -> list[int]:
    """`histogram(ms20=3)`: three answers of 20 ms."""
    out = [0] * BUCKETS
    for name, count in counts.items():
        out[bucket_of(int(name[2:]) / 1e3)] += count
    return out


def test_nothing_to_say_before_there_are_two_samples() -> None:
    rolling = Rolling()
    assert rolling.window()["rps"] == 0.0
    rolling.sample(0.0, 5, 0, histogram(ms20=5))
    assert rolling.window() == {
        "seconds": 0.0, "rps": 0.0, "errors_per_s": 0.0, "p50_ms": None, "p95_ms": None, "p99_ms": None,
    }  # fmt: skip


def test_rates_are_differences_over_the_window() -> None:
    rolling = Rolling()
    for beat in range(61):  # every half second, 10 requests and 1 error a beat
        rolling.sample(beat * 0.5, beat * 10, beat, histogram(ms20=beat * 10))
    window = rolling.window()
    assert window["seconds"] == pytest.approx(WINDOW_S, abs=0.51)
    assert window["rps"] == pytest.approx(20.0)
    assert window["errors_per_s"] == pytest.approx(2.0)
    assert window["p50_ms"] == pytest.approx(20.0, rel=0.032)


def test_what_was_before_the_window_does_not_colour_its_percentiles() -> None:
    rolling = Rolling()
    rolling.sample(0.0, 1000, 0, histogram(ms500=1000))
    for beat in range(1, 30):
        rolling.sample(float(beat), 1000 + beat, 0, histogram(ms500=1000, ms20=beat))
    assert rolling.window()["p99_ms"] == pytest.approx(20.0, rel=0.032)


def test_the_histogram_is_told_when_asked_for_and_is_of_the_window_alone() -> None:
    rolling = Rolling()
    assert rolling.window(histogram=True)["histogram"] == []
    rolling.sample(0.0, 1000, 0, histogram(ms500=1000))
    rolling.sample(1.0, 1003, 0, histogram(ms500=1000, ms20=3))
    assert "histogram" not in rolling.window()
    assert rolling.window(histogram=True)["histogram"] == packed(histogram(ms20=3))


def test_a_quiet_time_has_no_percentiles() -> None:
    rolling = Rolling()
    rolling.sample(0.0, 10, 0, histogram(ms20=10))
    for beat in range(1, 30):
        assert rolling.unchanged(10, 0)
        rolling.sample(float(beat), 10, 0, None)
    window = rolling.window()
    assert window["rps"] == 0.0
    assert window["p50_ms"] is None


def test_a_late_sample_still_gives_a_window() -> None:
    rolling = Rolling()
    rolling.sample(0.0, 0, 0, histogram())
    rolling.sample(60.0, 120, 0, histogram(ms20=120))  # the process was stopped for a minute
    assert rolling.window()["rps"] == pytest.approx(2.0)


def test_a_counter_that_went_back_never_gives_a_negative_rate() -> None:
    rolling = Rolling()
    rolling.sample(0.0, 100, 5, histogram(ms20=100))
    rolling.sample(1.0, 40, 2, histogram(ms20=40))
    window = rolling.window()
    assert window["rps"] == 0.0
    assert window["errors_per_s"] == 0.0


def test_memory_is_bounded() -> None:
    rolling = Rolling()
    for beat in range(1000):
        rolling.sample(beat * 0.5, beat, 0, None if rolling.unchanged(beat, 0) else histogram())
    assert len(rolling._samples) <= WINDOW_S / 0.5 + 2
