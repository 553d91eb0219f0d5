"""One simulated balancer: an algorithm, and what it knows of each node. The counterpart of `balancer/picker.py`.

The order of the calls is the contract of `balancer/algorithms/base.py`.
"""

from collections import deque
from collections.abc import Sequence

from balancer.algorithms import Algorithm, Need
from cluster.wire import NodeReport
from lab.simulate.knowledge import KnownNode
from lab.simulate.nodes import FifoNode, SharingNode


class Flight:
    """One request on its way. `kind`, `client_key` and `sequence` are what algorithms see of it."""

    __slots__ = (
        "at", "balancer", "client_key", "free_slot", "kind", "known", "node", "number", "report", "sent_at", "sequence",
        "service_s", "waits", "work_s",
    )  # fmt: skip

    def __init__(
        self, number: int, kind: str, client_key: str, at: float, work_s: float, balancer: "SimulatedBalancer"
    ) -> None:
        self.number = number
        self.kind = kind
        self.client_key = client_key
        self.at = at  # when it came
        self.work_s = work_s
        self.balancer = balancer
        self.service_s = -1.0  # -1: not served (yet)
        self.waits = False  # in the balancer, for a node below its cap
        self.report: NodeReport | None = None  # comes with the answer

    # Set when it is sent
    sequence: int
    known: KnownNode  # the node, as the balancer knows it
    node: FifoNode | SharingNode  # and as it is
    sent_at: float
    free_slot: bool  # a slot was free as far as the balancer knew


class Probe:
    """One question for a report on its way to a node, or back with the answer."""

    __slots__ = ("balancer", "node", "number", "report")

    def __init__(self, number: int, balancer: "SimulatedBalancer", node: KnownNode) -> None:
        self.number = number
        self.balancer = balancer
        self.node = node
        self.report: NodeReport | None = None


class SimulatedBalancer:
    """Picks nodes and keeps account of what it sees. `caps`: most requests in flight at each node; None: no limit."""

    def __init__(
        self, algorithm: Algorithm, nodes: Sequence[KnownNode], caps: Sequence[int] | None, now: float
    ) -> None:
        self.algorithm = algorithm
        self.nodes = list(nodes)
        self.picks = 0
        self.waiting: deque[Flight] = deque()  # requests that wait for a node below its cap
        self._caps = caps
        self._asked: set[int] = set()  # nodes to which a probe is under way
        kind = type(algorithm)
        self.hears = Need.REPORT in kind.needs or kind.overrides("on_report") or kind.overrides("on_end")
        self.learns = self.hears or Need.LATENCY in kind.needs
        self.on_start = algorithm.on_start if kind.overrides("on_start") else None
        self.on_end = algorithm.on_end if kind.overrides("on_end") else None
        self.on_report = algorithm.on_report if kind.overrides("on_report") else None
        self.probes = kind.overrides("probe")
        # All that it sees of answers is that in flight goes down.
        self.only_counts = not (self.learns or self.probes or self.on_start or caps is not None)
        if kind.overrides("on_membership"):
            algorithm.on_membership(self.nodes, now)

    def pick(self, request: Flight, now: float) -> KnownNode | None:
        """The node for a request, counted as started; None when each has as many as it may have."""
        ready: list[KnownNode] = self.nodes
        if self._caps is not None:
            ready = [node for node, cap in zip(ready, self._caps, strict=True) if node.in_flight < cap]
            if not ready:
                return None
        request.sequence = self.picks
        node = self.algorithm.pick(request, ready, now) if len(ready) > 1 else ready[0]
        self.picks += 1
        node.in_flight += 1
        node.attempts += 1
        if self.on_start is not None:
            self.on_start(node, request, now)
        return node

    def answered(self, flight: Flight, now: float) -> None:
        """An answer came, or the node dropped the request: learn from it. In flight is down already."""
        known, report = flight.known, flight.report
        latency_ms = (now - flight.sent_at) * 1000
        ok = flight.service_s >= 0
        if ok:
            if report is not None:
                known.reported(report, now)
                if self.on_report is not None:
                    self.on_report(known, report, now)
            known.answered(latency_ms, flight.free_slot, now)
        if self.on_end is not None:
            service_ms = flight.service_s * 1000 if report is not None else latency_ms if flight.free_slot else 0.0
            self.on_end(known, flight, now, latency_ms, service_ms if ok else 0.0, ok)

    def to_probe(self, now: float) -> list[KnownNode]:
        """Whom to ask for a report now; `probed` must follow for each."""
        wanted = self.algorithm.probe(self.nodes, now)
        if not wanted:
            return []
        nodes = [node for node in wanted if node.index not in self._asked]
        self._asked.update(node.index for node in nodes)
        return nodes

    def probed(self, node: KnownNode, report: NodeReport, now: float) -> None:
        """The answer to a probe came."""
        self._asked.discard(node.index)
        node.reported(report, now)
        if self.on_report is not None:
            self.on_report(node, report, now)
