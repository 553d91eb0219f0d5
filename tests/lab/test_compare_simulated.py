"""A whole comparison on a simulated fleet: blocks, verdicts, files, report; and how often A/A fools it."""

import csv
import io
import json
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from lab.compare_algorithms import report, result
from lab.compare_algorithms.calibrate import calibrate
from lab.compare_algorithms.design import Design, arms_of
from lab.compare_algorithms.experiment import Experiment, run_blocks
from lab.compare_algorithms.fleet import topology
from lab.compare_algorithms.statistics import MEASURES, compare_each, log_ratios
from lab.load.schedule import draw
from lab.load.workload import TYPED, Workload
from tests.lab.simulated_fleet import NoView, SimulatedFleet

CAPACITY_RPS = 28 / 0.098  # slots x speeds / mean work


def experiment(blocks: int = 5, run_s: float = 6.0, load: float = 0.75, **more: Any) -> Experiment:
    arms = arms_of(["round_robin", "dynamic"], "least_connections")
    return Experiment(arms, Design(blocks, run_s, 1.0), TYPED, load * CAPACITY_RPS, "7", **more)


def compared(fleet: SimulatedFleet, what: Experiment, **more: Any) -> dict[str, Any]:
    run_blocks(what, fleet, fleet, NoView(), **more)  # type: ignore[arg-type]
    return result.make(what, topology(fleet.snapshot()), None, margin=0.03, warnings=["a <b>warning</b>"],
                       urls={"url": "http://x", "fleet": "pretend", "balancer": "b1"})  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    found = compared(SimulatedFleet(), experiment())
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


def of(made: dict[str, Any], arm: str, metric: str) -> dict[str, Any]:
    return next(each for each in made["comparisons"] if (each["a"], each["metric"]) == (arm, metric))


def test_the_verdicts_are_those_that_theory_expects(made: dict[str, Any]) -> None:
    assert made["headline"]["measure"] == "p99"
    assert of(made, "round_robin", "mean")["verdict"] == "slower"  # a third of the load does not fit on the slow node
    assert of(made, "dynamic", "mean")["verdict"] == "faster"
    for metric in ("mean", "p50", "p90", "p99", "throughput"):
        assert of(made, "least_connections (again)", metric)["verdict"] in ("equivalent", "inconclusive"), metric
    assert made["headline"]["best"].startswith("dynamic ")


def test_speeds_are_seen_and_the_bounds_lie_below(made: dict[str, Any]) -> None:
    assert [node["speed"] for node in made["topology"]] == [1, 2, 4]
    bounds, arms = made["bounds"], made["arms"]
    assert bounds["ideal_pool"]["mean_ms"] < bounds["central_queue"]["mean_ms"]
    assert bounds["central_queue"]["mean_ms"] < arms["least_connections"]["latency"]["mean_ms"]


def test_the_twin_of_a_simulated_fleet_is_itself(made: dict[str, Any]) -> None:
    assert set(made["twin"]) == {"least_connections", "round_robin", "dynamic"}
    for arm, simulated in made["twin"].items():
        live = made["arms"][arm]["latency"]
        assert simulated["p50_ms"] + 2 == pytest.approx(live["p50_ms"], rel=0.1)
        assert simulated["p99_ms"] + 2 == pytest.approx(live["p99_ms"], rel=0.1)
    turns = made["arms"]["round_robin"]["latency"]  # no dice: the same turns give the same figures
    assert made["twin"]["round_robin"]["p50_ms"] + 2 == pytest.approx(turns["p50_ms"], rel=0.001)
    assert made["twin"]["round_robin"]["mean_ms"] + 2 == pytest.approx(turns["mean_ms"], rel=0.001)


def test_every_run_is_there_and_adds_up(made: dict[str, Any]) -> None:
    assert made["schema"] == 1
    assert made["design"]["blocks_valid"] == 5
    assert len(made["runs"]) == 20
    for run in made["runs"]:
        assert sum(run["outcomes"].values()) == run["latency"]["n"] == sum(n["n"] for n in run["by_node"].values())
        assert sum(node["share"] for node in run["by_node"].values()) == pytest.approx(1)
        assert all(0 <= node["busy"] <= 1.01 for node in run["by_node"].values())
    fair = made["fairness"]["round_robin"]
    assert fair["share"] == pytest.approx({"n1": 1 / 3, "n2": 1 / 3, "n3": 1 / 3}, abs=0.01)
    assert fair["jain_busy"] < made["fairness"]["dynamic"]["jain_busy"] <= 1


def test_one_line_of_csv_a_run(made: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(result.to_csv(made))))
    assert len(rows) == 20
    assert {row["arm"] for row in rows} == set(made["arms"])
    assert float(rows[0]["mean_ms"]) == made["runs"][0]["latency"]["mean_ms"]
    assert float(rows[0]["share_n3"]) > 0


def test_the_report_is_one_page_that_needs_nothing_else(made: dict[str, Any]) -> None:
    page = report.page(made)
    assert not re.search(r"<script|<link[^>]+href=\"(?!data:)|src=|url\(|@import|https?://(?!x)", page)
    assert page.count("<svg") == page.count("</svg>") == 10  # 5 forests, spectrum, time, 2 bounds, shares
    assert "a &lt;b&gt;warning&lt;/b&gt;" in page
    assert "prefers-color-scheme:dark" in page
    for arm in made["arms"]:
        assert arm in page
    assert "nan" not in re.sub(r"<[^>]*>", "", page).lower().split()


