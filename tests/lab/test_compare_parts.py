"""The pure parts of a comparison besides its statistics: design, calibration, conditions, pictures."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from cluster.errors import ConfigError
from lab.compare_algorithms import charts, fail_if
from lab.compare_algorithms.calibrate import TIMES_UNLOADED, calibrate
from lab.compare_algorithms.design import AGAIN, PRESETS, Design, arms_of, fitted, orders
from lab.load.generator import Progress
from lab.load.records import OK, ROW, Records
from lab.load.schedule import Schedule
from lab.load.workload import PLAIN

# -- design ----------------------------------------------------------------------------------------------------------


def test_the_baseline_is_first_and_once_more_at_the_end() -> None:
    arms = arms_of(["dynamic", "round_robin", "dynamic", "least_connections"], "least_connections")
    assert [arm.name for arm in arms] == ["least_connections", "dynamic", "round_robin", "least_connections" + AGAIN]
    assert arms[-1].algorithm == "least_connections"


def test_every_block_has_every_arm_in_orders_that_differ() -> None:
    found = orders(4, 40, "seed")
    assert all(sorted(order) == [0, 1, 2, 3] for order in found)
    assert len({tuple(order) for order in found}) > 15
    assert {order[0] for order in found} == {0, 1, 2, 3}
    assert orders(4, 40, "seed") == found != orders(4, 40, "other")


@pytest.mark.parametrize("arms", [2, 4, 6])
def test_the_classroom_fits_into_three_minutes(arms: int) -> None:
    left_s = 145.0
    design = fitted(PRESETS["classroom"], arms, left_s)
    assert design.run_s >= 2
    assert 4 <= design.blocks <= 5
    assert design.blocks * arms * design.of_one_run_s() <= left_s


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="compare fewer algorithms"):
        fitted(PRESETS["classroom"], 12, 140)
    free = Design(blocks=3, run_s=9, warm_up_s=1)
    assert fitted(free, 12, 0) == free


# -- calibration -----------------------------------------------------------------------------------------------------


class Pretend:
    """A fleet of so many slots in one queue, without a generator's flaws; `lag_ms` adds them. `wake_ms`: what a request
    takes longer below 20 a second."""

    def __init__(self, slots: int, lag_ms: float = 0.0, wake_ms: float = 0.0) -> None:
        self.slots, self.lag_ms, self.wake_ms, self.rates = slots, lag_ms, wake_ms, [0.0]

    def run(self, schedule: Schedule, on_progress: object = None) -> Records:
        self.rates.append(schedule.drawn_rate)
        rows = np.zeros(len(schedule), dtype=ROW)
        free = np.zeros(self.slots)
        rows["due_s"], rows["work_ms"], rows["service_ms"] = schedule.at_s, schedule.service_ms, schedule.service_ms
        rows["sent_s"] = schedule.at_s + self.lag_ms / 1e3
        for row in rows:
            slot = int(np.argmin(free))
            free[slot] = max(free[slot], row["due_s"]) + row["work_ms"] / 1e3
            row["done_s"] = free[slot] + 0.002 + (self.wake_ms / 1e3 if schedule.drawn_rate < 20 else 0.0)
        return Records(rows, schedule.kinds, [""], [OK], schedule.duration_s, schedule.duration_s, 0.1, 10.0)


def test_the_capacity_is_found_and_the_overhead_seen() -> None:
    fleet = Pretend(slots=20)  # of 100 ms each: 200 a second
    found = calibrate(fleet, PLAIN, "1", lambda _: None)
    assert found.capacity_rps == pytest.approx(200, rel=0.07)
    assert found.overhead_ms == pytest.approx(2, abs=0.01)
    assert found.limited_by == "fleet"
    assert [rung.saturated for rung in found.rungs] == [False] * (len(found.rungs) - 1) + [True]
    assert found.rungs[-1].p50_ms > TIMES_UNLOADED * found.unloaded_p50_ms
    assert all(a < b for a, b in pairwise(fleet.rates))


def test_the_overhead_is_not_that_of_a_machine_that_must_wake_up_first() -> None:
    found = calibrate(Pretend(slots=20, wake_ms=3), PLAIN, "1", lambda _: None)
    assert found.overhead_ms == pytest.approx(2, abs=0.01)


def test_a_generator_that_is_late_is_not_taken_for_the_fleet() -> None:
    found = calibrate(Pretend(slots=20, lag_ms=30), PLAIN, "1", lambda _: None)
    assert found.limited_by == "generator"
    assert found.rungs[-1].problems


def test_progress_starts_at_nothing() -> None:
    assert (Progress().sent, Progress().done, Progress().failed) == (0, 0, 0)


# -- --fail-if -------------------------------------------------------------------------------------------------------

RESULT = {
    "headline": {"measure": "p99"},
    "arms": {
        "least_connections": {"latency": {"p99_ms": 150.0, "p999_ms": None}, "outcomes": {"ok": 990, "503": 10}},
        "dynamic": {"latency": {"p99_ms": 120.0, "p999_ms": None}, "outcomes": {"ok": 1000}},
        "least_connections (again)": {"latency": {"p99_ms": 999.0}, "outcomes": {"ok": 1}},
    },
    "comparisons": [
        {"a": "dynamic", "metric": "p99", "ratio": 0.8},
        {"a": "dynamic", "metric": "mean", "ratio": 9.0},
    ],
}


@pytest.mark.parametrize(
    ("condition", "who"),
    [
        ("p99>200ms", []),
        ("p99 > 130", ["least_connections"]),
        ("p99>=0.12s", ["least_connections", "dynamic"]),
        ("dynamic.p99>130ms", []),
        ("dynamic.p99<130ms", ["dynamic"]),
        ("errors>0.5%", ["least_connections"]),
        ("errors>=0", ["least_connections", "dynamic"]),
        ("ratio>1", []),
        ("dynamic.ratio<=0.8", ["dynamic"]),
        ("p999>1s", ["least_connections", "dynamic"]),  # not known: nothing was shown
        ("dynamo.p99>1", ["dynamo"]),
    ],
)
def test_conditions(condition: str, who: list[str]) -> None:
    failed = fail_if.failures(fail_if.parse(condition), RESULT)
    assert len(failed) == len(who)
    assert all(name in text for name, text in zip(who, failed, strict=True))


@pytest.mark.parametrize("text", ["", "p99", "p98>1ms", "p99>1%", "errors>1ms", "p99>1.2.3ms", "p99=3", "ratio>1ms"])
def test_a_condition_that_is_none_says_how_one_looks(text: str) -> None:
    with pytest.raises(ConfigError, match="--fail-if"):
        fail_if.parse(text)


# -- pictures --------------------------------------------------------------------------------------------------------


def coordinates(picture: str) -> list[float]:
    """Every x in the picture."""
    root = ElementTree.fromstring(picture.replace('class=""', ""))
    found = [float(e.get(key, 0)) for e in root.iter() for key in ("x", "x1", "x2", "cx")]
    for path in (e.get("d", "") for e in root.iter("path")):
        found += [float(x) for x in re.findall(r"([\d.]+),", path)]
    return found


def test_pictures_are_well_formed_and_stay_inside() -> None:
    row = charts.Row("a <b> & c", 1, 0.8, 0.7, 0.9, (0.75, 0.85), "faster")
    wild = charts.Row("d", 2, 30.0, 0.001, 1e9, (0.01, 400.0), "inconclusive")
    pictures = [
        charts.forest([row, wild], 0.03, "x"),
        charts.forest([], 0.03, "x"),
        charts.curves([[(1.1, 5.0), (100, 900.0)], []], ["a", "b"], "t", "x", x_log=True, x_label=str),
        charts.curves([[(0.5, 5.0)]], ["a"], "t", "x", x_log=False, x_label=str, dashed=[[(0.5, 9.0)]]),
        charts.curves([[]], ["a"], "t", "x", x_log=True, x_label=str),
        charts.stacked([("a", [0.2, 0.8]), ("b", [1.0, 0.0])], ["l1", "l2"]),
        charts.bars([("a", 0, 1.2), ("b", 1, 400.0)], "t", "×", [("bound", 1.0)]),
        charts.bars([], "t", "×"),
    ]
    for picture in pictures:
        assert all(-1 <= x <= charts.WIDTH + 1 for x in coordinates(picture)), picture
        assert "&lt;b&gt;" in picture or "<b>" not in picture


def test_the_forest_puts_ratios_where_they_belong() -> None:
    rows = [charts.Row(name, 0, ratio, ratio * 0.9, ratio * 1.1, (), "") for name, ratio in (("a", 0.5), ("b", 2.0))]
    root = ElementTree.fromstring(charts.forest(rows, 0.03, "x").replace('class=""', ""))
    first, second = [float(e.get("cx", 0)) for e in root.iter("circle")]
    one = float(next(e for e in root.iter("line") if e.get("class") == "axis").get("x1", 0))
    assert first < one < second
    assert one - first == pytest.approx(second - one, abs=0.2)  # twice as slow is as far as twice as fast
