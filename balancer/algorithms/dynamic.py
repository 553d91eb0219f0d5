"""Dynamic: the fastest node with a free slot; when there is none, the one with the least expected wait.

Rule ("capacity rule"), for each candidate:
    rif   = own in flight + others' in flight as of its newest report        slots as reported, else from config.json
    q     = max(0, rif + 1 - slots)                                          would have to wait; 0: a slot is free
    score = S * (1 + 0.2 * min(1, rif / slots) + 8 * q / slots)              S: pure service time, ms
and the lowest wins, ties by chance. Of free nodes that are about equally fast that is the emptiest. Service time, not
latency, stands in the score: latency has the queue in it already. Up to 64 nodes all are candidates, above that 16
drawn by chance. Where S and slots come from, and what is done when they are not known: ladder.py. Slots unknown (L3):
S * (1 + rif). No sample (L4): S is the middle one of the others. Errors. A share e of failed attempts (5 % each,
fading like S) makes S at least the middle one, times 1 + 10 e: a node that fails at once never looks fast.
Several balancers. Each request that this balancer has sent since a report stands for one of every balancer; a report
older than 250 ms takes its node out, and with fewer than two left chance decides. Each request has the node with the
stalest report asked for a new one, beside the traffic; a single balancer asks only when that report is 250 ms old.
Source: the hot/cold rule of Prequal (NSDI 2024, sections 4 and 5) with "hot" meaning "no free slot" instead of a
quantile, and its probes off the request's path.
Cost: O(n), at most 64 or 16 nodes. What changes seldom is read again each 50 ms, and when an answer or report comes.
State: what was read last, and the shares of errors, per worker.
Fails: for the mean, 8 is near the best, for the tail 4 is; with several balancers the tail is up to 5 % above
`least_time`.
"""

from collections.abc import Sequence
from random import Random
from typing import cast

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.ladder import Estimate, estimate, faded
from balancer.algorithms.scan import lowest
from cluster.wire import NodeReport

K = 8.0
FULL = 0.2
ALL_UP_TO = 64
SAMPLE = 16
READ_S = 0.05
STALE_S = 0.25
ERROR_SHARE = 0.05
ERROR_COST = 10.0
FORGOTTEN = 0.01


class Known:
    """What is remembered of one node between two looks at it."""

    __slots__ = ("error_at", "errors", "others", "own", "read_again_at", "score_ms", "seen", "slots", "stale_at")

    def __init__(self) -> None:
        self.read_again_at = 0.0
        self.errors = 0.0  # share of failed attempts
        self.error_at = 0.0
        self.seen = Estimate("L4", 0.0, 0, 0, 0, 0.0)
        # What the score is made of, copied from `seen` for speed:
        self.score_ms = 0.0  # S
        self.others = 0
        self.own = 0
        self.slots = 0
        self.stale_at = 0.0  # when its report will be too old; infinity: it does not report


