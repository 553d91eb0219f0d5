"""The event loop: arrivals in order from the workload, all else from one heap. Read this first.

    arrive -> (wait in the balancer) -> pick -> [half the round trip] -> enter the node -> leave it -> [half] -> answer

Every event is (time, code, subject): code = 8 x number + what happens, so that events of one time come in a fixed
order and a run depends on nothing but scenario, algorithm and seed. Simulated time begins at 1 s: 0 means "never" on a
scoreboard.
"""

import gc
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from balancer.algorithms import Algorithm
from lab.simulate.balancer import Flight, Probe, SimulatedBalancer
from lab.simulate.knowledge import KnownNode
from lab.simulate.nodes import FifoNode, SharingNode, SpeedChange
from lab.simulate.scenario import Scenario
from lab.simulate.workload import Workload

START_S = 1.0
LEAVE, ANSWER, ENTER, SHARED, GIVE_UP, PROBE, ROUND, CHANGE = range(8)

Event = tuple[float, int, Any]

Progress = Callable[[int], None]
"""Is told now and then how many requests have arrived."""
TELL_EVERY = 5000

MakeAlgorithm = Callable[[Random, int], Algorithm]
"""An algorithm's object for one balancer, from its randomness and the number of balancers."""


@dataclass(frozen=True)
class Outcome:
    """What became of each request, in the order of arrival."""

    latency_ms: npt.NDArray[np.float64]  # the deadline for those that failed
    node: npt.NDArray[np.int64]  # index; -1: it never left the balancer
    ok: npt.NDArray[np.bool_]
    busy_s: tuple[float, ...]  # slot time that each node has been at work
    until_s: float  # when the last answer came, from the beginning of the run


