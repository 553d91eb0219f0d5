"""What the charts show after a reload: one point a second for five minutes, kept by the server.

Columns, not rows: they compress better, and a plot wants columns. Bounded by construction.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

SECONDS = 300
TOTALS = ("rps", "errors_per_s", "p50_ms", "p95_ms", "p99_ms", "in_flight")
"""The columns that are kept of the whole balancer; node columns are requests per second."""

NUMBERS = 6000
"""Most numbers of node columns in `packed`: more nodes get a coarser picture, not a bigger message."""

Number = float | None


class History:
    """Ring buffers of the last `seconds`; times are seconds since the epoch."""

    def __init__(self, seconds: int = SECONDS) -> None:
        self._seconds = seconds
        self._at: deque[float] = deque(maxlen=seconds)
        self._totals: dict[str, deque[Number]] = {name: deque(maxlen=seconds) for name in TOTALS}
        self._nodes: dict[str, deque[Number]] = {}

    def __len__(self) -> int:
        return len(self._at)

    def add(self, at: float, totals: Sequence[Number], nodes: dict[str, Number]) -> bool:
        """Keep a point, `totals` in the order of TOTALS; False when less than a second has passed since the last.

        A node that is new has had nothing before; one that is gone has nothing from now on, and leaves with its last
        point.
        """
        if self._at and 0 <= at - self._at[-1] < 0.95:
            return False
        for name in nodes.keys() - self._nodes.keys():
            self._nodes[name] = deque([None] * len(self._at), maxlen=self._seconds)
        self._at.append(at)
        for column, value in zip(self._totals.values(), totals, strict=True):
            column.append(value)
        for name, column in list(self._nodes.items()):
            column.append(nodes.get(name))
            if name not in nodes and all(value is None for value in column):
                del self._nodes[name]
        return True

    def packed(self, names: Sequence[str]) -> dict[str, Any]:
        """For the wire: `at` (milliseconds since `t0`, which is in seconds), a column a total, a column a name."""
        step = max(1, -(-len(names) * len(self._at) // NUMBERS))
        keep = range((len(self._at) - 1) % step, len(self._at), step) if self._at else range(0)

        def thin(column: Sequence[Number]) -> list[Number]:
            return [column[i] for i in keep]

        at = thin(list(self._at))
        t0 = at[0] if at and at[0] is not None else 0.0
        nothing: list[Number] = [None] * len(self._at)
        return {
            "t0": round(t0, 3),
            "at": [round((t - t0) * 1000) for t in at if t is not None],
            "totals": {name: thin(list(column)) for name, column in self._totals.items()},
            "nodes": [thin(list(self._nodes[name]) if name in self._nodes else nothing) for name in names],
        }
