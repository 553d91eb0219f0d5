"""The last 500 things that happened, whoever saw them: balancers, hosts' listeners, the dashboard itself."""

from collections import deque
from typing import NamedTuple

from cluster import wire

KEPT = 500
MAX_TEXT = 300


class Entry(NamedTuple):
    """One line of the event log; travels as an array in this order."""

    id: int  # ours; grows by one
    at: float
    kind: str
    node: str | None
    who: str
    text: str
    source: str  # balancer or host that told us; "dashboard" for our own


class EventLog:
    """Ring of entries without doubles: a source that repeats itself is heard once."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self._heard: deque[tuple[str, str, int, float]] = deque(maxlen=2 * kept)
        self._heard_set: set[tuple[str, str, int, float]] = set()
        self._next = 1

    def add(self, source: str, boot: str, event: wire.Event) -> Entry | None:
        """Keep an event; None when it was heard before. `boot` says to which run of the source its `seq` belongs."""
        key = (source, boot, event["seq"], event["at"])
        if key in self._heard_set:
            return None
        if len(self._heard) == self._heard.maxlen:
            self._heard_set.discard(self._heard[0])
        self._heard.append(key)
        self._heard_set.add(key)
        node = event["node"]
        return self._keep(
            event["at"], event["kind"], None if node is None else str(node), event["who"], event["text"], source
        )

    def note(self, at: float, kind: str, text: str, node: str | None = None, who: str = "dashboard") -> Entry:
        """Keep something that the dashboard itself saw or did."""
        return self._keep(at, kind, node, who, text, "dashboard")

    def newest(self, count: int = KEPT) -> list[Entry]:
        """The newest `count`, oldest first."""
        return list(self._entries)[-count:]

    def _keep(self, at: float, kind: str, node: str | None, who: str, text: str, source: str) -> Entry:
        entry = Entry(self._next, round(float(at), 3), str(kind), node, str(who), str(text)[:MAX_TEXT], source)
        self._next += 1
        self._entries.append(entry)
        return entry
