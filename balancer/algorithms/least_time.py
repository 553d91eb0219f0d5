"""Least time: the node whose average latency, times the requests it would then have, is lowest for its weight.

Rule, per node: rt = moving average of latency (5 % a sample), halved for each 10 s in which it was not picked, and at
least the moving average of its present requests' mean age; then rounded up into classes of 20 ms, at most 5 s, so that
nodes of about the same speed are alike. Score = rt * (1 + in flight) / weight, the lowest wins; ties by smooth weighted
turns. Failed attempts are no sample.
Source: nginx `least_time last_byte inflight` (ngx_http_upstream_least_time_module), constants from there.
Cost: O(n): 10, 160 and 2100 times round robin's pick with 3, 100 and 1000 nodes.
State: when each node was last picked, and the ages of this worker's requests in flight.
Fails: the latency has the queue in it already, so waiting is counted twice; on a LAN whose answers take some
milliseconds all nodes are of the first class, and it becomes weighted least connections.
"""

from collections.abc import Sequence
from random import Random

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.weighted import Weighted

CLASS_MS = 20.0
MOST_MS = 5000.0
IDLE_S = 10.0  # nginx: fail_timeout
EWMA = 0.05


class Watched:
    """What this worker remembers of one node."""

    __slots__ = ("age_ms", "begun_s", "running", "tried_at")

    def __init__(self, now: float) -> None:
        self.tried_at = now
        self.running = 0
        self.begun_s = 0.0  # sum of the starts of those that run
        self.age_ms = 0.0  # moving average, a sample a pick, of their mean age


class LeastTime(Algorithm):
    key = "least_time"
    label = "Least time"
    sentence = "The lowest average latency times requests in flight, for its weight (nginx's rule)."
    needs = frozenset({Need.LATENCY, Need.WEIGHT})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._watched: dict[int, Watched] = {}
        self._turns = Weighted(rng, balancers)
        self._seen: tuple[Sequence[Node], Sequence[float]] = ((), ())

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        scores = [self._time_ms(node, now) * (1 + node.in_flight) / node.weight for node in ready]
        self._seen = ready, scores
        low = min(scores)
        if scores.count(low) == 1:
            return ready[scores.index(low)]
        return self._turns.pick(request, [n for n, score in zip(ready, scores, strict=True) if score == low], now)

    def _watch(self, node: Node, now: float) -> Watched:
        watched = self._watched.get(node.index)
        if watched is None:
            watched = self._watched[node.index] = Watched(now)
        return watched

    def _time_ms(self, node: Node, now: float) -> float:
        rt = node.latency_ms()[0]
        watched = self._watch(node, now)
        idle_s = now - watched.tried_at
        if idle_s > IDLE_S:
            rt *= 0.5 ** min(64, int(idle_s / (IDLE_S + 1)))
        if watched.running:
            age_ms = (now - watched.begun_s / watched.running) * 1e3
            watched.age_ms = age_ms if watched.age_ms == 0.0 else watched.age_ms + EWMA * (age_ms - watched.age_ms)
            rt = max(rt, watched.age_ms)
        return MOST_MS if rt > MOST_MS else (rt // CLASS_MS + 1) * CLASS_MS

    def on_start(self, node: Node, request: Request, now: float) -> None:
        watched = self._watch(node, now)
        watched.running += 1
        watched.begun_s += now
        if now - watched.tried_at > IDLE_S:
            watched.tried_at = now

    def on_end(
        self, node: Node, request: Request, now: float, latency_ms: float, service_ms: float, ok: bool | None
    ) -> None:
        watched = self._watch(node, now)
        if watched.running <= 1:  # so that no rounding is carried on
            watched.running, watched.begun_s = 0, 0.0
            return
        watched.running -= 1
        watched.begun_s -= now - latency_ms / 1e3

    def explain(self) -> dict[str, float]:
        nodes, scores = self._seen
        return {node.name: seen for node, seen in zip(nodes, scores, strict=True)}
