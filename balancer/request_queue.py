"""Late binding: when every node has its `max_in_flight`, requests wait here, first come, first served.

One queue a worker. Only the first in line tries to get a node; it is woken when an attempt of this worker ends, and
looks again by itself now and then, because other workers' attempts end too.
"""

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from gevent.event import Event

from cluster.config import Queue
from cluster.errors import AllBusy, NoReadyNode

LOOK_S = 0.01  # how often the first in line looks by itself
CHECK_S = 0.25  # how often the others look whether their client is still there

T = TypeVar("T")


class RequestQueue:
    """Bounded in length and time."""

    def __init__(self, settings: Queue) -> None:
        self._settings = settings
        self.line: deque[Event] = deque()

    def wait(self, attempt: Callable[[], T], check: Callable[[], None]) -> T:
        """Wait in line until `attempt` succeeds; it raises AllBusy as long as it cannot.

        `check` is called now and then and may raise to give up. NoReadyNode when the line is full or the time is over.
        """
        if len(self.line) >= self._settings.size:
            raise NoReadyNode("queue_full", f"{len(self.line)} requests wait for a node already")
        deadline = monotonic() + self._settings.timeout_s
        mine = Event()
        self.line.append(mine)
        try:
            while (left_s := deadline - monotonic()) > 0:
                first = self.line[0] is mine
                if first:
                    try:
                        return attempt()
                    except AllBusy:
                        pass
                mine.wait(min(left_s, LOOK_S if first else CHECK_S))
                mine.clear()
                check()
        finally:
            self.line.remove(mine)
            self.wake()
        raise NoReadyNode("queue_timeout", f"every node was busy for {self._settings.timeout_s:g} s")

    def wake(self) -> None:
        """An attempt has ended: let the first in line look."""
        if self.line:
            self.line[0].set()
