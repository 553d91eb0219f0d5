"""Dynamic by kind: as `dynamic`, knowing that an image costs more than an api call.

Rule: candidates, requests in flight, free slots, errors and several balancers as in dynamic.py. But
    score = S * (c + 0.2 * min(1, rif / slots) + 4 * (W / rif) * q / slots)
where S is the node's time for a request of mean cost, c what this request's kind costs (mean 1), and W what all
requests at the node cost together (this worker's by their kinds, others' at 1 each). So a costly request waits for a
fast node where a cheap one would take a slow node that is free. Both S and c are learned from answers, in logarithms:
    log(service time) = log S of the node + log c of the kind + noise
each step 5 % of what is left for S and 2 % for c, larger at first. A service time counts when the node tells it with
its answer, or else when the request met a free slot. Without slots (L3) it is dynamic's rule.
Source: ours. In simulation the p99 of a mix of kinds is 0.70 of a central queue's at 3/4 load; light kinds pay for
it.
Cost: O(n), at most 64 or 16 nodes, as `dynamic`: with what it learns from each answer 16, 26, 22 and 25 us with 3, 30,
100 and 1000 nodes.
State: S and c, and the kinds in flight, per worker. After a switch c is learned in some dozen answers; till then it
is 1.
Fails: nodes that are good at one kind and bad at another: S is one figure a node.
"""

from collections.abc import Sequence
from math import exp, log
from random import Random

from balancer.algorithms.base import Need, Node, Request
from balancer.algorithms.dynamic import FULL, READ_S, Dynamic
from balancer.algorithms.ladder import Estimate, faded

K = 4.0
SPEED_STEP = 0.05
COST_STEP = 0.02
MEAN_STEP = 0.01
MOST = log(10.0)  # a sample counts as at most ten times, at least a tenth of what was expected


class Learned:
    """A figure that is learned in logarithms: plain mean of the first samples, then moving average."""

    __slots__ = ("at", "count", "log")

    def __init__(self) -> None:
        self.log = 0.0
        self.count = 0
        self.at = 0.0

    def learn(self, sample: float, least_step: float, now: float) -> None:
        """`sample`: log of the figure."""
        self.count += 1
        left = sample - self.log
        if self.count > 1:
            left = max(-MOST, min(MOST, left)) * max(least_step, 1 / self.count)
        self.log += left
        self.at = now


class DynamicByKind(Dynamic):
    key = "dynamic_by_kind"
    label = "Dynamic by kind"
    sentence = "As dynamic, knowing what each kind of request costs: costly ones wait for a fast node."
    needs = frozenset({Need.LATENCY, Need.REPORT, Need.KIND})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._speeds: dict[int, Learned] = {}  # by node index: log of the ms of a request of mean cost
        self._costs: dict[str, Learned] = {}  # by kind: log of its cost
        self._mean_cost = 1.0
        self._cost: dict[str, float] = {}  # by kind, mean 1; made from the above now and then
        self._costs_again_at = 0.0
        self._kinds: dict[int, dict[str, int]] = {}  # by node index: this worker's requests there, by kind

    def _scores(self, request: Request, nodes: Sequence[Node], now: float) -> list[float]:
        if now >= self._costs_again_at:
            self._costs_again_at = now + READ_S
            self._cost = {kind: exp(known.log) / self._mean_cost for kind, known in self._costs.items()}
        known, unseen = self._known, self.balancers - 1
        cost = self._cost.get(request.kind, 1.0)
        scores = []
        for node in nodes:
            k = known[node.index]
            if now >= k.read_again_at:
                self._look(node, k, now)
            own = node.in_flight
            rif = own + k.others
            if unseen and own > k.own:
                rif += unseen * (own - k.own)
            slots = k.slots
            if rif < slots:
                scores.append(k.free_ms * cost + rif * k.free_step_ms)
            elif slots:
                ahead = K * self._work(node.index, rif) / rif * (rif + 1 - slots) / slots
                scores.append(k.free_ms * (cost + FULL + ahead))
            else:
                scores.append(k.full_ms + rif * k.full_step_ms)
        return scores

    def _work(self, index: int, rif: int) -> float:
        """W: what the requests at a node cost together."""
        work, cost = float(rif), self._cost
        for kind, count in self._kinds.get(index, {}).items():
            work += count * (cost.get(kind, 1.0) - 1.0)
        return work

    def _service_ms(self, node: Node, seen: Estimate, now: float) -> float:
        learned = self._speeds.get(node.index)
        if learned is None or not seen.slots:
            return seen.service_ms
        return faded(exp(learned.log) * self._mean_cost, now - learned.at)

    def on_start(self, node: Node, request: Request, now: float) -> None:
        kinds = self._kinds.setdefault(node.index, {})
        kinds[request.kind] = kinds.get(request.kind, 0) + 1

    def on_end(
        self, node: Node, request: Request, now: float, latency_ms: float, service_ms: float, ok: bool | None
    ) -> None:
        super().on_end(node, request, now, latency_ms, service_ms, ok)
        kinds = self._kinds.setdefault(node.index, {})
        kinds[request.kind] = kinds.get(request.kind, 1) - 1
        if ok and service_ms > 0:
            self._learn(node.index, request.kind, log(service_ms), now)

    def _learn(self, index: int, kind: str, sample: float, now: float) -> None:
        costs, speed = self._costs, self._speeds.setdefault(index, Learned())
        cost = costs.get(kind)
        if cost is None:
            cost = costs[kind] = Learned()
        if (
            cost.count or not speed.count
        ):  # what a kind costs is not known from its first answer, and no fault of the node
            speed.learn(sample - cost.log, SPEED_STEP, now)
        cost.learn(sample - speed.log, COST_STEP, now)
        self._mean_cost += MEAN_STEP * (exp(cost.log) - self._mean_cost)
