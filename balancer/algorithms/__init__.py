"""The registry of algorithms, by hand: adding one is a file and a line."""

import difflib

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.dynamic import Dynamic
from balancer.algorithms.least_connections import LeastConnections
from balancer.algorithms.round_robin import RoundRobin
from balancer.algorithms.weighted import Weighted
from cluster.config import Balancer
from cluster.errors import ConfigError, Problem

ALGORITHMS: dict[str, type[Algorithm]] = {
    algorithm.key: algorithm for algorithm in (RoundRobin, LeastConnections, Weighted, Dynamic)
}

__all__ = ["ALGORITHMS", "Algorithm", "N", "Need", "Node", "Request", "check_algorithm"]


def check_algorithm(balancer: Balancer) -> None:
    """ConfigError when a balancer's configured algorithm is not in the registry."""
    if balancer.algorithm not in ALGORITHMS:
        near = difflib.get_close_matches(balancer.algorithm, ALGORITHMS, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "known: " + ", ".join(ALGORITHMS)
        text = f'"{balancer.algorithm}" is not an algorithm; {hint}'
        raise ConfigError("config.json", [Problem(f"balancers[{balancer.name}].algorithm", text)])
