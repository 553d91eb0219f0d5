"""Two short ways through the event loop, for FIFO nodes without network between: when a request is sent it is known
when it leaves, and what leaves a node is the answer. A test holds them to give the very same as the long way.

`engine.py` says who takes which; what most runs take is here.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from lab.simulate.balancer import Flight
from lab.simulate.knowledge import START_S, KnownNode
from lab.simulate.nodes import FifoNode

if TYPE_CHECKING:
    from lab.simulate.engine import Progress, Run

LEAVE = 0  # what happens, in an event's code; the others stand in engine.py
TELL_EVERY = 5000


def play_counting(run: "Run", nodes: Sequence[FifoNode], progress: "Progress | None") -> None:
    """For rules that only count: an answer is a count that goes down."""
    balancers, kinds, clients = run.balancers, run.workload.kinds, run.clients
    latency_s, node_of, deadline_s = run.latency_s, run.node_of, run.deadline_s
    answers: list[tuple[float, int, KnownNode | None]] = [(inf, 0, None)]
    flight = Flight(0, "", "", 0.0, 0.0, balancers[0])  # nobody keeps it: one is enough
    for number, (at, work_s, kind, client, balancer) in enumerate(run.workload.rows()):
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
            run.failed.append(number)
        if progress is not None and not number % TELL_EVERY:
            progress(number)


def play_learning(run: "Run", nodes: Sequence[FifoNode], progress: "Progress | None") -> None:
    """For balancers that send at once (no node is full for them), whatever they learn. What is left when the last
    request has come is left to the long way."""
    events, handle, reports = run.events, run.handle, run.reports
    balancers, kinds, clients = run.balancers, run.workload.kinds, run.clients
    latency_s, node_of, deadline_s = run.latency_s, run.node_of, run.deadline_s
    for number, (at, work_s, kind, client, place) in enumerate(run.workload.rows()):
        now = at + START_S
        while events[0][0] <= now:
            then, code, flight = heappop(events)
            if code & 7 != LEAVE:
                handle(then, code & 7, flight)
                continue
            service_s = flight.service_s
            if reports:
                flight.report = flight.node.left(service_s)
            flight.known.in_flight -= 1
            latency_s[flight.number] = then - flight.at
            if service_s < 0:
                run.failed.append(flight.number)
            balancer = flight.balancer
            if balancer.learns:
                balancer.answered(flight, then)
        balancer = balancers[place]
        flight = Flight(number, kinds[kind], clients[client], now, work_s, balancer)
        known = balancer.pick(flight, now)
        assert known is not None
        node_of[number] = index = known.index
        flight.known = known
        flight.node = node = nodes[index]
        flight.sent_at = now
        flight.free_slot = known.slots is None or known.in_flight <= known.slots
        leaves_at, flight.service_s = node.take(now, work_s, now + deadline_s)
        heappush(events, (leaves_at, LEAVE | number << 3, flight))
        if reports and balancer.probes:
            for asked in balancer.to_probe(now):
                run.ask(balancer, asked, now)
        if progress is not None and not number % TELL_EVERY:
            progress(number)
