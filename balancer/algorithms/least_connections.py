"""Least connections: the node with the fewest requests in flight.

Rule: argmin of in flight, as all workers of this balancer see it; the scan starts at a random node, so that ties are
broken without a preference (Envoy issue: a fixed start sends every tie to the first host).
Source: nginx `least_conn`, Caddy `least_conn`, which count requests although they are named after connections.
Cost: O(n).
Fails: takes an idle slow node to be as good as an idle fast one; several balancers each see only their own requests;
a node that answers errors quickly attracts traffic until it is ejected.
"""

from collections.abc import Sequence

from balancer.algorithms.base import Algorithm, N, Request


class LeastConnections(Algorithm):
    key = "least_connections"
    label = "Least connections"
    sentence = "The node with the fewest requests in flight."

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        start = int(self.rng.random() * len(ready))
        best = ready[start]
        fewest = best.in_flight
        for i in range(start - len(ready) + 1, start):  # negative indices: the scan wraps around
            in_flight = ready[i].in_flight
            if in_flight < fewest:
                best, fewest = ready[i], in_flight
        return best
