"""Figures over the last ten seconds, from counters that only grow.

A sample is a copy of the counters; the difference between the newest and the oldest one kept is the window. So
percentiles come from merged histograms of that time, never from averages of percentiles.
"""

from collections import deque
from operator import sub

from cluster.histogram import packed, percentiles
from cluster.wire import Window

WINDOW_S = 10.0
SHARES = (0.50, 0.95, 0.99)


class Rolling:
    """The window of one series of (count, errors, histogram)."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int, list[int]]] = deque()

    def unchanged(self, count: int, errors: int) -> bool:
        """Whether the newest sample has the same counts, so that its histogram need not be read again."""
        return bool(self._samples) and self._samples[-1][1:3] == (count, errors)

    def sample(self, now: float, count: int, errors: int, histogram: list[int] | None) -> None:
        """Take a copy of the counters; `histogram` None: the same as last time."""
        if histogram is None:
            histogram = self._samples[-1][3]
        self._samples.append((now, count, errors, histogram))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW_S:
            self._samples.popleft()

    def window(self, *, histogram: bool = False) -> Window:
        """The figures now; `histogram`: with what the percentiles are from, for those who add up several balancers."""
        if len(self._samples) < 2:
            window = Window(seconds=0.0, rps=0.0, errors_per_s=0.0, p50_ms=None, p95_ms=None, p99_ms=None)
            return {**window, "histogram": []} if histogram else window
        first, last = self._samples[0], self._samples[-1]
        seconds = max(1e-9, last[0] - first[0])
        counts = [] if first[3] is last[3] else [max(0, n) for n in map(sub, last[3], first[3])]
        p50, p95, p99 = percentiles(counts, SHARES)
        window = Window(
            seconds=round(seconds, 2),
            rps=round(max(0, last[1] - first[1]) / seconds, 2),
            errors_per_s=round(max(0, last[2] - first[2]) / seconds, 2),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
        )
        return {**window, "histogram": packed(counts)} if histogram else window
