"""What has just passed, from counters that only grow: the dots of the traffic picture.

Windows look back ten seconds; a drain would be seen ten seconds late in them. The difference of two snapshots is seen
at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cluster import wire


class Passed(NamedTuple):
    """Of one node, since the tick before, all balancers together."""

    per_s: float  # attempts a second
    failed: int
    retried: int  # of the failed ones, those that another node took over


def errors_of(view: wire.NodeView) -> int:
    """What went wrong at a node so far. A balancer of an older release does not count bad answers."""
    return view["errors"] + view.get("bad_answers", 0)


@dataclass(frozen=True)
class _Counted:
    at: float
    attempts: int
    errors: int
    retried: int


NOTHING = Passed(0.0, 0, 0)


class Flow:
    """Remembers each node's counters at each balancer, from one tick to the next."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], _Counted] = {}
        self._per_s: dict[tuple[str, str], float] = {}

    def take(self, snapshots: Sequence[wire.Snapshot]) -> dict[str, Passed]:
        """By node name. A first look, and counters that began anew, give nothing."""
        out: dict[str, Passed] = {}
        for snapshot in snapshots:
            for view in snapshot["nodes"]:
                key = (snapshot["balancer"], view["name"])
                counted = _Counted(snapshot["at"], view["attempts"], errors_of(view), view["retried"])
                passed = self._since(key, counted)
                so_far = out.get(view["name"], NOTHING)
                out[view["name"]] = Passed(*(a + b for a, b in zip(so_far, passed, strict=True)))  # type: ignore[arg-type]
        known = {(s["balancer"], view["name"]) for s in snapshots for view in s["nodes"]}
        for gone in self._before.keys() - known:
            del self._before[gone]
            self._per_s.pop(gone, None)
        return out

    def _since(self, key: tuple[str, str], now: _Counted) -> Passed:
        before = self._before.get(key)
        self._before[key] = now
        if before is None or now.attempts < before.attempts:
            self._per_s[key] = 0.0
            return NOTHING
        if now.at - before.at < 0.05:  # the same snapshot again: one balancer was slower than the tick
            self._before[key] = before
            return Passed(self._per_s.get(key, 0.0), 0, 0)
        per_s = (now.attempts - before.attempts) / (now.at - before.at)
        self._per_s[key] = per_s
        return Passed(per_s, max(0, now.errors - before.errors), max(0, now.retried - before.retried))
