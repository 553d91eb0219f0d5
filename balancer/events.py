"""What happened, in order: the last 500 events in memory, all of them in `logs/events.jsonl`."""

import secrets
from collections import deque
from time import time

from gevent.event import Event as Signal

from cluster.logs import LineLog
from cluster.wire import Event, Events

KEPT = 500


class EventLog:
    """Numbered from 1 within a `boot`, so that a reader notices both what it missed and a fresh start."""

    def __init__(self, log: LineLog) -> None:
        self.boot = secrets.token_hex(6)
        self.last = 0
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._log = log
        self._new = Signal()

    def add(self, kind: str, text: str, *, node: str | None = None, who: str) -> int:
        """Note an event; returns its number."""
        self.last += 1
        event = Event(seq=self.last, at=round(time(), 3), kind=kind, node=node, who=who, text=text)
        self._events.append(event)
        self._log.write_json({**event})
        self._log.flush()
        self._new.set()
        self._new.clear()
        return self.last

    def after(self, seq: int, wait_s: float = 0.0) -> Events:
        """Those newer than `seq`; when there is none, waits for one up to `wait_s`."""
        if wait_s > 0 and self.last <= seq:
            self._new.wait(wait_s)
        return Events(boot=self.boot, events=[event for event in self._events if event["seq"] > seq])
