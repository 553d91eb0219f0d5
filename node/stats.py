"""What a node counts, and what it knows of its own speed."""

from collections import OrderedDict
from typing import Any

from cluster.config import Kind
from cluster.service_time import typical_ms

EXECUTIONS_KEPT = 10_000
LONGEST_ID = 128  # characters; longer ids are echoed but not remembered, so that memory stays bounded


class Stats:
    """Counters since the process started; they only grow."""

    def __init__(self) -> None:
        self.by_kind = dict.fromkeys(Kind, 0)
        self.errors = 0  # answers of 500 and above, wanted or not
        self.rejected = 0  # answers of 400 to 499: the client's fault
        self.turned_away = 0  # of the errors: the queue was full
        self.refused = 0  # reset by a fault, no answer
        self.aborted = 0  # the client left before the end
        self.bytes_in = 0  # request bodies
        self.bytes_out = 0  # answer bodies
        self.service_ms = 0.0  # typical pure service time; 0 = none yet
        self._times = 0  # that went into it
        self._executions: OrderedDict[str, int] = OrderedDict()

    def counters(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "requests": sum(self.by_kind.values()),
            "by_kind": {kind.value: count for kind, count in self.by_kind.items()},
            "errors": self.errors,
            "rejected": self.rejected,
            "turned_away": self.turned_away,
            "refused": self.refused,
            "aborted": self.aborted,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }

    def served(self, service_ms: float) -> None:
        """A request took so long in its slot, waiting in the queue and for its client not counted."""
        self._times += 1
        self.service_ms = typical_ms(self.service_ms, service_ms, self._times)

    def executed(self, request_id: str | None) -> None:
        """Work on a request began. Counted by its id, so that a test can see that none was done twice."""
        if not request_id or len(request_id) > LONGEST_ID:
            return
        self._executions[request_id] = self._executions.get(request_id, 0) + 1
        self._executions.move_to_end(request_id)
        if len(self._executions) > EXECUTIONS_KEPT:
            self._executions.popitem(last=False)

    def executions(self) -> dict[str, int]:
        """Request id -> how often it was worked on; the last 10,000 ids, oldest first."""
        return dict(self._executions)
