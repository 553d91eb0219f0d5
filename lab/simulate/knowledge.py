"""What one balancer knows of one node: the simulator's part of `balancer.algorithms.base.Node`.

Plain attributes where the live balancer has shared memory (`balancer.node_record.NodeRecord`); a test holds the two
against each other, figure by figure.
"""

from cluster.service_time import typical_ms
from cluster.wire import NodeReport

EWMA = 0.05  # of latency, as in balancer/node_record.py


class KnownNode:
    """One balancer's view. Times are simulated seconds from 1 on: 0 means never, as on the scoreboard."""

    __slots__ = (
        "_latency_at", "_latency_ms", "_own_service_at", "_own_service_ms", "_own_services", "_report", "_report_at",
        "_sent_at_report", "attempts", "in_flight", "index", "name", "slots", "weight",
    )  # fmt: skip

    def __init__(self, index: int, name: str, slots: int | None, weight: int) -> None:
        self.index = index
        self.name = name
        self.slots = slots
        self.weight = weight
        self.in_flight = 0
        self.attempts = 0
        self._report: NodeReport | None = None
        self._report_at = 0.0
        self._sent_at_report = 0
        self._latency_ms = self._latency_at = 0.0
        self._own_service_ms = self._own_service_at = 0.0
        self._own_services = 0

    def newest_report(self) -> tuple[NodeReport, float, int] | None:
        if self._report is None:
            return None
        return self._report, self._report_at, self.attempts - self._sent_at_report

    def own_service_ms(self) -> tuple[float, float]:
        return self._own_service_ms, self._own_service_at

    def latency_ms(self) -> tuple[float, float]:
        return self._latency_ms, self._latency_at

    def answered(self, latency_ms: float, unqueued: bool, now: float) -> None:
        """A whole answer came; `unqueued`: when it was sent, a slot was free as far as this balancer knew."""
        old = self._latency_ms
        self._latency_ms = old + EWMA * (latency_ms - old) if old else latency_ms
        self._latency_at = now
        if unqueued:
            self._own_services += 1
            self._own_service_ms = typical_ms(self._own_service_ms, latency_ms, self._own_services)
            self._own_service_at = now

    def reported(self, report: NodeReport, now: float) -> None:
        """A report came, with an answer or a probe."""
        self._report = report
        self._report_at = now
        self._sent_at_report = self.attempts
