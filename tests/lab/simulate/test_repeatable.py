"""The same scenario, algorithm and seed give the same bytes, wherever, whenever and in how many processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lab.simulate import Scenario, simulate
from lab.simulate.report import as_json, compare
from lab.simulate.result import KNOWN
from lab.simulate.scenario import BrownOut, Nodes

ROOT = Path(__file__).resolve().parents[3]
FLAGS = ["--requests", "2000", "--seeds", "2", "--balancers", "2", "--rtt-ms", "1", "--work", "mixed", "--json"]


def said(hash_seed: str, *flags: str) -> bytes:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lab.simulate", *FLAGS, "--algorithm", *KNOWN, *flags]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, timeout=100, check=True).stdout


def test_every_algorithm_gives_the_same_bytes_whatever_the_hash_seed_and_the_number_of_processes() -> None:
    first = said("1", "--processes", "1")
    assert said("2", "--processes", "2") == first
    found = json.loads(first)
    assert set(found["runs"]) == {"central queue", "ideal pool", *KNOWN}
    assert said("1", "--processes", "2", "--seed", "7") != first


def test_all_algorithms_are_given_the_same_requests() -> None:
    scenario = Scenario(requests=500)
    one, other = (simulate(scenario, rule, 3) for rule in ("round_robin", "random"))
    np.testing.assert_array_equal(one.at_s, other.at_s)
    np.testing.assert_array_equal(one.work_s, other.work_s)
    assert (one.node != other.node).any()
    assert (simulate(scenario, "round_robin", 4).at_s != one.at_s).any()


def test_a_property_of_the_workload_does_not_move_the_others() -> None:
    plain = simulate(Scenario(requests=500), "round_robin", 3)
    other = simulate(Scenario(requests=500, balancers=3, clients=7), "round_robin", 3)
    np.testing.assert_array_equal(plain.at_s, other.at_s)
    np.testing.assert_array_equal(plain.work_s, other.work_s)


def test_a_report_holds_both_bounds_and_its_ratios_are_paired_by_seed() -> None:
    report = compare(Scenario(requests=2000), ["least_connections"], [5, 6])
    found = json.loads(as_json(report))
    by_hand = np.mean([
        row["mean"] / base["mean"]
        for row, base in zip(found["runs"]["least_connections"], found["runs"]["central queue"], strict=True)
    ])  # fmt: skip
    assert found["ratios_to_central_queue"]["least_connections"]["mean"]["ratio"] == float(by_hand)
    assert found["bounds"] == ["central queue", "ideal pool"]


@pytest.mark.parametrize("deadline_ms", [None, 300.0])
@pytest.mark.parametrize("bound", ["central queue", "ideal pool"])
def test_the_short_way_of_a_bound_for_equal_slots_gives_the_very_same(bound: str, deadline_ms: float | None) -> None:
    """A brown-out by a factor of 1 changes nothing but the way that is taken."""
    alike = Scenario(nodes=(Nodes(count=5, slots=3),), load=1.05, requests=5000, deadline_ms=deadline_ms)
    other = alike.model_copy(update={"brown_outs": (BrownOut(node=2, factor=1.0),)})
    assert simulate(alike, bound, 4).latency_ms.tobytes() == simulate(other, bound, 4).latency_ms.tobytes()
