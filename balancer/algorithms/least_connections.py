"""Least connections: the node with the fewest requests in flight.

Rule: argmin of in flight, as all workers of this balancer see it; the scan starts at a random node, so that ties are
broken without a preference (Envoy issue: a fixed start sends every tie to the first host).
Source: nginx `least_conn`, Caddy `least_conn`, which count requests although they are named after connections.
Cost: O(n).
Fails: takes an idle slow node to be as good as an idle fast one; several balancers each see only their own requests;
a node that answers errors quickly attracts traffic until it is ejected.
"""

from collections.abc import Sequence
from random import Random

from balancer.algorithms.base import Algorithm, N, Node, Request


class LeastConnections(Algorithm):
    key = "least_connections"
    label = "Least connections"
    sentence = "The node with the fewest requests in flight."

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._seen: tuple[Sequence[Node], list[int]] = ((), [])

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        in_flight = [node.in_flight for node in ready]  # read once: other workers go on counting
        self._seen = ready, in_flight
        start = int(self.rng.random() * len(ready))
        return ready[min(range(start - len(ready), start), key=in_flight.__getitem__)]  # negative: the scan wraps

    def explain(self) -> dict[str, float]:
        nodes, in_flight = self._seen
        return {node.name: seen for node, seen in zip(nodes, in_flight, strict=True)}
