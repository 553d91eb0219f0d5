"""What no balancer can beat, or hardly: the same requests through systems that no balancer has.

central queue   one queue for all slots, first come first served, the fastest free slot first: nobody picks too early
ideal pool      the same work capacity in slots that all have the speed of the fastest: no rule that does not know how
                much work a request is can end more work at any time
oracle          each request goes at once to the node that will end it first, knowing all work: what size would be worth

The central queue bounds first-come-first-served rules that send at once in practice; it is no theorem when speeds
differ (to wait for a fast slot can be better than to take a slow one), and rules that look at the kind of a request may
beat it. All three are first come first served, also where the scenario's nodes share their processors.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from math import ceil, inf

import numpy as np
import numpy.typing as npt

from lab.simulate.engine import START_S, make_nodes, speed_changes
from lab.simulate.nodes import FifoNode
from lab.simulate.scenario import Scenario
from lab.simulate.workload import Workload

Latencies = npt.NDArray[np.float64]
Bound = Callable[[Scenario, Workload], Latencies]
"""From the requests of a run to the latency of each in ms."""


def central_queue(scenario: Scenario, workload: Workload) -> Latencies:
    """One queue, the fastest free slot first."""
    speeds = [group.speed for group in scenario.each]
    free = [(-group.speed, index) for index, group in enumerate(scenario.each) for _ in range(group.slots)]
    heapify(free)
    busy: list[tuple[float, int]] = []  # (free from, node)
    changes = _changes(scenario, workload)
    deadline_s = _deadline_s(scenario)
    if not changes and len(set(speeds)) == 1:
        return _alike(len(free), speeds[0], workload, deadline_s)
    latencies = []
    for now, work_s in zip((workload.at_s + START_S).tolist(), workload.work_s.tolist(), strict=True):
        start = now if free or busy[0][0] < now else busy[0][0]
        while busy and busy[0][0] <= start:
            node = heappop(busy)[1]
            heappush(free, (-speeds[node], node))
        while changes and changes[-1][0] <= start:
            _, node, speeds[node] = changes.pop()
            free = [(-speeds[index], index) for _, index in free]
            heapify(free)
        latency_s = start - now + work_s / -free[0][0]
        if latency_s > deadline_s:
            latency_s = deadline_s
        if start < now + deadline_s:
            heappush(busy, (now + latency_s, heappop(free)[1]))
        latencies.append(latency_s * 1000)
    return np.array(latencies)


def ideal_pool(scenario: Scenario, workload: Workload) -> Latencies:
    """As many slots as the capacity is worth, rounded up, all as fast as the fastest."""
    each = scenario.each
    fastest = max(group.speed for group in each)
    capacity = scenario.capacity
    changes = _changes(scenario, workload)
    speeds = [group.speed for group in each]
    slots = ceil(capacity / fastest - 1e-9)
    busy: list[float] = []
    deadline_s = _deadline_s(scenario)
    if not changes:
        return _alike(slots, fastest, workload, deadline_s)
    latencies = []
    for now, work_s in zip((workload.at_s + START_S).tolist(), workload.work_s.tolist(), strict=True):
        start = now
        while True:
            while changes and changes[-1][0] <= start:
                _, node, speed = changes.pop()
                capacity += each[node].slots * (speed - speeds[node])
                speeds[node] = speed
                slots = ceil(capacity / fastest - 1e-9)
            while busy and busy[0] <= start:
                heappop(busy)
            if len(busy) < slots:
                break
            start = min(busy[0], changes[-1][0] if changes else inf)
        latency_s = min(start - now + work_s / fastest, deadline_s)
        if start < now + deadline_s:
            heappush(busy, now + latency_s)
        latencies.append(latency_s * 1000)
    return np.array(latencies)


def _alike(slots: int, speed: float, workload: Workload, deadline_s: float) -> Latencies:
    """One queue for slots of one speed: whoever comes takes the slot that is free first."""
    free = [0.0] * slots  # from when on, a heap
    latencies = []
    for now, work_s in zip((workload.at_s + START_S).tolist(), workload.work_s.tolist(), strict=True):
        start = free[0] if free[0] > now else now
        latency_s = start - now + work_s / speed
        if latency_s > deadline_s:
            latency_s = deadline_s
        if start < now + deadline_s:
            heapreplace(free, now + latency_s)
        latencies.append(latency_s * 1000)
    return np.array(latencies)


def oracle(scenario: Scenario, workload: Workload) -> Latencies:
    """Each request at once to the FIFO node that ends it first."""
    nodes = [node for node in make_nodes(scenario.model_copy(update={"queueing": "fifo"}), workload)]
    fifo = [node for node in nodes if isinstance(node, FifoNode)]
    deadline_s = _deadline_s(scenario)
    latencies = []
    for now, work_s in zip((workload.at_s + START_S).tolist(), workload.work_s.tolist(), strict=True):
        best = min(fifo, key=lambda node: node.would_end(now, work_s))
        latencies.append((best.take(now, work_s, now + deadline_s)[0] - now) * 1000)
    return np.array(latencies)


def _changes(scenario: Scenario, workload: Workload) -> list[tuple[float, int, float]]:
    """(from when, node, speed) of all nodes, the last first."""
    all_of = speed_changes(scenario, workload)
    return sorted(((change.at_s, node, change.speed) for node in all_of for change in all_of[node]), reverse=True)


def _deadline_s(scenario: Scenario) -> float:
    return inf if scenario.deadline_ms is None else scenario.deadline_ms / 1000


BOUNDS: dict[str, Bound] = {"central queue": central_queue, "ideal pool": ideal_pool}
"""In every report."""
ORACLES: dict[str, Bound] = {"oracle": oracle}
"""When asked for: it takes a look at every node for every request."""