class Run:
    """One simulation. `make`: the algorithm's object for one balancer, from its randomness. `picks`: how many each
    balancer has made before."""

    def __init__(self, scenario: Scenario, workload: Workload, make: MakeAlgorithm, seed: int, picks: int = 0) -> None:
        self.workload = workload
        self.clients = [f"client-{i}" for i in range(scenario.clients)]
        self.events: list[Event] = [(inf, 0, None)]  # never empty
        self.nodes = make_nodes(scenario, workload)
        self.balancers = make_balancers(scenario, make, seed)
        for balancer in self.balancers:
            balancer.picks = picks
        self.half_s = scenario.rtt_ms / 2000
        self.half_probe_s = scenario.probe_rtt_ms / 2000
        self.deadline_s = inf if scenario.deadline_ms is None else scenario.deadline_ms / 1000
        self.reports = scenario.reports and any(balancer.hears for balancer in self.balancers)
        self.probe_every_s = scenario.probe_every_s if self.reports else 0.0
        self.direct = [] if self.half_s else [node for node in self.nodes if isinstance(node, FifoNode)]
        self.until_s = START_S + float(workload.at_s[-1])  # the last arrival
        self.probes = 0
        # Of each request, by number
        self.latency_s = array("d", [0.0]) * len(workload)
        self.node_of = array("q", [-1]) * len(workload)
        self.failed: list[int] = []
        self._add_changes(speed_changes(scenario, workload))

    def run(self, progress: Progress | None = None) -> Outcome:
        """Play it to the last answer."""
        collecting = gc.isenabled()
        gc.disable()  # a run makes no cycles; looking for them again and again takes a tenth of its time
        try:
            if self.direct and all(balancer.only_counts for balancer in self.balancers):
                self._play_counting(progress)
            else:
                self._play(progress)
        finally:
            if collecting:
                gc.enable()
        return self._outcome()

    def _play(self, progress: Progress | None) -> None:
        events, leave, handle, arrive = self.events, self._leave, self._handle, self._arrive
        balancers, kinds, clients = self.balancers, self.workload.kinds, self.clients
        self._start_probing()
        for number, (at, work_s, kind, client, balancer) in enumerate(self.workload.rows()):
            now = at + START_S
            while events[0][0] <= now:
                then, code, subject = heappop(events)
                if code & 7 == LEAVE:
                    leave(subject, then)
                else:
                    handle(then, code & 7, subject)
            arrive(Flight(number, kinds[kind], clients[client], now, work_s, balancers[balancer]), now)
            if progress is not None and not number % TELL_EVERY:
                progress(number)
        while len(events) > 1:
            then, code, subject = heappop(events)
            handle(then, code & 7, subject)

    def _play_counting(self, progress: Progress | None) -> None:
        """The same, faster, for rules that only count, at FIFO nodes without network between: when a request is sent
        its latency is known, and its answer is a count that goes down."""
        balancers, nodes, kinds, clients = self.balancers, self.direct, self.workload.kinds, self.clients
        latency_s, node_of, deadline_s = self.latency_s, self.node_of, self.deadline_s
        answers: list[tuple[float, int, KnownNode | None]] = [(inf, 0, None)]
        flight = Flight(0, "", "", 0.0, 0.0, balancers[0])  # nobody keeps it: one is enough
        for number, (at, work_s, kind, client, balancer) in enumerate(self.workload.rows()):
            now = at + START_S
            while answers[0][0] <= now:
                answered = heappop(answers)[2]
                assert answered is not None
                answered.in_flight -= 1
            flight.kind, flight.client_key = kinds[kind], clients[client]
            known = balancers[balancer].pick(flight, now)
            assert known is not None
            index = known.index
            leaves_at, service_s = nodes[index].take(now, work_s, now + deadline_s)
            heappush(answers, (leaves_at, number, known))
            latency_s[number] = leaves_at - now
            node_of[number] = index
            if service_s < 0:
                self.failed.append(number)
            if progress is not None and not number % TELL_EVERY:
                progress(number)

    def _handle(self, now: float, what: int, subject: Any) -> None:
        if what == LEAVE:
            self._leave(subject, now)
        elif what == ANSWER:
            self._answer(subject, now)
        elif what == ENTER:
            self._enter(subject, now)
        elif what == SHARED:
            self._leave_shared(subject, now)
        elif what == GIVE_UP:
            self._give_up(subject, now)
        elif what == PROBE:
            self._probe(subject, now)
        elif what == ROUND:
            self._round(subject, now)
        else:
            node, speed = subject
            node.change(now, speed)
            self._expect(node, now)

    # -- a request's way -----------------------------------------------------------------------------------------------

    def _arrive(self, flight: Flight, now: float) -> None:
        balancer = flight.balancer
        if balancer.waiting or not self._send(flight, now):
            flight.waits = True
            balancer.waiting.append(flight)
            if self.deadline_s < inf:
                heappush(self.events, (now + self.deadline_s, GIVE_UP | flight.number << 3, flight))
        if balancer.probes and self.reports:
            for node in balancer.to_probe(now):
                self._ask(balancer, node, now)

    def _send(self, flight: Flight, now: float) -> bool:
        """Pick a node and send the request on its way; False when every node has as many as it may."""
        known = flight.balancer.pick(flight, now)
        if known is None:
            return False
        index = known.index
        self.node_of[flight.number] = index
        flight.known = known
        flight.node = self.nodes[index]
        if flight.balancer.learns:
            flight.sent_at = now
            flight.free_slot = known.slots is None or known.in_flight <= known.slots
        if self.direct:  # what `_enter` does, without the call: this is what most simulated time is spent in
            leaves_at, flight.service_s = self.direct[index].take(now, flight.work_s, flight.at + self.deadline_s)
            heappush(self.events, (leaves_at, LEAVE | flight.number << 3, flight))
        elif self.half_s:
            heappush(self.events, (now + self.half_s, ENTER | flight.number << 3, flight))
        else:
            self._enter(flight, now)
        return True

    def _enter(self, flight: Flight, now: float) -> None:
        node = flight.node
        if isinstance(node, FifoNode):
            leaves_at, flight.service_s = node.take(now, flight.work_s, flight.at + self.deadline_s)
            heappush(self.events, (leaves_at, LEAVE | flight.number << 3, flight))
            return
        node.enter(now, flight)
        self._expect(node, now)
        if self.deadline_s < inf:
            heappush(self.events, (max(now, flight.at + self.deadline_s), GIVE_UP | flight.number << 3, flight))

    def _leave(self, flight: Flight, now: float) -> None:
        """The node is done with a request, or dropped it."""
        if self.reports:
            flight.report = flight.node.left(flight.service_s)
        if self.half_s:
            heappush(self.events, (now + self.half_s, ANSWER | flight.number << 3, flight))
        else:
            self._answer(flight, now)

    def _answer(self, flight: Flight, now: float) -> None:
        """The balancer has the answer, and the client with it."""
        balancer, known = flight.balancer, flight.known
        known.in_flight -= 1
        self.latency_s[flight.number] = now - flight.at
        if flight.service_s < 0:
            self.failed.append(flight.number)
        if balancer.learns:
            balancer.answered(flight, now)
        while balancer.waiting and self._send(balancer.waiting[0], now):
            balancer.waiting.popleft().waits = False

    def _give_up(self, flight: Flight, now: float) -> None:
        """The deadline of a request that waits in the balancer or in a sharing node."""
        if flight.waits:
            flight.balancer.waiting.remove(flight)
            self.latency_s[flight.number] = now - flight.at
            self.failed.append(flight.number)
            return
        node = flight.node
        if isinstance(node, SharingNode) and node.drop(now, flight):
            self._leave(flight, now)
            self._expect(node, now)

    # -- sharing nodes -------------------------------------------------------------------------------------------------

    def _expect(self, node: SharingNode, now: float) -> None:
        """Make an event of the next departure; the one made before is void unless the time is the same."""
        node.next_at = node.next_leave(now)
        if node.next_at < inf:
            heappush(self.events, (node.next_at, SHARED | node.index << 3, node))

    def _leave_shared(self, node: SharingNode, now: float) -> None:
        if now == node.next_at:
            flight = node.leave(now)
            assert isinstance(flight, Flight)
            self._leave(flight, now)
            self._expect(node, now)

    def _add_changes(self, changes: dict[int, list[SpeedChange]]) -> None:
        """Brown-outs of sharing nodes; a FIFO node looks up its speed itself."""
        for index, of_node in changes.items():
            node = self.nodes[index]
            if isinstance(node, SharingNode):
                for change in of_node:
                    heappush(self.events, (change.at_s, CHANGE | index << 3, (node, change.speed)))

    # -- probes --------------------------------------------------------------------------------------------------------

    def _start_probing(self) -> None:
        """The rounds of all balancers, spread evenly over their interval."""
        if not self.probe_every_s:
            return
        pairs = [(balancer, node) for balancer in self.balancers for node in balancer.nodes]
        for place, (balancer, node) in enumerate(pairs):
            probe = Probe(place, balancer, node)
            heappush(self.events, (START_S + self.probe_every_s * place / len(pairs), ROUND | place << 3, probe))

    def _round(self, probe: Probe, now: float) -> None:
        """A balancer asks a node because it is time."""
        self._ask(probe.balancer, probe.node, now)
        if now + self.probe_every_s < self.until_s:
            heappush(self.events, (now + self.probe_every_s, ROUND | probe.number << 3, probe))

    def _ask(self, balancer: SimulatedBalancer, node: KnownNode, now: float) -> None:
        self.probes += 1
        probe = Probe(self.probes, balancer, node)
        heappush(self.events, (now + self.half_probe_s, PROBE | probe.number << 3, probe))

    def _probe(self, probe: Probe, now: float) -> None:
        """A probe is at the node, or back."""
        if probe.report is not None:
            probe.balancer.probed(probe.node, probe.report, now)
            return
        probe.report = self.nodes[probe.node.index].report()
        heappush(self.events, (now + self.half_probe_s, PROBE | probe.number << 3, probe))

    def _outcome(self) -> Outcome:
        ok = np.ones(len(self.workload), dtype=bool)
        ok[self.failed] = False
        latency_s = np.array(self.latency_s)
        return Outcome(
            latency_ms=latency_s * 1000,
            node=np.array(self.node_of),
            ok=ok,
            busy_s=tuple(node.busy_s for node in self.nodes),
            until_s=float((self.workload.at_s + latency_s).max()),
        )


