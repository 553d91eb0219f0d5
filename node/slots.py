"""Finite concurrency: a node works on `slots` requests at once; the others wait in front, first come, first served.

    enter -> waiting -> working -> leave
               |                     ^
               +---- client left ----+

A slot that becomes free is handed to the first in the queue at once, so nobody who comes later can overtake. Nothing
here yields except `Place.wait`, which is why no lock is needed under gevent.
"""

from collections import deque
from enum import Enum

from gevent.event import Event

MAX_WAITING = 1000
"""Requests that may wait in front of a node; one more is turned away with 503. Long enough that overload shows as
waiting first, short enough that a node does not hoard requests whose clients have long lost patience."""


class QueueFull(Exception):
    """No slot is free, and no place in the queue either."""


class Where(Enum):
    """Where one request is."""

    WAITING = "waiting"
    WORKING = "working"
    OUT = "out"


class Place:
    """One request's place, from `Slots.enter` to `leave`."""

    def __init__(self, slots: "Slots", where: Where) -> None:
        self.where = where
        self._slots = slots
        self._granted = Event()

    def wait(self) -> None:
        """Wait until this request holds a slot. Whatever ends the wait early must be followed by `leave`."""
        if self.where is Where.WAITING:
            self._granted.wait()

    def leave(self) -> None:
        """Give back the slot, or the place in the queue. May be called again: every way out calls it."""
        self._slots._leave(self)


class Slots:
    """The slots of one node, and the queue in front of them."""

    def __init__(self, slots: int, max_waiting: int = MAX_WAITING) -> None:
        self.slots = slots
        self.max_waiting = max_waiting
        self.working = 0
        self._queue: deque[Place] = deque()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def rif(self) -> int:
        """Requests in flight: working and waiting."""
        return self.working + len(self._queue)

    def enter(self) -> Place:
        """A slot if one is free, else a place at the end of the queue; QueueFull when there is none."""
        if self.working < self.slots:
            self.working += 1
            return Place(self, Where.WORKING)
        if len(self._queue) >= self.max_waiting:
            raise QueueFull(f"{self.working} at work and {len(self._queue)} waiting")
        place = Place(self, Where.WAITING)
        self._queue.append(place)
        return place

    def _leave(self, place: Place) -> None:
        where, place.where = place.where, Where.OUT
        if where is Where.WAITING:
            self._queue.remove(place)
        elif where is Where.WORKING:
            if self._queue:  # the slot changes hands, `working` stays
                heir = self._queue.popleft()
                heir.where = Where.WORKING
                heir._granted.set()
            else:
                self.working -= 1
