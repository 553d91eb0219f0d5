"""The registry of algorithms, by hand: adding one is a file and a line."""

import difflib

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.consistent_hash import ConsistentHash
from balancer.algorithms.dynamic import Dynamic
from balancer.algorithms.dynamic_by_kind import DynamicByKind
from balancer.algorithms.least_connections import LeastConnections
from balancer.algorithms.least_time import LeastTime
from balancer.algorithms.naive_fastest import NaiveFastest
from balancer.algorithms.peak_ewma import PeakEwma
from balancer.algorithms.power_of_two import PowerOfTwo
from balancer.algorithms.prequal import Prequal
from balancer.algorithms.round_robin import RoundRobin
from balancer.algorithms.weighted import Weighted
from balancer.algorithms.weighted_least_connections import WeightedLeastConnections
from cluster.config import Balancer
from cluster.errors import ConfigError, Problem

ALGORITHMS: dict[str, type[Algorithm]] = {
    algorithm.key: algorithm
    for algorithm in (
        RoundRobin, LeastConnections, Weighted, Dynamic, DynamicByKind, WeightedLeastConnections, PowerOfTwo, PeakEwma,
        LeastTime, Prequal, ConsistentHash, NaiveFastest,
    )
}  # fmt: skip

__all__ = ["ALGORITHMS", "Algorithm", "N", "Need", "Node", "Request", "check_algorithm", "problem_with"]


def problem_with(algorithm: str) -> str | None:
    """Why there is no such algorithm, with the way out; None when there is one."""
    if algorithm in ALGORITHMS:
        return None
    near = difflib.get_close_matches(algorithm, ALGORITHMS, n=1)
    hint = f'did you mean "{near[0]}"?' if near else "known: " + ", ".join(ALGORITHMS)
    return f'"{algorithm}" is not an algorithm; {hint}'


def check_algorithm(balancer: Balancer) -> None:
    """ConfigError when a balancer's configured algorithm is not in the registry."""
    text = problem_with(balancer.algorithm)
    if text:
        raise ConfigError("config.json", [Problem(f"balancers[{balancer.name}].algorithm", text)])
