"""The registry of algorithms, by hand: adding one is a file and a line."""

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.dynamic import Dynamic
from balancer.algorithms.least_connections import LeastConnections
from balancer.algorithms.round_robin import RoundRobin
from balancer.algorithms.weighted import Weighted

ALGORITHMS: dict[str, type[Algorithm]] = {
    algorithm.key: algorithm for algorithm in (RoundRobin, LeastConnections, Weighted, Dynamic)
}

__all__ = ["ALGORITHMS", "Algorithm", "N", "Need", "Node", "Request"]
