"""Who watches. Hidden tabs do not, and a browser that has stopped reading gets nothing until it reads again.

Engine.IO's send queue has no bound: a phone that fell asleep would fill it. So each browser says from time to time
which tick it has drawn, and one that is too far behind is left out until it speaks; so is one that says so without
having read what it was sent.
"""

from collections.abc import Callable

STALLED_TICKS = 20
"""Ten seconds at two ticks a second; browsers answer every fourth tick."""


class Viewers:
    """Sessions in the live room, with the newest tick that each has confirmed."""

    def __init__(self) -> None:
        self._drawn: dict[str, int] = {}
        self._stalled: set[str] = set()

    @property
    def watching(self) -> bool:
        """Whether anybody gets ticks now."""
        return bool(self._drawn)

    def joined(self, sid: str, tick: int) -> None:
        """It was sent everything up to `tick`."""
        self._stalled.discard(sid)
        self._drawn[sid] = tick

    def left(self, sid: str) -> None:
        """Hidden or gone."""
        self._stalled.discard(sid)
        self._drawn.pop(sid, None)

    def drew(self, sid: str, tick: int) -> bool:
        """It has drawn `tick`; True when it had been left out and must be sent everything anew."""
        if sid in self._drawn:
            self._drawn[sid] = tick
        return sid in self._stalled

    def left_out(self, sid: str) -> None:
        """It gets nothing until it has drawn something again."""
        self._drawn.pop(sid, None)
        self._stalled.add(sid)

    def stalled(self, tick: int, is_full: Callable[[str], bool]) -> list[str]:
        """Those to leave out from now on; `is_full`: whether somebody has too much to read already."""
        behind = [sid for sid, drawn in self._drawn.items() if tick - drawn > STALLED_TICKS or is_full(sid)]
        for sid in behind:
            self.left_out(sid)
        return behind
