"""What is known of a node, from the best source that there is: the five levels that the dashboard shows.

    L0  fresh reports with slots and service time
    L1  reports without slots: slots from config.json; or an old report of a node that is idle as far as we know
    L2  no reports: own requests in flight, service time from own requests that met a free slot
    L3  slots unknown: moving average of latency
    L4  no sample at all

A service time fades, exp(-age / 10 s), once a node has not answered for a second, so that a node that was slow is tried
again: who is not picked has no other way to show that it is well.
"""

from math import exp

from balancer.algorithms.base import Node

FADE_S = 10.0
FRESH_S = 5.0  # a report older than this says nothing of the present queue


class Estimate:
    """What is known of one node. `service_ms` 0: no sample. `slots` 0: unknown. `others`: requests at the node that are
    not this balancer's, as of its newest report. `own`: this balancer's, when this was read."""

    __slots__ = ("level", "others", "own", "report_at", "service_ms", "slots")

    def __init__(self) -> None:
        self._set("L4", 0.0, 0, 0, 0, 0.0)

    def _set(self, level: str, service_ms: float, slots: int, own: int, others: int, report_at: float) -> None:
        self.level = level
        self.service_ms = service_ms
        self.slots = slots
        self.own = own
        self.others = others
        self.report_at = report_at

    def read(self, node: Node, now: float) -> None:
        """Look at the node anew."""
        own = node.in_flight
        latency_ms, answered_at = node.latency_ms()
        newest = node.newest_report()
        report_at = 0.0
        if newest is not None:
            report, report_at, sent = newest
            service_ms = report["service_ms"]
            if service_ms > 0:
                said = report["slots"]
                slots = said or node.slots or 0
                # A node that serves nobody repeats its old figure in every report: it is as old as the last answer.
                service_ms = faded(service_ms, now - (answered_at or report_at))
                if now - report_at < FRESH_S:
                    others = report["rif"] + sent - own
                    level = "L0" if said else "L1" if slots else "L3"
                    return self._set(level, service_ms, slots, own, others if others > 0 else 0, report_at)
                if own == 0:  # old, but its speed is the best guess
                    return self._set("L1", service_ms, slots, own, 0, report_at)
        if node.slots:
            service_ms, at = node.own_service_ms()
            if service_ms > 0:
                return self._set("L2", faded(service_ms, now - at), node.slots, own, 0, report_at)
        if latency_ms > 0:
            return self._set("L3", faded(latency_ms, now - answered_at), 0, own, 0, report_at)
        return self._set("L4", 0.0, node.slots or 0, own, 0, report_at)


def estimate(node: Node, now: float) -> Estimate:
    """The node as it is known at `now`."""
    found = Estimate()
    found.read(node, now)
    return found


def faded(ms: float, age_s: float) -> float:
    """A sample that is `age_s` old; the first second costs nothing."""
    return ms * exp((1.0 - age_s) / FADE_S) if age_s > 1.0 else ms