def make_nodes(scenario: Scenario, workload: Workload) -> list[FifoNode | SharingNode]:
    """The nodes at the beginning of a run."""
    changes = speed_changes(scenario, workload)
    if scenario.queueing == "sharing":
        return [SharingNode(index, group.slots, group.speed) for index, group in enumerate(scenario.each)]
    return [
        FifoNode(index, group.slots, group.speed, changes.get(index, ())) for index, group in enumerate(scenario.each)
    ]


def speed_changes(scenario: Scenario, workload: Workload) -> dict[int, list[SpeedChange]]:
    """Changes of speed in order of time, by node index. Brown-outs of one node must not overlap."""
    whole_s, each = float(workload.at_s[-1]), scenario.each
    changes: dict[int, list[SpeedChange]] = {}
    for brown_out in sorted(scenario.brown_outs, key=lambda b: (b.node, b.begin)):
        speed = each[brown_out.node - 1].speed
        changes.setdefault(brown_out.node - 1, []).extend(
            [
                SpeedChange(START_S + whole_s * brown_out.begin, speed / brown_out.factor),
                SpeedChange(START_S + whole_s * brown_out.end, speed),
            ]
        )
    return changes


def make_balancers(scenario: Scenario, make: MakeAlgorithm, seed: int) -> list[SimulatedBalancer]:
    """The balancers at the beginning of a run, each with its own randomness and its own view of the nodes."""
    cap, each = scenario.max_in_flight, scenario.each
    caps = None if cap is None else [group.slots if cap == "slots" else cap for group in each]
    return [
        SimulatedBalancer(
            make(Random(f"{seed}/{number}"), scenario.balancers),
            [
                KnownNode(index, f"n{index + 1}", group.slots if scenario.known_slots else None, group.weight)
                for index, group in enumerate(each)
            ],
            caps,
            START_S,
        )
        for number in range(scenario.balancers)
    ]
