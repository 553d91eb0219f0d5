"""What no algorithm can beat, or hardly: the same requests through one queue for the whole fleet. Pure.

*Central queue*: first come, first served, each to the fastest free slot of any node. In practice the best that can be
had without knowing how long a request will take, and without changing one's mind; not a theorem where speeds differ.
*Ideal pool*: as many slots as the fleet is worth, all as fast as its fastest node. Nobody who does not know the sizes
does better: a hard floor. Both are computed for the very schedule that was sent (research: limits of balancing).
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Pool:
    """A node as a bound sees it."""

    slots: int
    speed: float


def central_queue_ms(
    at_s: NDArray[np.float64], work_ms: NDArray[np.float64], nodes: Sequence[Pool]
) -> NDArray[np.float64]:
    """Latency in ms of each request, in the order of arrival. `work_ms` is on a node of speed 1."""
    speeds = sorted((node.speed for node in nodes for _ in range(node.slots)), reverse=True)
    free = list(range(len(speeds)))  # slots by number, the fastest ones first
    busy: list[tuple[float, int]] = []  # (free at, slot)
    out = np.empty(len(at_s))
    begins = 0.0  # first come, first served: nobody begins before those in front
    for index, (arrived_s, work) in enumerate(zip(at_s.tolist(), work_ms.tolist(), strict=True)):
        begins = max(begins, arrived_s)
        if not free and busy[0][0] > begins:
            begins = busy[0][0]
        while busy and busy[0][0] <= begins:
            heapq.heappush(free, heapq.heappop(busy)[1])
        slot = heapq.heappop(free)
        ends = begins + work / speeds[slot] / 1e3
        heapq.heappush(busy, (ends, slot))
        out[index] = (ends - arrived_s) * 1e3
    return out


def ideal_pool_ms(
    at_s: NDArray[np.float64], work_ms: NDArray[np.float64], nodes: Sequence[Pool]
) -> NDArray[np.float64]:
    """The same with the whole capacity in slots of the highest speed, their number rounded up."""
    fastest = max(node.speed for node in nodes)
    capacity = sum(node.slots * node.speed for node in nodes)
    return central_queue_ms(at_s, work_ms, [Pool(int(np.ceil(capacity / fastest - 1e-9)), fastest)])
