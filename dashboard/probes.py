"""What the probes of each node saw, as the page draws it: a strip of the last 40, and the words beside it.

The strip changes with every probe, so it travels as numbers, two seconds apart; the words (where, how often, why it
failed) travel with the layout. With several balancers, each of which probes on its own, the first one's are shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster import wire

EVERY_TURNS = 4
"""Balancers are asked for probes at each fourth turn only: two seconds apart while somebody watches."""

Strip = list[Any]
"""`[length, bits, last_ms]`: bits as hexadecimal digits, newest lowest, 1 for a pass."""


class Probes:
    """The newest probe results by balancer and node."""

    def __init__(self) -> None:
        self._of: dict[str, Mapping[str, wire.ProbeView]] = {}

    def saw(self, balancer: str, views: Mapping[str, wire.ProbeView]) -> None:
        """A balancer's snapshot had probes."""
        self._of[balancer] = views

    def lost(self, balancer: str) -> None:
        """Nobody knows what that balancer's probes see now."""
        self._of.pop(balancer, None)

    def strips(self, names: Sequence[str]) -> list[Strip | None]:
        """The numbers, in the order of `names`; None for a node that nobody probes."""
        return [_strip(view) if (view := self._view(name)) else None for name in names]

    def about(self, name: str) -> dict[str, Any] | None:
        """The words; None for a node that nobody probes. No cause while probes pass."""
        view = self._view(name)
        if view is None:
            return None
        cause = view["cause"] if view["fails"] else ""
        return {"path": view["path"], "interval_s": view["interval_s"], "cause": cause}

    def _view(self, name: str) -> wire.ProbeView | None:
        return next((views[name] for views in self._of.values() if name in views), None)


def _strip(view: wire.ProbeView) -> Strip:
    bits = 0
    for result in view["history"]:
        bits = bits << 1 | bool(result)
    last_ms = view["last_ms"]
    return [len(view["history"]), f"{bits:x}", None if last_ms is None else round(last_ms, 1)]