class Dynamic(Algorithm):
    key = "dynamic"
    label = "Dynamic"
    sentence = "The fastest node with a free slot, from what the nodes report and what their answers take."
    needs = frozenset({Need.LATENCY, Need.REPORT})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._known: dict[int, Known] = {}
        self._by_age: dict[int, tuple[Node, float]] = {}  # nodes that report, and when; stalest first
        self._middle_ms = 0.0
        self._middle_at = -READ_S
        self._seen: tuple[Sequence[Node], Sequence[float]] = ((), ())

    # -- picking -----------------------------------------------------------------------------------------------------

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        nodes = ready if len(ready) <= ALL_UP_TO else self.rng.choices(ready, k=SAMPLE)
        scores = self._scores(request, nodes, now)
        if self.balancers > 1:
            known = self._known
            fresh = [i for i, node in enumerate(nodes) if now < known[node.index].stale_at]
            if len(fresh) < min(2, len(nodes)):
                self._seen = ((), ())
                return nodes[int(self.rng.random() * len(nodes))]
            nodes, scores = [nodes[i] for i in fresh], [scores[i] for i in fresh]
        self._seen = nodes, scores
        return nodes[lowest(scores, self.rng)]

    def _scores(self, request: Request, nodes: Sequence[Node], now: float) -> list[float]:
        known, unseen = self._known, self.balancers - 1
        scores = []
        for node in nodes:
            k = known.get(node.index)
            if k is None or now >= k.read_again_at:
                k = self._read(node, now)
            own = node.in_flight
            rif = own + k.others
            if unseen and own > k.own:
                rif += unseen * (own - k.own)
            slots = k.slots
            if rif < slots:
                scores.append(k.score_ms * (1.0 + FULL * rif / slots))
            elif slots:
                scores.append(k.score_ms * (1.0 + FULL + K * (rif + 1 - slots) / slots))
            else:
                scores.append(k.score_ms * (1.0 + rif))
        return scores

    def explain(self) -> dict[str, float]:
        nodes, scores = self._seen
        return {node.name: score for node, score in zip(nodes, scores, strict=True)}

    # -- knowing -----------------------------------------------------------------------------------------------------

    def _read(self, node: Node, now: float) -> Known:
        k = self._known.get(node.index)
        if k is None:
            k = self._known[node.index] = Known()
            self._middle_at = now - READ_S  # there is one more to know the middle of
        seen = k.seen = estimate(node, now)
        k.read_again_at = (
            now + READ_S if seen.service_ms else now
        )  # without a sample the middle one stands in: follow it
        k.own, k.others, k.slots = seen.own, seen.others, seen.slots
        k.stale_at = seen.report_at + STALE_S if seen.level in ("L0", "L1") else float("inf")
        if seen.report_at and node.index not in self._by_age:
            self._by_age[node.index] = node, seen.report_at
        if now >= self._middle_at + READ_S:
            self._middle_at = now
            known = sorted([each.seen.service_ms for each in self._known.values() if each.seen.service_ms > 0])
            self._middle_ms = known[len(known) // 2] if known else 1.0
        k.score_ms = self._service_ms(node, seen, now) or self._middle_ms
        if k.errors:
            errors = faded(k.errors, now - k.error_at)
            if errors < FORGOTTEN:
                k.errors = 0.0
            else:
                k.score_ms = max(k.score_ms, self._middle_ms) * (1.0 + ERROR_COST * errors)
        return k

    def _service_ms(self, node: Node, seen: Estimate, now: float) -> float:
        """S, or 0 without a sample."""
        return seen.service_ms

    def on_end(
        self, node: Node, request: Request, now: float, latency_ms: float, service_ms: float, ok: bool | None
    ) -> None:
        k = self._known.get(node.index)
        if k is None:
            return
        k.read_again_at = 0.0
        if ok is not None and (k.errors or not ok):
            k.errors = faded(k.errors, now - k.error_at)
            k.errors += ERROR_SHARE * ((not ok) - k.errors)
            k.error_at = now

    def on_report(self, node: Node, report: NodeReport, now: float) -> None:
        k = self._known.get(node.index)
        if k is not None:
            k.read_again_at = 0.0
        by_age = self._by_age
        by_age.pop(node.index, None)
        by_age[node.index] = node, now  # at the end: the freshest

    def on_membership(self, nodes: Sequence[Node], now: float) -> None:
        members = {node.index for node in nodes}
        self._by_age = {index: heard for index, heard in self._by_age.items() if index in members}

    def probe(self, ready: Sequence[N], now: float) -> Sequence[N]:
        if not self._by_age:
            return ()
        index = next(iter(self._by_age))
        node, heard_at = self._by_age[index]
        if self.balancers == 1 and now < heard_at + STALE_S:
            return ()
        self._by_age[index] = self._by_age.pop(index)[0], now  # asked: it goes to the end
        return (cast(N, node),)
