"""Least connections: the node with the fewest requests in flight.

Rule: argmin of in flight, as all workers of this balancer see it; ties are broken by chance.
Source: nginx `least_conn`, Caddy `least_conn`, which count requests although they are named after connections.
Cost: O(n): 1, 2 and 6 us with 3, 30 and 100 nodes.
Fails: takes an idle slow node to be as good as an idle fast one; several balancers each see only their own requests;
a node that answers errors quickly attracts traffic until it is ejected.
"""

from collections.abc import Sequence
from random import Random

from balancer.algorithms.base import Algorithm, N, Node, Request
from balancer.algorithms.scan import lowest


class LeastConnections(Algorithm):
    key = "least_connections"
    label = "Least connections"
    sentence = "The node with the fewest requests in flight."

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._seen: tuple[Sequence[Node], Sequence[float]] = ((), ())

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        in_flight = [node.in_flight for node in ready]  # read once: other workers go on counting
        self._seen = ready, in_flight
        return ready[lowest(in_flight, self.rng)]

    def explain(self) -> dict[str, float]:
        nodes, in_flight = self._seen
        return {node.name: seen for node, seen in zip(nodes, in_flight, strict=True)}
