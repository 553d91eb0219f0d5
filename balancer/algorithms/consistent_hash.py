"""Consistent hash with bounded loads: a client's requests go to its node, unless that node is too full.

Rule: each node has about 100 points on a ring, more or fewer by its weight; a client's key is hashed to a place on
it, and the first node clockwise is its own. A node may hold at most 1.25 times its fair share of all requests in
flight (by weight, this one included, rounded up); one that is full is passed over for the next. A node that leaves
gives its clients to its neighbours on the ring, and takes them back when it returns; nobody else's move.
Source: Karger et al. 1997; Mirrokni, Thorup and Zadimoghaddam 2016 for the bound; HAProxy `hash-balance-factor 125`.
Cost: O(n) to know the mean load, O(log n) to find the place: 5, 10 and 23 us with 3, 30 and 100 nodes.
The ring is made anew when a node or a weight is.
Fails: few clients, or all behind one address, are few places on the ring: then the bound does the balancing. A client
that is passed on finds a cold cache.
"""

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from math import ceil
from random import Random

from balancer.algorithms.base import Algorithm, N, Need, Node, Request

POINTS = 100  # of a node of mean weight: shares then differ by about 10 %
FACTOR = 1.25


class ConsistentHash(Algorithm):
    key = "consistent_hash"
    label = "Consistent hash"
    sentence = "Each client keeps its node, unless that one holds 1.25 times its share."
    caution = "Clients behind one address count as one."
    needs = frozenset({Need.CLIENT_KEY, Need.WEIGHT})

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        super().__init__(rng, balancers)
        self._weights: dict[int, int] = {}  # by node index, of every node that was ever offered
        self._names: dict[int, str] = {}
        self._hashes: list[int] = []  # points on the ring, ascending
        self._owners: list[int] = []  # whose they are: node indices
        self._scores: dict[str, float] = {}

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        weights = [node.weight for node in ready]
        if any([self._weights.get(node.index) != w for node, w in zip(ready, weights, strict=True)]):
            self._make_ring(ready, weights)
        in_flight = [node.in_flight for node in ready]
        share = FACTOR * (sum(in_flight) + 1) / sum(weights)
        offered = {node.index: i for i, node in enumerate(ready)}
        owners = self._owners
        scores: dict[str, float] = {}
        start = bisect_right(self._hashes, place_of(request.client_key))
        for at in range(start - len(owners), start):  # negative indices wrap
            i = offered.get(owners[at])
            if i is None:
                continue
            node = ready[i]
            if in_flight[i] < ceil(share * weights[i]):
                scores[node.name] = float(len(scores))
                break
            scores.setdefault(node.name, float(len(ready) + len(scores)))
        else:  # the bounds add up to more than what is in flight, so one node has room
            raise AssertionError(f"no room for {request.client_key!r} among {in_flight}")
        self._scores = scores
        return node

    def _make_ring(self, ready: Sequence[Node], weights: Sequence[int]) -> None:
        for node, weight in zip(ready, weights, strict=True):
            self._weights[node.index], self._names[node.index] = weight, node.name
        each = POINTS * len(self._weights) / sum(self._weights.values())
        # A node's points are always the first so many of the same row, so that a change of weights moves few clients.
        points = sorted(
            (place_of(f"{self._names[index]} {n}"), index)
            for index, weight in self._weights.items()
            for n in range(max(1, round(each * weight)))
        )
        self._hashes = [at for at, _ in points]
        self._owners = [index for _, index in points]

    def explain(self) -> dict[str, float]:
        """The nodes met on the client's way round the ring, in order; full ones come after all others."""
        return self._scores


def place_of(key: str) -> int:
    """A place on the ring, the same in every process and release."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
