"""Prequal: of a pool of fresh probe answers, the fastest node that is not overfull. The paper's rule, as a yardstick.

Rule: for each request 3 nodes, drawn without repetition, are probed beside the traffic; the pool keeps the newest
answer of at most m nodes. Used entries count one more request in flight for each use. An entry is hot when its
requests in flight are above the 0.84 quantile of what the last 128 probes found; of the pool alone it would be too
coarse: nobody is above that of 5 entries. All hot: the fewest in flight; else the lowest latency among the cold ones.
Entries leave when they are 1 s old, used b times, pushed out by a newer one, and one for each request: in turn the
oldest and the worst. Fewer than 2 entries: a node by chance.
    m = 16, b = max(1, 2 / ((1 - m/n) * 3 - 1)); the paper has n much larger than m.
    Here, for n < 32: m = n/2; where b has no value (n < 4) it is 10.
Source: Wydrowski, Kleinberg, Rumble, Archer: "Load is not what you should balance: introducing Prequal", NSDI 2024,
sections 4 and 5, constants from there. Written anew from the paper, without its rate limits. The paper's quantile is
of "recent probe responses"; how many those are it does not say, the 128 are ours.
Differs: the paper's servers report the latency that they measured at their present load; our nodes report pure
service time, so latency is taken to be service_ms * max(1, (rif + 1) / slots).
Cost: O(m), and 3 probes a request: with their answers 14, 21 and 20 us with 3, 30 and 100 nodes. The
balancer leaves out probes that it has no time for.
State: the pool and what the last probes found, per worker; both are good again after a few dozen requests.
Fails: with few nodes there is nothing to sample; without reports it is chance.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

from balancer.algorithms.base import Algorithm, N, Need, Node, Request
from cluster.wire import NodeReport

POOL = 16
PROBES = 3
REMOVED = 1
DELTA = 1.0
QUANTILE = 2**-0.25
RECENT = 128  # probes
AGE_S = 1.0
MOST_USES = 10.0
HOT = 1e12  # behind every cold entry, by requests in flight


@dataclass(slots=True)
class Entry:
    """One node's answer to a probe."""

    name: str
    rif: int
    latency_ms: float
    at: float
    uses_left: float
    place: int  # where the node stood among the ready ones when it was last looked for


class Recent:
    """Requests in flight as the last probes found them."""

    def __init__(self) -> None:
        self._rifs: deque[int] = deque()
        self._sorted: list[int] = []

    def add(self, rif: int) -> None:
        """One more probe; the oldest goes when there are too many."""
        self._rifs.append(rif)
        insort(self._sorted, rif)
        if len(self._rifs) > RECENT:
            del self._sorted[bisect_left(self._sorted, self._rifs.popleft())]

    def hot_above(self) -> int:
        """The quantile above which a node is hot."""
        return self._sorted[ceil(QUANTILE * len(self._sorted)) - 1]


class Prequal(Algorithm):
    key = "prequal"
    label = "Prequal"
    sentence = "From a pool of probe answers, the fastest node that is not overfull (NSDI 2024)."
    needs = frozenset({Need.REPORT})
    requires = frozenset({Need.REPORT})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._pool: dict[int, Entry] = {}  # by node index, oldest first
        self._asked: set[int] = set()  # nodes whose next report belongs in the pool
        self._recent = Recent()
        self._most, self._uses = POOL, 1.0
        self._worst_next = False
        self._seen: tuple[Sequence[str], Sequence[float]] = ((), ())

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        self._most, self._uses = pool_of(len(ready))
        pool = self._pool
        for index in [i for i, each in pool.items() if now - each.at > AGE_S or not _stands(i, each, ready)]:
            del pool[index]
        if len(pool) < 2:
            self._seen = ((), ())
            return ready[int(self.rng.random() * len(ready))]
        limit = self._recent.hot_above()
        ranks = {i: each.latency_ms if each.rif <= limit else HOT + each.rif for i, each in pool.items()}
        self._seen = [each.name for each in pool.values()], list(ranks.values())
        index = min(ranks, key=ranks.__getitem__)
        entry = pool[index]
        entry.rif += 1
        entry.uses_left -= 1
        if entry.uses_left <= 0:
            del pool[index], ranks[index]
        self._remove(ranks)
        return ready[entry.place]

    def _remove(self, ranks: dict[int, float]) -> None:
        """One entry a request goes, in turn the oldest and the worst, so that neither age nor bad luck gathers."""
        pool = self._pool
        if len(pool) > 1:
            del pool[max(ranks, key=ranks.__getitem__) if self._worst_next else next(iter(pool))]
        self._worst_next = not self._worst_next

    def probe(self, ready: Sequence[N], now: float) -> Sequence[N]:
        asked = self.rng.sample(ready, min(PROBES, len(ready)))
        self._asked.update(node.index for node in asked)
        return asked

    def on_report(self, node: Node, report: NodeReport, now: float) -> None:
        if node.index not in self._asked:
            return  # it came with an answer: whoever answers often would be known best
        self._asked.discard(node.index)
        rif, slots = report["rif"], report["slots"] or node.slots or 1
        latency_ms = report["service_ms"] * max(1.0, (rif + 1) / slots)
        self._recent.add(rif)
        self._pool.pop(node.index, None)
        self._pool[node.index] = Entry(node.name, rif, latency_ms, now, self._uses, node.index)
        if len(self._pool) > self._most:
            del self._pool[next(iter(self._pool))]

    def explain(self) -> dict[str, float]:
        return dict(zip(*self._seen, strict=True))


def _stands(index: int, entry: Entry, ready: Sequence[Node]) -> bool:
    """Whether a pooled node is among the ready ones, mostly where it was; `entry.place` says where."""
    if entry.place < len(ready) and ready[entry.place].index == index:
        return True
    entry.place = next((place for place, node in enumerate(ready) if node.index == index), -1)
    return entry.place >= 0


def pool_of(nodes: int) -> tuple[int, float]:
    """Most entries of the pool, and how often one may be used (the paper's formula 1)."""
    most = min(POOL, max(2, nodes // 2))
    left = (1 - most / nodes) * PROBES - REMOVED
    return most, min(MOST_USES, max(1.0, (1 + DELTA) / left)) if left > 0 else MOST_USES
