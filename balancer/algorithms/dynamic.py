"""Dynamic: the fastest node with a free slot; when there is none, the one with the least expected wait.

Rule ("capacity rule"), for each candidate:
    rif   = own in flight + others' in flight as of its newest report        slots as reported, else from config.json
    q     = max(0, rif + 1 - slots)                                          would have to wait; 0: a slot is free
    score = S * (1 + 0.2 * min(1, rif / slots) + 8 * q / slots)              S: pure service time, ms
and the lowest wins, ties by chance. Of free nodes that are about equally fast that is the emptiest. Service time, not
latency, stands in the score: latency has the queue in it already. Up to 64 nodes all are candidates, above that 16
drawn by chance. Where S and slots come from, and what is done when they are not known: ladder.py. Slots unknown (L3):
S * (1 + rif). No sample (L4): S is the middle one of the others.
Errors: a share e of failed attempts (5 % each, fading like S) makes S at least the middle one, times 1 + 10 e: a node
that fails at once never looks fast.
Several balancers: each request that this balancer has sent since a report stands for one of every balancer; a report
older than 250 ms takes its node out, and with fewer than two left chance decides. Each request has the node with the
stalest report asked for a new one, beside the traffic; a single balancer asks only when that report is 250 ms old.
Source: the hot/cold rule of Prequal (NSDI 2024, sections 4 and 5) with "hot" meaning "no free slot" instead of a
quantile, and its probes off the request's path.
Cost: O(n), at most 64 or 16 nodes: with what it learns from each answer 7, 11, 12 and 13 us with 3, 30, 100 and 1000
nodes. What changes seldom is read again each 50 ms, and when an answer or report comes.
State: what was read last, and the shares of errors, per worker.
Fails: with several balancers the tail is up to a tenth above that of `least_time`. The 8 is chosen for the mean; 4
would be better for the tail.
"""

from collections.abc import Sequence
from random import Random
from typing import cast

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from balancer.algorithms.ladder import Estimate, faded
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


class Known(Estimate):
    """What is remembered of one node between two looks at it. S and slots stand as the two straight lines that the
    score is, by requests in flight: `free_ms + rif * free_step_ms` below `slots`, from there `full_ms + rif *
    full_step_ms`."""

    __slots__ = (
        "error_at", "errors", "free_ms", "free_step_ms", "full_ms", "full_step_ms", "read_again_at", "stale_at",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.read_again_at = 0.0
        self.stale_at = 0.0  # when its report will be too old; infinity: it does not report
        self.errors = 0.0  # share of failed attempts
        self.error_at = 0.0
        self.take(1.0)

    def take(self, service_ms: float) -> None:
        """Set the score for S = `service_ms`."""
        slots = self.slots
        self.free_ms = service_ms
        if slots:
            self.free_step_ms = service_ms * FULL / slots
            self.full_step_ms = service_ms * K / slots
            self.full_ms = service_ms * (1.0 + FULL) - self.full_step_ms * (slots - 1)
        else:
            self.free_step_ms = self.full_step_ms = self.full_ms = service_ms


class Table(dict[int, Known]):
    """By node index; whoever is not known yet is to be looked at."""

    def __missing__(self, index: int) -> Known:
        known = self[index] = Known()
        return known


class Dynamic(Algorithm):
    key = "dynamic"
    label = "Dynamic"
    sentence = "The fastest node with a free slot, from what the nodes report and what their answers take."
    needs = frozenset({Need.LATENCY, Need.REPORT})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._known = Table()
        self._by_age: dict[int, tuple[Node, float]] = {}  # nodes that report, and when; stalest first
        self._middle_ms = 0.0
        self._middle_at = 0.0
        self._middle_of = 0
        self._seen: tuple[Sequence[Node], Sequence[float]] = ((), ())

    # -- picking -----------------------------------------------------------------------------------------------------

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        nodes: Sequence[N] = ready
        count = len(ready)
        if count > ALL_UP_TO:
            random = self.rng.random  # what `choices` does, in half its time
            nodes = [ready[int(random() * count)] for _ in range(SAMPLE)]
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
            k = known[node.index]
            if now >= k.read_again_at:
                self._look(node, k, now)
            own = node.in_flight
            rif = own + k.others
            if unseen and own > k.own:
                rif += unseen * (own - k.own)
            if rif < k.slots:
                scores.append(k.free_ms + rif * k.free_step_ms)
            else:
                scores.append(k.full_ms + rif * k.full_step_ms)
        return scores

    def explain(self) -> dict[str, float]:
        nodes, scores = self._seen
        return {node.name: score for node, score in zip(nodes, scores, strict=True)}

    # -- knowing -----------------------------------------------------------------------------------------------------

    def _look(self, node: Node, k: Known, now: float) -> None:
        k.read(node, now)
        k.read_again_at = now + READ_S if k.service_ms else now  # without a sample S is the middle one: follow it
        k.stale_at = k.report_at + STALE_S if k.level in ("L0", "L1") else float("inf")
        if k.report_at and node.index not in self._by_age:
            self._by_age[node.index] = node, k.report_at
        if now >= self._middle_at + READ_S or len(self._known) > self._middle_of:
            known = sorted([each.service_ms for each in self._known.values() if each.service_ms > 0])
            self._middle_ms = known[len(known) // 2] if known else 1.0
            self._middle_at, self._middle_of = now, len(self._known)
        service_ms = self._service_ms(node, k, now) or self._middle_ms
        if k.errors:
            errors = faded(k.errors, now - k.error_at)
            if errors < FORGOTTEN:
                k.errors = 0.0
            else:
                service_ms = max(service_ms, self._middle_ms) * (1.0 + ERROR_COST * errors)
        k.take(service_ms)

    def _service_ms(self, node: Node, seen: Estimate, now: float) -> float:
        """S, or 0 without a sample."""
        return seen.service_ms

    def on_end(
        self, node: Node, request: Request, now: float, latency_ms: float, service_ms: float, ok: bool | None
    ) -> None:
        k = self._known[node.index]
        k.read_again_at = 0.0
        if ok is not None and (k.errors or not ok):
            k.errors = faded(k.errors, now - k.error_at)
            k.errors += ERROR_SHARE * ((not ok) - k.errors)
            k.error_at = now

    def on_report(self, node: Node, report: NodeReport, now: float) -> None:
        self._known[node.index].read_again_at = 0.0
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