def test_a_fleet_that_says_nothing_of_itself_has_a_report_too() -> None:
    foreign = Workload(kinds={"general": {"path": "/"}})  # type: ignore[dict-item]

    class Silent(SimulatedFleet):
        def run(self, schedule: Any, on_progress: Any = None) -> Any:
            records = super().run(draw(TYPED, schedule.drawn_rate, schedule.duration_s, schedule.seed))
            records.rows["kind"], records.rows["work_ms"], records.rows["service_ms"] = 0, np.nan, np.nan
            return records

    what = experiment(blocks=3, run_s=3)
    what.workload = foreign
    made = compared(Silent(), what)
    assert made["bounds"] is None
    assert made["twin"] == {}
    assert [node["speed"] for node in made["topology"]] == [None] * 3
    assert "Not known" in report.page(json.loads(json.dumps(made, allow_nan=False)))


# -- the run of blocks -----------------------------------------------------------------------------------------------


def test_every_arm_gets_the_same_requests_in_a_block_and_its_algorithm_is_in_force() -> None:
    fleet, what = SimulatedFleet(), experiment(blocks=3, run_s=2)
    compared(fleet, what)
    assert fleet.switched == [run.arm.algorithm for run in what.runs]
    for block in range(3):
        works = [run.records.rows["work_ms"] for run in what.runs if run.block == block]
        assert len(works) == 4
        assert all(np.array_equal(works[0], work) for work in works)
    assert not np.array_equal(what.schedules[0].at_s[:9], what.schedules[1].at_s[:9])


def test_ctrl_c_keeps_the_finished_blocks() -> None:
    fleet, what = SimulatedFleet(), experiment(run_s=2)
    fleet.raise_in_run = 11  # in the third block
    made = compared(fleet, what)
    assert what.stopped == "stopped by hand after 2 of 5 blocks"
    assert len(made["runs"]) == 8
    assert made["design"]["blocks_valid"] == 2
    assert all(each["verdict"] == "inconclusive" for each in made["comparisons"])
    report.page(json.loads(json.dumps(made, allow_nan=False)))


def test_no_block_begins_that_would_end_too_late() -> None:
    what = experiment(run_s=2)
    compared(SimulatedFleet(), what, until=0.0)  # long ago
    assert what.blocks == 1  # the first one is always made
    assert what.stopped == "the time was up after 1 blocks, 1 of them valid"


def test_invalid_blocks_do_not_count_and_are_replaced_but_not_for_ever() -> None:
    class Disturbed(SimulatedFleet):
        def run(self, schedule: Any, on_progress: Any = None) -> Any:
            self.lag_s = 0.05 if self.runs in bad else 0.0
            return super().run(schedule)

    bad = {5}  # in the second block
    what = experiment(blocks=4, run_s=2)
    made = compared(Disturbed(), what)
    assert what.blocks == 5
    assert what.valid_blocks() == [0, 2, 3, 4]
    assert any(text.startswith("1 of 20 runs are invalid, so 1 of 5 blocks") for text in made["warnings"])
    assert {each["blocks"] for each in made["comparisons"]} == {4}
    bad = set(range(100))
    what = experiment(blocks=4, run_s=2)
    made = compared(Disturbed(), what)
    assert (what.blocks, what.valid_blocks()) == (6, [])
    assert all(each["verdict"] == "inconclusive" and each["ratio"] is None for each in made["comparisons"])
    report.page(json.loads(json.dumps(made, allow_nan=False)))


@pytest.mark.parametrize("meddling", ["algorithm", "traffic", "node"])
def test_whoever_meddles_with_the_fleet_makes_the_run_invalid(meddling: str) -> None:
    class Meddled(SimulatedFleet):
        def run(self, schedule: Any, on_progress: Any = None) -> Any:
            records = super().run(schedule)
            if meddling == "algorithm":
                self.algorithm = "weighted"
            elif meddling == "traffic":
                self.requests += 50
            else:
                self.speeds = (*self.speeds[:-1], self.speeds[-1] + 1)  # its weight is its speed
            return records

    what = experiment(blocks=2, run_s=2)
    compared(Meddled(), what)
    assert what.valid_blocks() == []
    word = {"algorithm": "somebody switched to weighted", "traffic": "other traffic", "node": "weight 5"}[meddling]
    assert any(word in why for why in what.runs[0].why_invalid)


def test_the_capacity_of_a_simulated_fleet_is_that_of_its_slots() -> None:
    fleet = SimulatedFleet()
    fleet.switch("least_connections")
    found = calibrate(fleet, TYPED, "1", lambda _: None)
    assert found.capacity_rps == pytest.approx(CAPACITY_RPS, rel=0.1)
    assert found.overhead_ms == pytest.approx(2, abs=0.05)


# -- the alarm -------------------------------------------------------------------------------------------------------


def test_a_hundred_a_a_comparisons_give_few_false_verdicts() -> None:
    """least_connections against itself at three quarters of the capacity: at most 8 of 100 may see a difference."""
    verdicts: dict[str, Counter[str]] = {measure: Counter() for measure in ("mean", "p50", "p90", "p99")}
    for trial in range(100):
        fleet = SimulatedFleet(seed=trial)
        fleet.switch("least_connections")
        runs: tuple[list[Any], list[Any]] = ([], [])
        for block in range(5):
            schedule = draw(TYPED, 0.75 * CAPACITY_RPS, 6, f"A/A {trial} {block}")
            for side in runs:
                side.append(fleet.run(schedule).after(1).latencies_ms())
        for measure, counts in verdicts.items():
            judged = compare_each([log_ratios(*runs, MEASURES[measure])], np.random.default_rng(trial))[0]
            counts[judged.verdict] += 1
    for measure, counts in verdicts.items():
        assert counts["faster"] + counts["slower"] <= 8, (measure, counts)
