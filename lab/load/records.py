"""What became of each request: one row a request, as arrays. Pure.

The arrays travel from Locust's workers as bytes, and several generators' records are merged into one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OK = "ok"
TIMEOUT = "timeout"
UNSENT = "unsent"
"""The run was broken off before its turn came."""

ROW = np.dtype([
    ("index", "i8"),         # number in the schedule
    ("due_s", "f8"),         # when it was to be sent, from the start
    ("sent_s", "f8"),        # when its bytes were handed to the kernel; nan: never
    ("done_s", "f8"),        # when its last byte was there, or it was given up; nan: never
    ("kind", "i2"),
    ("node", "i2"),          # index into `nodes`
    ("outcome", "i2"),       # index into `outcomes`
    ("work_ms", "f8"),       # work on a node of speed 1; nan: not known
    ("service_ms", "f8"),    # what the node meant to work on it; nan: not said
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Records:
    """A run. `rows` has the dtype ROW."""

    rows: NDArray[Any]
    kinds: Sequence[str]
    nodes: Sequence[str]
    """"" is among them: no node answered."""
    outcomes: Sequence[str]
    """`ok`, a status such as `503`, `timeout`, `refused`, `reset`, `cut`, `garbage`, `unsent`."""
    duration_s: float
    """Length of the schedule."""
    wall_s: float
    """From its start to the last answer."""
    cpu_share: float
    """Of one CPU, that the generator itself used; the busiest one's, if there were several."""
    deadline_s: float

    def __len__(self) -> int:
        return len(self.rows)

    def after(self, start_s: float) -> "Records":
        """Without those due before `start_s`: the warm-up is cut off."""
        return self._with(self.rows[self.rows["due_s"] >= start_s], self.duration_s - start_s)

    def finished(self) -> "Records":
        """Without those that never got an outcome: the run was broken off."""
        return self._with(self.rows[self.rows["outcome"] != self.outcomes.index(UNSENT)], self.wall_s)

    def of_kind(self, kind: str) -> "Records":
        """Those of one kind."""
        return self._with(self.rows[self.rows["kind"] == list(self.kinds).index(kind)], self.duration_s)

    def _with(self, rows: NDArray[Any], duration_s: float) -> "Records":
        return Records(rows, self.kinds, self.nodes, self.outcomes, duration_s, self.wall_s, self.cpu_share,
                       self.deadline_s)  # fmt: skip

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which were answered well."""
        return np.asarray(self.rows["outcome"] == self.outcomes.index(OK))

    def latencies_ms(self) -> NDArray[np.float64]:
        """Of all that were to be sent, from the intended moment. One without a good answer counts as the deadline:
        a balancer that fails quickly must not look fast."""
        latency = (self.rows["done_s"] - self.rows["due_s"]) * 1e3
        return np.asarray(np.where(self.ok, latency, np.fmax(latency, self.deadline_s * 1e3)))

    def lags_ms(self) -> NDArray[np.float64]:
        """How much later than intended each was sent."""
        sent = self.rows["sent_s"]
        return np.asarray((sent - self.rows["due_s"])[~np.isnan(sent)] * 1e3)

    def counts(self) -> dict[str, int]:
        """Requests by outcome."""
        return {
            name: int(count)
            for name, count in zip(
                self.outcomes, np.bincount(self.rows["outcome"], minlength=len(self.outcomes)), strict=True
            )
            if count
        }

    def by_node(self) -> dict[str, int]:
        """Answers of any status by node."""
        counts = np.bincount(self.rows["node"], minlength=len(self.nodes))
        return {name: int(count) for name, count in zip(self.nodes, counts, strict=True) if count and name}


def merge(parts: Sequence[Records]) -> Records:
    """The records of generators that each sent a part of one schedule, in the order of the schedule."""
    nodes = sorted({name for part in parts for name in part.nodes})
    outcomes = sorted({name for part in parts for name in part.outcomes} | {OK})
    rows = []
    for part in parts:
        mine = part.rows.copy()
        mine["node"] = np.array([nodes.index(name) for name in part.nodes], dtype="i2")[part.rows["node"]]
        mine["outcome"] = np.array([outcomes.index(name) for name in part.outcomes], dtype="i2")[part.rows["outcome"]]
        rows.append(mine)
    together = np.concatenate(rows)
    first = parts[0]
    return Records(
        together[np.argsort(together["index"], kind="stable")], first.kinds, nodes, outcomes, first.duration_s,
        max(part.wall_s for part in parts), max(part.cpu_share for part in parts), first.deadline_s,
    )  # fmt: skip


def to_message(records: Records) -> dict[str, Any]:
    """As a dict of plain values and bytes, for the wire between Locust's processes."""
    return {
        "rows": records.rows.tobytes(), "kinds": list(records.kinds), "nodes": list(records.nodes),
        "outcomes": list(records.outcomes), "duration_s": records.duration_s, "wall_s": records.wall_s,
        "cpu_share": records.cpu_share, "deadline_s": records.deadline_s,
    }  # fmt: skip


def from_message(message: dict[str, Any]) -> Records:
    """The other way."""
    return Records(**{**message, "rows": np.frombuffer(message["rows"], dtype=ROW)})
