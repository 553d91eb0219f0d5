"""Naive fastest: the node with the lowest average latency, whatever its load. To be watched, not to be used.

Rule: argmin of the moving average of latency (5 % a sample); nodes without a sample first, ties by chance.
Source: what everybody writes first.
Cost: O(n): 1, 4 and 12 us with 3, 30 and 100 nodes.
Fails: always. All requests go to one node until its answers, which come late, say that it is drowning; then the whole
herd moves to the next. Nobody learns of a node that gets no requests. It is here so that the herd can be seen.
"""

from collections.abc import Sequence
from random import Random

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.scan import lowest


class NaiveFastest(Algorithm):
    key = "naive_fastest"
    label = "Naive fastest"
    sentence = "The node with the lowest average latency, whatever its load."
    caution = "For teaching: all requests run to one node, like a herd, then to the next."
    needs = frozenset({Need.LATENCY})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._seen: tuple[Sequence[Node], Sequence[float]] = ((), ())

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        latency = [node.latency_ms()[0] for node in ready]
        self._seen = ready, latency
        return ready[lowest(latency, self.rng)]

    def explain(self) -> dict[str, float]:
        nodes, latency = self._seen
        return {node.name: seen for node, seen in zip(nodes, latency, strict=True)}
