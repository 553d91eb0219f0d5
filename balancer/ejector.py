"""Passive ejection: a node whose attempts fail one after the other sits out for a while.

Each worker judges by what it sees itself, on its own scoreboard slot; the pause doubles with each ejection in a row and
shrinks again after a time without one. Never more than `max_share` of the nodes sit out at once (but one always may),
and when only ejected nodes are left they are used after all: see `LAST_RESORT` in cluster/states.py.
"""

from balancer.node_record import NodeRecord
from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import N_CAUSE, N_EJECTED_UNTIL, N_EJECTIONS, N_ERRORS, N_FAILURES
from cluster.config import Ejection

CAUSES = (
    "", "refused", "connect_timeout", "reset", "closed", "cut_off", "first_byte_timeout", "idle_timeout", "not_http",
    "node_down", "other",
)  # fmt: skip
_CODE = {cause: code for code, cause in enumerate(CAUSES)}
_FORGIVE = 4  # an ejection is forgotten after so many times its length without another


class Ejector:
    """Counts failures of attempts and ejects, for one worker."""

    def __init__(self, board: Scoreboard, settings: Ejection) -> None:
        self._board = board
        self._settings = settings

    def failed(self, node: NodeRecord, reason: str, now: float) -> bool:
        """Note a failed attempt; True when the node is ejected by it."""
        board, settings, own = self._board, self._settings, node.own
        board.q[own + N_ERRORS] += 1
        board.q[own + N_FAILURES] += 1
        board.q[own + N_CAUSE] = _CODE.get(reason, _CODE["other"])
        if not settings.enabled or board.q[own + N_FAILURES] < settings.consecutive_failures:
            return False
        if node.ejected_until() > now or not self._may_eject(now):
            return False
        board.d[own + N_EJECTED_UNTIL] = now + self._pause_s(node, now)
        board.q[own + N_EJECTIONS] += 1
        board.q[own + N_FAILURES] = 0
        return True

    def _may_eject(self, now: float) -> bool:
        out = sum(node.ejected_until() > now for node in self._board.nodes)
        return out < max(1, int(self._settings.max_share * len(self._board.nodes)))

    def _pause_s(self, node: NodeRecord, now: float) -> float:
        """Doubled at each ejection that comes soon after the last."""
        settings = self._settings
        until = self._board.d[node.own + N_EJECTED_UNTIL]
        earlier = self._board.q[node.own + N_EJECTIONS] if until else 0
        length = min(settings.max_s, settings.base_s * (1 << min(earlier, 16)))
        if until and now > until + _FORGIVE * length:
            self._board.q[node.own + N_EJECTIONS] = 0
            return settings.base_s
        return length
