"""Dynamic: the fastest node with a free slot; when there is none, the one with the least expected wait.

Rule ("capacity rule"), for each candidate i:
    rif_i   = max(own in flight, reported rif + sent since the report)
    q_i     = max(0, rif_i + 1 - slots_i)            requests that would have to wait; 0 = a slot is free
    score_i = S_i * (1 + K * q_i / slots_i)          S_i = pure service time in ms, K = 8
and the lowest score is picked, from a random start. Free nodes whose scores differ by less than 20 %, which is what
the estimates scatter by, count as equally fast, and the emptiest of them is taken. Service time, not latency, stands in
the score: latency has the queue in it already. S_i fades (exp(-age / 10 s)) once a node has not answered for a while,
so that a node that was slow is tried again. Up to 64 nodes all are candidates, above that 16 drawn at random.

What is known of a node decides how it is scored, and the dashboard shows the level:
    L0 fresh reports with slots and service time       L1 reports without slots: slots from config.json
    L2 no reports: own in flight, S from own requests that met a free slot
    L3 slots unknown: moving average of latency x (1 + in flight)
    L4 no sample at all: S is the middle one of the others', so that in flight decides

Source: the hot/cold rule of Prequal (NSDI'24, sections 4-5) with "hot" meaning "no free slot" instead of a quantile.
Cost: O(n), at most 64 or 16 nodes. K is the one dial: smaller is better for the tail, larger for the mean.
Fails: several balancers that each see only their own requests lean on the reports' freshness.
"""

from collections.abc import Sequence
from math import exp
from random import Random

from balancer.algorithms.base import Algorithm, N, Need, Node, Request

K = 8.0
FADE_S = 10.0
FRESH_S = 5.0  # a report older than this says nothing of the present queue
ALL_UP_TO = 64
SAMPLE = 16
SAME = 1.2  # speeds are learned to about this factor (a 5 % EWMA of lognormal times with SCV 0.5 scatters by 11 %)


class Dynamic(Algorithm):
    key = "dynamic"
    label = "Dynamic"
    sentence = "The fastest node with a free slot, from what the nodes report and what their answers take."
    needs = frozenset({Need.LATENCY, Need.REPORT})

    def __init__(self, rng: Random) -> None:
        super().__init__(rng)
        self._scores: dict[str, float] = {}

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        nodes = ready if len(ready) <= ALL_UP_TO else self.rng.sample(ready, SAMPLE)
        known = [estimate(node, now) for node in nodes]
        sampled = sorted(service_ms for _, service_ms, _, _ in known if service_ms > 0)
        middle = sampled[len(sampled) // 2] if sampled else 1.0
        scores = [score_of(service_ms or middle, rif, slots) for _, service_ms, rif, slots in known]
        self._scores = {node.name: score for node, score in zip(nodes, scores, strict=True)}
        start = int(self.rng.random() * len(nodes))
        turn = range(start - len(nodes), start)  # from a random start, so that ties have no preference
        best = min(turn, key=scores.__getitem__)
        _, _, rif, slots = known[best]
        if rif < slots:  # a slot is free: of the free nodes that are as fast, as far as one can tell, the emptiest
            most = scores[best] * SAME
            as_good = [i for i in turn if scores[i] <= most and known[i][2] < known[i][3]]
            best = min(as_good, key=lambda i: known[i][2] / known[i][3])
        return nodes[best]

    def explain(self) -> dict[str, float]:
        return self._scores


def score_of(service_ms: float, rif: int, slots: int) -> float:
    """Expected cost in ms of one more request; `slots` 0 = unknown."""
    if not slots:
        return service_ms * (1 + rif)
    return service_ms * (1 + K * max(0, rif + 1 - slots) / slots)


def estimate(node: Node, now: float) -> tuple[str, float, int, int]:
    """(level, service time in ms or 0, requests in flight, slots or 0) from the best that is known of a node."""
    own = node.in_flight
    latency, answered_at = node.latency_ms()
    newest = node.newest_report()
    if newest is not None and now - newest[1] < FRESH_S:
        report, at, sent = newest
        rif = max(own, report["rif"] + sent)
        if report["service_ms"] > 0:
            slots = report["slots"] or node.slots or 0
            level = "L0" if report["slots"] else "L1" if slots else "L3"
            # A node that serves nobody repeats its old figure in every report: it is as old as the last answer.
            return level, _faded(report["service_ms"], now - (answered_at or at)), rif, slots
    elif newest is not None and own == 0 and newest[0]["service_ms"] > 0:
        report, at, _ = newest  # old, but from a node that is idle as far as we know: its speed is the best guess
        return "L1", _faded(report["service_ms"], now - (answered_at or at)), own, report["slots"] or node.slots or 0
    if node.slots:
        service_ms, at = node.own_service_ms()
        if service_ms > 0:
            return "L2", _faded(service_ms, now - at), own, node.slots
    if latency > 0:
        return "L3", _faded(latency, now - answered_at), own, 0
    return "L4", 0.0, own, node.slots or 0


def _faded(service_ms: float, age_s: float) -> float:
    return service_ms * exp(-max(0.0, age_s - 1.0) / FADE_S)
