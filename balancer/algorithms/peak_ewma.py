"""Peak EWMA: of two nodes by chance, the one whose recent worst latency x requests in flight is lower.

Rule, per node: a latency above the cost lifts the cost to it at once; one below pulls it down,
    cost = cost * w + latency * (1 - w),   w = exp(-seconds since the last change / 10)
and while nothing is heard the cost sinks in the same way towards 0, so that a node is tried again. Of two different
nodes drawn by chance the lower cost * (in flight + 1) wins. A node of which nothing is known yet, but which has
requests in flight, counts as very slow: one request finds out, not a hundred. A failed attempt never makes a node
look faster.
Source: Twitter Finagle, `p2c` with `PeakEwma` (constants from there).
Cost: O(1): with what it learns from each end 2 us with 3, 30 and 100 nodes.
State: cost and time per node, per worker; after a switch the first answers set them anew.
Fails: when service times vary much, each long answer is taken for a slow node; queueing stands in the latency and is
counted again by the requests in flight.
"""

from collections.abc import Sequence
from math import exp
from random import Random

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.power_of_two import two_of

TAU_S = 10.0
UNKNOWN_MS = 1e9  # cost of a node that has requests and has not answered one yet


class PeakEwma(Algorithm):
    key = "peak_ewma"
    label = "Peak EWMA"
    sentence = "Of two nodes by chance, the one with the lower recent peak latency times requests in flight."
    needs = frozenset({Need.LATENCY})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._costs: dict[int, tuple[float, float]] = {}  # by node index: cost in ms, when it was last changed
        self._scores: tuple[tuple[str, float], ...] = ()

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        one, other = two_of(ready, self.rng)
        here, there = self._load(one, now), self._load(other, now)
        self._scores = (one.name, here), (other.name, there)
        return one if here <= there else other

    def on_end(
        self, node: Node, request: Request, now: float, latency_ms: float, service_ms: float, ok: bool | None
    ) -> None:
        cost = self._cost(node, now)
        if latency_ms <= cost:
            if not ok:
                return
            _, since = self._costs[node.index]
            share = exp((since - now) / TAU_S)
            # `cost` has sunk already: what is left to add is the sample's share.
            latency_ms = cost + latency_ms * (1 - share)
        self._costs[node.index] = latency_ms, now

    def _cost(self, node: Node, now: float) -> float:
        cost, at = self._costs.get(node.index, (0.0, now))
        return cost * exp((at - now) / TAU_S) if now > at else cost

    def _load(self, node: Node, now: float) -> float:
        cost, waiting = self._cost(node, now), node.in_flight
        if cost == 0.0 and waiting:
            return UNKNOWN_MS + waiting
        return cost * (waiting + 1)

    def explain(self) -> dict[str, float]:
        return dict(self._scores)
