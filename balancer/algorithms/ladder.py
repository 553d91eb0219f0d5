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
        self.level, self.service_ms, self.slots, self.own, self.others, self.report_at = "L4", 0.0, 0, 0, 0, 0.0

    def read(self, node: Node, now: float) -> None:
        """Look at the node anew."""
        self.own = own = node.in_flight
        newest = node.newest_report()
        if newest is None:
            self.report_at = 0.0
            return self._guess(node, now)
        report, self.report_at, sent = newest
        service_ms, age_s = report["service_ms"], now - self.report_at
        if service_ms <= 0 or (age_s >= FRESH_S and own):
            return self._guess(node, now)
        # A node that serves nobody repeats its old figure in every report: it is as old as the last answer.
        answered_at = node.latency_ms()[1]
        self.service_ms = faded(service_ms, now - answered_at if answered_at else age_s)
        said = report["slots"]
        self.slots = said or node.slots or 0
        if age_s < FRESH_S:
            others = report["rif"] + sent - own
            self.others = others if others > 0 else 0
            self.level = "L0" if said else "L1" if self.slots else "L3"
        else:  # old, and the node idle as far as we know: its speed is the best guess
            self.others, self.level = 0, "L1"

    def _guess(self, node: Node, now: float) -> None:
        """What is known without a report that can be used."""
        self.others = 0
        self.slots = slots = node.slots or 0
        service_ms, at = node.own_service_ms() if slots else (0.0, 0.0)
        self.level = "L2"
        if service_ms <= 0:
            self.slots, self.level = 0, "L3"
            service_ms, at = node.latency_ms()
        if service_ms > 0:
            self.service_ms = faded(service_ms, now - at)
        else:
            self.slots, self.level, self.service_ms = slots, "L4", 0.0


def estimate(node: Node, now: float) -> Estimate:
    """The node as it is known at `now`."""
    found = Estimate()
    found.read(node, now)
    return found


def faded(ms: float, age_s: float) -> float:
    """A sample that is `age_s` old; the first second costs nothing."""
    return ms * exp((1.0 - age_s) / FADE_S) if age_s > 1.0 else ms
