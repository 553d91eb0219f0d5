"""How often a wrong token may be tried. Pure: `now` is given, in seconds of any clock that only goes forward."""

from collections import OrderedDict, deque

TRIES = 10
WINDOW_S = 60.0
ADDRESSES = 1000


class SignInLimit:
    """Wrong tokens by client address, the last minute's. Bounded: the address longest unheard is forgotten first."""

    def __init__(self, tries: int = TRIES, window_s: float = WINDOW_S) -> None:
        self._tries = tries
        self._window_s = window_s
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str, now: float) -> float:
        """How long this address has to wait until it may try again; 0 when it need not."""
        times = self._wrong.get(address)
        if times is None or len(times) < self._tries:
            return 0.0
        return max(0.0, times[0] + self._window_s - now)

    def wrong(self, address: str, now: float) -> bool:
        """A wrong token came from there. True when it was the last one that is tried."""
        times = self._wrong.setdefault(address, deque(maxlen=self._tries))
        self._wrong.move_to_end(address)
        times.append(now)
        while len(self._wrong) > ADDRESSES:
            self._wrong.popitem(last=False)
        return self.wait_s(address, now) > 0

    def right(self, address: str) -> None:
        """The right token came from there: what was typed wrong before is forgiven."""
        self._wrong.pop(address, None)
