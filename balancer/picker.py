"""Which nodes are ready, and which of them gets the next request.

One picker a worker. It keeps the list of ready nodes until the scoreboard says that something changed, holds the
algorithm in force, and is the only place that calls `pick`.
"""

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Protocol

from balancer.algorithms import ALGORITHMS, Algorithm, Request
from balancer.algorithms.record import Recorder
from balancer.node_record import NodeRecord
from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import S_GENERATION, S_GROUP_PICKS
from cluster.errors import AllBusy, NoReadyNode
from cluster.states import LAST_RESORT

DOUBT_S = 1.0  # how long a node that failed gets no request that could not be sent again, while there is another


class Forwarded(Request, Protocol):
    """What has to be known of a request besides what algorithms look at."""

    @property
    def idempotent(self) -> bool:
        """Whether it may be sent again."""


class Picker:
    """Chooses nodes for one worker.

    `default`: key of the algorithm to use before any order was given. `groups`: sets of node indices (routes.py).
    `balancers`: how many balancers share the nodes. `record`: makes a recorder for each new algorithm, when decisions
    are to be logged. `tell_end` and `tell_report` are the algorithm's `on_end` and `on_report`, None when it has none.
    """

    def __init__(
        self,
        board: Scoreboard,
        default: str,
        slow_start_s: float,
        rng: Random,
        groups: Sequence[frozenset[int]] = (),
        balancers: int = 1,
        record: Callable[[Algorithm], Recorder] | None = None,
    ) -> None:
        self._board = board
        self._default = default
        self._slow_start_s = slow_start_s
        self._rng = rng
        self._generation = -1
        self._picks = [
            tuple(board.slot_at(slot) + S_GROUP_PICKS + group for slot in range(board.slots))
            for group in range(max(1, len(groups)))
        ]
        self._groups = groups
        self._capped = any(node.max_in_flight is not None for node in board.nodes)
        self._balancers = balancers
        self._record = record
        self.on_probe: Callable[[Sequence[NodeRecord], float], None] | None = None  # sends what `probe` asks for
        self._use(default)
        self.ready: list[NodeRecord] = []
        self.bypassed = False  # all were ejected, so the ejected are used
        self._warming: list[NodeRecord] = []
        self._doubted: dict[NodeRecord, float] = {}  # nodes that failed a moment ago, and until when that counts
        self._ready_of: list[list[NodeRecord]] = [[]]  # by group

    def _use(self, key: str) -> None:
        """A fresh algorithm from the next pick on."""
        algorithm = ALGORITHMS[key](self._rng, self._balancers)
        self.algorithm: Algorithm = algorithm
        self._recorder = self._record(algorithm) if self._record else None
        told = self._recorder or algorithm
        self._choose = told.pick
        self._tell_members = told.on_membership if algorithm.overrides("on_membership") else None
        self._tell_start = told.on_start if algorithm.overrides("on_start") else None
        self._ask = told.probe if algorithm.overrides("probe") else None
        self.tell_end = told.on_end if algorithm.overrides("on_end") else None
        self.tell_report = told.on_report if algorithm.overrides("on_report") else None
        self._members: list[NodeRecord] | None = None

    def refresh(self, now: float) -> None:
        """Follow orders, health and ejections; called at each change and ten times a second."""
        board = self._board
        self._generation = board.generation
        board.q[board.own + S_GENERATION] = self._generation
        key = board.algorithm
        if key not in ALGORITHMS:  # no order was given, or one by a newer release
            key = self._default
        if key != self.algorithm.key:
            self._use(key)
        self.ready = [node for node in board.nodes if node.ready(now)]
        self.bypassed = False
        if not self.ready:
            self.ready = [n for n in board.nodes if n.state(now) in LAST_RESORT and n.weight > 0]
            self.bypassed = bool(self.ready)
        self._ready_of = [self.ready]
        self._ready_of += [[n for n in self.ready if n.index in group] for group in self._groups[1:]]
        self._doubted = {node: until for node, until in self._doubted.items() if until > now}
        self._warming = [n for n in self.ready if n.slow_start(now, self._slow_start_s) < 1.0]
        if self._tell_members is not None and self.ready != self._members:
            self._members = self.ready
            self._tell_members(self.ready, now)

    def doubt(self, node: NodeRecord, now: float) -> None:
        """An attempt at it failed: for a moment it is tried only with what may be sent again elsewhere."""
        self._doubted[node] = now + DOUBT_S

    def pick(
        self,
        request: Forwarded,
        tried: Collection[NodeRecord],
        now: float,
        group: int = 0,
        preferred: str | None = None,
    ) -> NodeRecord:
        """Choose a node not yet tried for this request, and count it as started before anything else can run.

        When all ready nodes were tried, the first ones may be tried again. `preferred`: this node, if it is among them.
        NoReadyNode when there is none at all, AllBusy when all have as many requests as they may.
        """
        board = self._board
        if board.generation != self._generation:
            self.refresh(now)
        ready = self._ready_of[group]
        if tried:
            ready = [node for node in ready if node not in tried] or ready
        if self._doubted and not request.idempotent:
            ready = [node for node in ready if node not in self._doubted] or ready
        if self._warming:
            ready = self._without_cold(ready, now)
        if not ready:
            raise NoReadyNode("no_ready_node", self.why_none(group))
        if self._capped:
            ready = [n for n in ready if n.has_room]
            if not ready:
                raise AllBusy("all_busy", "every ready node has as many requests as it may have")
        wanted = next((n for n in ready if n.name == preferred), None) if preferred is not None else None
        decides = wanted is None and len(ready) > 1  # there is a choice, and no cookie
        if decides:
            node = self._choose(request, ready, now)
        else:
            node = wanted or ready[0]
            if self._recorder is not None:
                self._recorder.forced(request, ready, node, now)
        board.q[board.own + S_GROUP_PICKS + group] += 1
        node.start()  # nothing has yielded since the pick
        if self._tell_start is not None:
            self._tell_start(node, request, now)
        if self._ask is not None and self.on_probe is not None and decides:
            asked: Sequence[NodeRecord] = self._ask(ready, now)
            if asked:
                self.on_probe(asked, now)
        return node

    def ready_in(self, group: int, now: float) -> list[NodeRecord]:
        """The ready nodes of a group."""
        if self._board.generation != self._generation:
            self.refresh(now)
        return self._ready_of[group]

    def sequence(self, group: int = 0) -> int:
        """Picks made so far in a group by all workers of this balancer."""
        return sum(map(self._board.q.__getitem__, self._picks[group]))

    def why_none(self, group: int = 0) -> str:
        """One sentence for people: why no node may be picked."""
        nodes = [n for n in self._board.nodes if not self._groups or n.index in self._groups[group]]
        return f"no node is ready ({', '.join(f'{n.name} {n.admin.word}/{n.health.word}' for n in nodes)})"

    def _without_cold(self, ready: list[NodeRecord], now: float) -> list[NodeRecord]:
        """Slow start, the same for every algorithm: a warming node is on offer only for its share of the picks."""
        warm = [
            n for n in ready if n not in self._warming or self._rng.random() < n.slow_start(now, self._slow_start_s)
        ]
        return warm or ready
