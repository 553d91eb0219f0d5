"""What the dashboard knows, and which messages browsers get when it changes. No sockets and no clock: `now` is given.

Messages: `tick` (numbers, twice a second), `probes` (strips, every two seconds), `change` (words that changed),
`events` (new lines of the log); `hello` has everything, for a browser that starts to watch.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from cluster import wire
from cluster.config import Fleet
from dashboard import merge
from dashboard.eventlog import Entry, EventLog
from dashboard.flow import Flow
from dashboard.history import History
from dashboard.merge import Layout, Seen
from dashboard.probes import Probes, Strip
from dashboard.processes import Processes, checked_events

Message = tuple[str, Any]


class Picture:
    """One fleet, as the page shows it."""

    def __init__(self, fleet: Fleet, now: float) -> None:
        self.fleet = fleet
        self.boot = secrets.token_hex(4)
        self.tick_number = 0
        self.log = EventLog()
        self.processes = Processes(list(fleet.hosts))
        self.history = History()
        self._seen = {b.name: Seen(b, None, False, "not asked yet", now) for b in fleet.balancers}
        self._fresh = False
        self._flow = Flow()
        self._probes = Probes()
        self._strips: list[Strip | None] = []
        # More words for the page, top-level keys of the layout, from parts that this file knows nothing of (the Lab).
        self.beside: Callable[[float], dict[str, Any]] = lambda now: {}
        self._layout: Layout = merge.layout(fleet, self._balancers(), [], self._probes)
        self._tick: list[Any] | None = None
        self._new: list[Entry] = []

    def saw(self, balancer: str, snapshot: wire.Snapshot, now: float) -> None:
        """A balancer's control API gave its snapshot."""
        was = self._seen[balancer]
        if was.snapshot is not None:
            if was.snapshot["boot"] != snapshot["boot"]:
                self.note(now, "connection", f"{balancer}: its control process was started anew; traffic went on")
            elif not was.reachable:
                self.note(now, "connection", f"{balancer}: its control API answers again")
        since = was.since if was.reachable else now
        self._seen[balancer] = Seen(was.spec, snapshot, True, "", since)
        self._fresh = True
        if "probes" in snapshot:
            self._probes.saw(balancer, snapshot["probes"])

    def lost(self, balancer: str, cause: str, now: float) -> None:
        """A balancer's control API could not be asked."""
        was = self._seen[balancer]
        if was.reachable:
            self.note(now, "connection", f"{balancer}: its control API cannot be reached ({cause})")
        if was.reachable or was.cause != cause:
            since = now if was.reachable else was.since
            self._seen[balancer] = Seen(was.spec, was.snapshot, False, cause, since)
        self._probes.lost(balancer)

    def heard(self, source: str, boot: str, events: Sequence[wire.Event]) -> None:
        """A balancer or a host's listener told of events."""
        for event in events:
            entry = self.log.add(source, boot, event)
            if entry is not None:
                self._new.append(entry)

    def reported(self, body: Any, now: float) -> None:
        """A host's listener posted a report. BadReport when it is none."""
        report = self.processes.report(body, now)
        self.heard(report["host"], "", report["events"])

    def told(self, body: Any) -> None:
        """A tool posted events. BadReport when they are none."""
        source, events = checked_events(body)
        self.heard(source, source, events)

    def turn(self, now: float) -> list[Message]:
        """Bring everything up to date; the messages for those who watch."""
        messages: list[Message] = []
        layout = merge.layout(self.fleet, self._balancers(), self.processes.rows(now), self._probes)
        layout |= self.beside(now)
        change = merge.change(self._layout, layout)
        if change is not None:
            self._layout = layout
            messages.append(("change", change))
        strips = self._probes.strips(self.names)
        if strips != self._strips:
            self._strips = strips
            messages.append(("probes", strips))
        if self._fresh and (numbers := self._numbers()):
            totals, rows, balancers = numbers
            self.tick_number += 1
            self._tick = [self.tick_number, totals, rows, balancers]
            self.history.add(now, totals[:6], {n: row[1] for n, row in zip(self.names, rows, strict=True)})
            messages.append(("tick", self._tick))
        self._fresh = False
        messages += self.new_events()
        return messages

    def _numbers(self) -> merge.Numbers | None:
        balancers = self._balancers()
        return merge.tick(self.names, balancers, self._flow.take(merge.reached(balancers)))

    def new_events(self) -> list[Message]:
        """The lines of the log that nobody was sent yet."""
        new, self._new = self._new, []
        return [("events", new)] if new else []

    @property
    def names(self) -> list[str]:
        """Node names, in the order of the rows of a tick."""
        return [node["name"] for node in self._layout["nodes"]]

    @property
    def algorithms(self) -> list[wire.AlgorithmView]:
        """Those that can be chosen."""
        algorithms: list[wire.AlgorithmView] = self._layout["algorithms"]
        return algorithms

    def balancer(self, name: str) -> Seen:
        """What is known of a balancer."""
        return self._seen[name]

    def state(self, now: float) -> dict[str, Any]:
        """The present, without the past: for a page that has to ask again and again."""
        return {
            "boot": self.boot,
            "now": round(now, 3),
            "fields": {"totals": merge.TOTALS, "node": merge.NODE, "balancer": merge.BALANCER},
            "layout": self._layout,
            "tick": self._tick,
            "probes": self._strips,
        }

    def hello(self, now: float) -> dict[str, Any]:
        """Everything but the event log, which follows as an `events` message of its own."""
        return {**self.state(now), "history": self.history.packed(self.names)}

    def _balancers(self) -> list[Seen]:
        return list(self._seen.values())

    def note(self, now: float, kind: str, text: str, node: str | None = None, who: str = "dashboard") -> None:
        """The dashboard itself saw or did something."""
        self._new.append(self.log.note(now, kind, text, node, who))
