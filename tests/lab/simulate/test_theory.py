"""The simulator against queueing theory: first request by request, then in the mean and the tail.

Tolerances are those of the literature for runs of this length. Theory is asked at the load that was realised, work
done / time, not at the one that was planned: that takes most of the chance out of a run.
"""

from functools import cache

import numpy as np
import pytest

from lab.simulate import Result, Scenario, simulate
from tests.lab.simulate import theory


def played(
    nodes: int, slots: int, load: float, rule: str, requests: int, work: str = "exponential", queueing: str = "fifo"
) -> Result:
    """Nodes of speed 1, mean work 1 s."""
    return _played(nodes, slots, load, rule, requests, work, queueing)


@cache
def _played(nodes: int, slots: int, load: float, rule: str, requests: int, work: str, queueing: str) -> Result:
    scenario = Scenario.model_validate(
        {
            "nodes": [{"count": nodes, "slots": slots}],
            "kinds": {"general": {"mean_ms": 1000, "distribution": work, "scv": 4}},
            "load": load,
            "requests": requests,
            "queueing": queueing,
            "measure": [0.05, 1.0],
        }
    )
    return simulate(scenario, rule, seed=1)


def mean_in_services(result: Result) -> float:
    return float(result.latency_ms[result.measured].mean() / 1000 / result.work_s.mean())


def p99_in_services(result: Result) -> float:
    return float(np.quantile(result.latency_ms[result.measured], 0.99) / 1000 / result.work_s.mean())


def realised_load(result: Result) -> float:
    return float(result.work_s.sum() / result.at_s[-1] / result.scenario.capacity)


def lindley(at_s: np.ndarray, work_s: np.ndarray) -> np.ndarray:
    """Latency in ms of each request of one FIFO server, by Lindley's recursion in closed form."""
    growth = np.concatenate([[0.0], work_s[:-1] - np.diff(at_s)])
    level = np.cumsum(growth)
    return (level - np.minimum.accumulate(level) + work_s) * 1000


@pytest.mark.parametrize("rule", ["random", "round_robin"])
def test_each_single_server_follows_lindleys_recursion_request_by_request(rule: str) -> None:
    result = played(10, 1, 0.8, rule, 50_000)
    for node in range(10):
        here = result.node == node
        assert here.sum() > 4000
        np.testing.assert_allclose(result.latency_ms[here], lindley(result.at_s[here], result.work_s[here]), atol=1e-6)


@pytest.mark.parametrize(("slots", "load"), [(3, 0.9), (10, 0.8)])
def test_a_node_with_slots_and_the_central_queue_are_the_same_system(slots: int, load: float) -> None:
    node = played(1, slots, load, "random", 50_000)
    central = played(1, slots, load, "central queue", 50_000)
    np.testing.assert_allclose(node.latency_ms, central.latency_ms, atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "slots", "load", "rule", "work", "queueing", "requests", "tolerance"),
    [
        (10, 1, 0.5, "random", "exponential", "fifo", 300_000, 0.01),
        (10, 1, 0.8, "random", "exponential", "fifo", 800_000, 0.015),
        (10, 1, 0.8, "round_robin", "exponential", "fifo", 400_000, 0.01),
        (1, 1, 0.8, "random", "constant", "fifo", 400_000, 0.01),
        (10, 1, 0.5, "random", "lognormal", "fifo", 500_000, 0.03),
        (1, 3, 0.8, "central queue", "exponential", "fifo", 1_500_000, 0.01),
        (1, 10, 0.9, "central queue", "exponential", "fifo", 1_000_000, 0.03),
        (1, 100, 0.95, "central queue", "exponential", "fifo", 1_000_000, 0.05),
        (10, 1, 0.8, "random", "lognormal", "sharing", 300_000, 0.02),
        (1, 10, 0.8, "random", "exponential", "sharing", 200_000, 0.01),
        (1000, 1, 0.9, "power_of_two", "exponential", "fifo", 400_000, 0.03),
    ],
)
def test_the_mean_is_what_theory_says(
    nodes: int, slots: int, load: float, rule: str, work: str, queueing: str, requests: int, tolerance: float
) -> None:
    result = played(nodes, slots, load, rule, requests, work, queueing)
    rho = realised_load(result)
    if rule == "round_robin":
        expected = theory.round_robin(nodes, rho)
    elif rule == "power_of_two":
        expected = theory.power_of_two(rho)
    elif slots > 1:  # c processors that are shared have the number of requests, and so the mean, of M/M/c
        expected = theory.mm_c(slots, rho)
    elif queueing == "sharing":
        expected = theory.mm_1(rho)
    else:
        scv = float(result.work_s.var() / result.work_s.mean() ** 2)
        expected = theory.mg_1(rho, scv)
    assert mean_in_services(result) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(
    ("nodes", "slots", "load", "rule", "requests"),
    [
        (10, 1, 0.5, "random", 300_000),
        (1, 3, 0.8, "central queue", 1_500_000),
        (1, 10, 0.8, "central queue", 1_000_000),
    ],
)
def test_the_tail_is_what_theory_says(nodes: int, slots: int, load: float, rule: str, requests: int) -> None:
    result = played(nodes, slots, load, rule, requests)
    rho = realised_load(result)
    expected = theory.mm_1_p99(rho) if slots == 1 else theory.mm_c_p99(slots, rho)
    assert p99_in_services(result) == pytest.approx(expected, rel=0.04)


# Means that an independent simulator found (1.5 to 6 million requests); there is no formula for them.
@pytest.mark.parametrize(("nodes", "load", "expected"), [(3, 0.8, 2.282), (10, 0.8, 1.355), (10, 0.9, 1.905)])
def test_least_connections_over_equal_single_servers_is_join_the_shortest_queue(
    nodes: int, load: float, expected: float
) -> None:
    result = played(nodes, 1, load, "least_connections", 300_000)
    expected *= theory.mm_c(nodes, realised_load(result)) / theory.mm_c(nodes, load)
    assert mean_in_services(result) == pytest.approx(expected, rel=0.03)


def test_two_choices_leave_queues_whose_tail_falls_doubly_exponentially() -> None:
    result = played(1000, 1, 0.9, "power_of_two", 400_000)
    # A request that finds i before it waits for i: by PASTA arrivals see what time averages do.
    left = result.at_s + result.latency_ms / 1000
    at = float(np.quantile(result.at_s, 0.9))
    present = np.bincount(result.node[(result.at_s <= at) & (left > at)], minlength=1000)
    for length, expected in ((1, 0.9), (2, 0.729), (3, 0.478), (4, 0.206)):
        assert (present >= length).mean() == pytest.approx(expected, abs=0.05)


def test_theory_itself_gives_the_textbooks_figures() -> None:
    assert theory.erlang_c(10, 0.8) == pytest.approx(0.4092, abs=1e-4)
    assert theory.mm_c(3, 0.9) == pytest.approx(3.7235, abs=1e-4)
    assert theory.mm_c_p99(10, 0.9) == pytest.approx(6.25, abs=0.01)
    assert theory.round_robin(10, 0.8) == pytest.approx(2.9223, abs=1e-4)
    assert theory.power_of_two(0.9) == pytest.approx(2.6141, abs=1e-4)
    assert theory.mg_1(0.8, 4) == pytest.approx(11.0)
    assert theory.power_of_two_tail(0.9, 4) == pytest.approx(0.206, abs=1e-3)
