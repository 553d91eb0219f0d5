"""Which nodes are ready, and which of them gets the next request.

One picker a worker. It keeps the list of ready nodes until the scoreboard says that something changed, holds the
algorithm in force, and is the only place that calls `pick`.
"""

from collections.abc import Collection
from random import Random

from balancer.algorithms import ALGORITHMS, Algorithm, Request
from balancer.node_record import NodeRecord
from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import S_GENERATION, S_PICKS
from cluster.errors import NoReadyNode
from cluster.states import LAST_RESORT


class Picker:
    """Chooses nodes for one worker. `default`: key of the algorithm to use before any order was given."""

    def __init__(self, board: Scoreboard, default: str, slow_start_s: float, rng: Random) -> None:
        self._board = board
        self._default = default
        self._slow_start_s = slow_start_s
        self._rng = rng
        self._generation = -1
        self._picks = tuple(board.slot_at(s) + S_PICKS for s in range(board.slots))
        self.algorithm: Algorithm = ALGORITHMS[default](rng)
        self.ready: list[NodeRecord] = []
        self.bypassed = False  # all were ejected, so the ejected are used
        self._warming: list[NodeRecord] = []

    def refresh(self, now: float) -> None:
        """Follow orders, health and ejections; called at each change and ten times a second."""
        board = self._board
        self._generation = board.generation
        board.q[board.own + S_GENERATION] = self._generation
        key = board.algorithm or self._default
        if key != self.algorithm.key:
            self.algorithm = ALGORITHMS.get(key, ALGORITHMS[self._default])(self._rng)
        self.ready = [node for node in board.nodes if node.ready(now)]
        self.bypassed = False
        if not self.ready:
            self.ready = [n for n in board.nodes if n.state(now) in LAST_RESORT and n.weight > 0]
            self.bypassed = bool(self.ready)
        self._warming = [n for n in self.ready if n.slow_start(now, self._slow_start_s) < 1.0]

    def pick(self, request: Request, tried: Collection[NodeRecord], now: float) -> NodeRecord:
        """Choose a node not yet tried for this request, and count it as started before anything else can run.

        When all ready nodes were tried, the first ones may be tried again. NoReadyNode when there is none at all.
        """
        board = self._board
        if board.generation != self._generation:
            self.refresh(now)
        ready = self.ready
        if tried:
            ready = [node for node in ready if node not in tried] or ready
        if self._warming:
            ready = self._without_cold(ready, now)
        if not ready:
            raise NoReadyNode("no_ready_node", self.why_none())
        node = ready[0] if len(ready) == 1 else self.algorithm.pick(request, ready, now)
        board.q[board.own + S_PICKS] += 1
        node.start()  # nothing has yielded since the pick
        return node

    def sequence(self) -> int:
        """Picks made so far by all workers of this balancer."""
        q = self._board.q
        return sum([q[at] for at in self._picks])

    def why_none(self) -> str:
        """One sentence for people: why no node may be picked."""
        words = ", ".join(f"{node.name} {node.admin.word}/{node.health.word}" for node in self._board.nodes)
        return f"no node is ready ({words})"

    def _without_cold(self, ready: list[NodeRecord], now: float) -> list[NodeRecord]:
        """Slow start, the same for every algorithm: a warming node is on offer only for its share of the picks."""
        warm = [
            n for n in ready if n not in self._warming or self._rng.random() < n.slow_start(now, self._slow_start_s)
        ]
        return warm or ready
