"""Least time: the node whose average latency, times the requests it would then have, is lowest for its weight.

Rule, per node: rt = moving average of latency (5 % a sample), halved for each 10 s in which it was not picked; then
rounded up into classes of 20 ms, at most 5 s, so that nodes of about the same speed are alike. Score = rt * (1 + in
flight) / weight, the lowest wins; ties by smooth weighted turns. Failed attempts are no sample.
Source: nginx `least_time last_byte` (ngx_http_upstream_least_time_module), constants from there; without its optional
`inflight`, which takes the age of unfinished requests for latency: a long request then looks like a slow node, and in
simulation the mean is a third higher.
Cost: O(n): 3, 14 and 42 us with 3, 30 and 100 nodes, about 4 times `weighted`.
State: when each node was last picked.
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


class LeastTime(Algorithm):
    key = "least_time"
    label = "Least time"
    sentence = "The lowest average latency times requests in flight, for its weight (nginx's rule)."
    needs = frozenset({Need.LATENCY, Need.WEIGHT})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._tried_at: dict[int, float] = {}  # by node index
        self._turns = Weighted(rng, balancers)
        self._seen: tuple[Sequence[Node], Sequence[float]] = ((), ())

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        scores = [self._time_ms(node, now) * (1 + node.in_flight) / node.weight for node in ready]
        self._seen = ready, scores
        low = min(scores)
        if scores.count(low) == 1:
            return ready[scores.index(low)]
        return self._turns.pick(request, [n for n, score in zip(ready, scores, strict=True) if score == low], now)

    def _time_ms(self, node: Node, now: float) -> float:
        rt = node.latency_ms()[0]
        idle_s = now - self._tried_at.setdefault(node.index, now)
        if idle_s > IDLE_S:
            rt *= 0.5 ** min(64, int(idle_s / (IDLE_S + 1)))
        return MOST_MS if rt > MOST_MS else (rt // CLASS_MS + 1) * CLASS_MS

    def on_start(self, node: Node, request: Request, now: float) -> None:
        if now - self._tried_at.get(node.index, 0.0) > IDLE_S:
            self._tried_at[node.index] = now

    def explain(self) -> dict[str, float]:
        nodes, scores = self._seen
        return {node.name: seen for node, seen in zip(nodes, scores, strict=True)}
