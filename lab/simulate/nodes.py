"""How a simulated node works on requests: first come, first served in slots, or all at once sharing its processors.

A FIFO node needs no event of its own: who comes at `now` begins when the earliest slot is free, and the end is known at
once (Kiefer and Wolfowitz' recursion). A sharing node needs one event, its next departure, which every arrival and
departure moves; it counts in virtual time, the work that each request present has received so far.
"""

from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from math import inf
from typing import NamedTuple, Protocol

from cluster.service_time import typical_ms
from cluster.wire import NodeReport


class SpeedChange(NamedTuple):
    """From `at_s` on the node has this speed."""

    at_s: float
    speed: float


class Shared(Protocol):
    """What a sharing node must know of a request."""

    number: int
    work_s: float
    service_s: float


class Reporting:
    """What a node tells of itself; its service times are learned as a real one learns them."""

    __slots__ = ("_served", "busy_s", "index", "rif", "service_ms", "slots")

    def __init__(self, index: int, slots: int) -> None:
        self.index = index
        self.slots = slots
        self.rif = 0  # waiting and worked on; kept only if somebody hears of it
        self.busy_s = 0.0  # slot time that it has been, or is bound to be, at work
        self.service_ms = 0.0  # typical
        self._served = 0

    def left(self, service_s: float) -> NodeReport | None:
        """A request left after so long in its slot: the report that goes with its answer; None if it gave up (< 0)."""
        self.rif -= 1
        if service_s < 0:
            return None
        self._served += 1
        self.service_ms = typical_ms(self.service_ms, service_s * 1000, self._served)
        return self.report()

    def report(self) -> NodeReport:
        """What it says of itself now."""
        return {"rif": self.rif, "slots": self.slots, "service_ms": self.service_ms}


class FifoNode(Reporting):
    """`slots` servers of one speed and a queue in front of them."""

    __slots__ = ("_changes", "_free", "_times", "speed")

    def __init__(self, index: int, slots: int, speed: float, changes: Sequence[SpeedChange]) -> None:
        super().__init__(index, slots)
        self.speed = speed
        self._changes = changes
        self._times = [change.at_s for change in changes]
        self._free = [0.0] * slots  # when each slot is free, a heap

    def take(self, now: float, work_s: float, give_up_at: float) -> tuple[float, float]:
        """A request arrives: when it leaves, and its service time in s; -1 if it gives up before it is served."""
        self.rif += 1
        free = self._free
        start = free[0]
        if start < now:
            start = now
        if start >= give_up_at:
            return give_up_at, -1.0
        service_s = work_s / (self.speed_at(start) if self._changes else self.speed)
        end = start + service_s
        if end > give_up_at:
            end, service_s = give_up_at, -1.0
        heapreplace(free, end)
        self.busy_s += end - start
        return end, service_s

    def would_end(self, now: float, work_s: float) -> float:
        """When a request that arrives now would leave."""
        start = max(now, self._free[0])
        return start + work_s / (self.speed_at(start) if self._changes else self.speed)

    def speed_at(self, now: float) -> float:
        """Its speed for what begins now."""
        place = bisect_right(self._times, now)
        return self._changes[place - 1].speed if place else self.speed


class SharingNode(Reporting):
    """`slots` processors of one speed, shared equally by all requests present; none uses more than one processor."""

    __slots__ = ("_heap", "_present", "_received_s", "_since", "next_at", "speed")

    def __init__(self, index: int, slots: int, speed: float) -> None:
        super().__init__(index, slots)
        self.speed = speed
        self.next_at = inf  # when the next one leaves, as far as is known; an event of another time is void
        self._received_s = 0.0  # work that a request present since the beginning would have received
        self._since = 0.0
        self._heap: list[tuple[float, int]] = []  # (value of _received_s at which it has enough, request)
        self._present: dict[int, Shared] = {}  # by number

    def _rate(self) -> float:
        """Work per second that each request receives now."""
        present = len(self._present)
        return self.speed if present <= self.slots else self.speed * self.slots / present

    def _advance(self, now: float) -> None:
        passed = now - self._since
        self._since = now
        if self._present:
            self._received_s += passed * self._rate()
            self.busy_s += passed * min(len(self._present), self.slots)

    def enter(self, now: float, request: Shared) -> None:
        """A request arrives."""
        self._advance(now)
        self.rif += 1
        self._present[request.number] = request
        heappush(self._heap, (self._received_s + request.work_s, request.number))

    def leave(self, now: float) -> Shared:
        """The request that has received enough leaves."""
        self._advance(now)
        self._received_s, number = heappop(self._heap)  # the sum without the rounding of `_advance`
        request = self._present.pop(number)
        request.service_s = request.work_s / self.speed
        return request

    def drop(self, now: float, request: Shared) -> bool:
        """A request gives up before it has enough; False if it has left already."""
        if request.number not in self._present:
            return False
        self._advance(now)
        del self._present[request.number]  # its place in the heap is cleared when it comes to the top
        return True

    def change(self, now: float, speed: float) -> None:
        """A brown-out begins or ends."""
        self._advance(now)
        self.speed = speed

    def next_leave(self, now: float) -> float:
        """When the next one leaves if nothing else happens; inf when nobody is there."""
        heap = self._heap
        if not self._present:  # nobody remembers: begin again from 0 and stay exact in long runs
            self._received_s = 0.0
            heap.clear()
        while heap and heap[0][1] not in self._present:
            heappop(heap)
        return now + max(0.0, heap[0][0] - self._received_s) / self._rate() if heap else inf
