"""The event listener: tells the dashboard what Supervisor does, at each change and every 5 s.

Supervisor waits for nobody here: an event is acknowledged before anything else happens, and a second thread, which
alone may wait, asks Supervisor for the whole picture and posts it. While the dashboard is away events gather in a
short queue that forgets its oldest. Environment: SUPERVISOR_SERVER_URL (from Supervisor), FAIRLEAD_DASHBOARD (address),
FAIRLEAD_HOST (key of this host), FAIRLEAD_STATE (for the token). http://supervisord.org/events.html
"""

import collections
import json
import os
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from cluster import auth, paths
from cluster.wire import Event, ProcessReport, ProcessView
from deploy.processes import STANDBY_SUFFIX, Process, Supervisor, SupervisorGone

POST_TIMEOUT_S = 2.0
KEPT_EVENTS = 200
SELF = "fairlead-listener"


class Ledger:
    """What has happened to the processes, in words and counts. Pure: fed with Supervisor's events and a clock."""

    def __init__(self) -> None:
        self.restarts: collections.Counter[str] = collections.Counter()
        self.changed_at: dict[str, float] = {}
        self.events: collections.deque[Event] = collections.deque(maxlen=KEPT_EVENTS)
        self._seq = 0
        self._troubled: set[str] = set()
        self._names: dict[str, str] = {}

    def note(self, event: str, fields: dict[str, str], now: float) -> None:
        """Take in one PROCESS_STATE_* event; `fields` are its payload's."""
        state = event.removeprefix("PROCESS_STATE_")
        process = fields["processname"]
        self.changed_at[process] = now
        again = state == "STARTING" and fields.get("from_state") in ("EXITED", "BACKOFF")
        if again:
            self.restarts[process] += 1
        # Of a balancer's two processes, the name that it had when last looked at: that is who died.
        name = self._names.get(process, fields["groupname"])
        text = self._text(state, name, process, fields)
        if text:
            self.say(text, now, name)

    def say(self, text: str, now: float, name: str = "") -> None:
        """Add an event for the dashboard's log."""
        self._seq += 1
        node = name.removeprefix("node-") if name.startswith("node-") else None
        self.events.append(
            Event(seq=self._seq, at=now, kind="process", node=node, who="supervisor", text=text),
        )

    def _text(self, state: str, name: str, process: str, fields: dict[str, str]) -> str:
        """One sentence for a change worth one; a start or stop in good order passes through several states silently."""
        pid = fields.get("pid", "0")
        match state:
            case "EXITED":
                self._troubled.add(process)
                how = "ended by itself" if fields.get("expected") == "1" else "exited unexpectedly"
                takes_over = (
                    f"{name + STANDBY_SUFFIX} takes over, " if name + STANDBY_SUFFIX in self._names.values() else ""
                )
                return f"{name} (pid {pid}) {how}; {takes_over}restarting"
            case "BACKOFF":
                self._troubled.add(process)
                return (
                    f"{name} ended right after its start (try {fields.get('tries', '?')}); trying again after a pause"
                )
            case "FATAL":
                self._troubled.add(process)
                return f"{name} does not start; Supervisor gave up. Its log says why"
            case "STOPPED":
                return f"{name} was stopped by order"
            case "RUNNING" if process in self._troubled:
                self._troubled.discard(process)
                return f"{name} runs again (pid {pid}), restart {self.restarts[process]}"
        return ""

    def report(self, host: str, processes: list[Process], now: float) -> ProcessReport:
        """Everything to post; the events are those not yet `posted`."""
        process_of = {p.name: p.id.rpartition(":")[2] for p in processes}
        self._names = {process: name for name, process in process_of.items()}
        views = [
            ProcessView(
                name=p.name,
                state=p.state,
                pid=p.pid,
                since=self.changed_at.get(process_of[p.name]) or max(p.started_at, p.stopped_at),
                restarts=self.restarts[process_of[p.name]],
                description=p.description,
            )
            for p in processes
        ]
        return ProcessReport(host=host, at=now, processes=views, events=list(self.events))

    def posted(self, report: ProcessReport) -> None:
        """Forget the events that arrived with `report`."""
        arrived = max((event["seq"] for event in report["events"]), default=0)
        while self.events and self.events[0]["seq"] <= arrived:
            self.events.popleft()


def read_events(source: TextIO, sink: TextIO) -> Iterator[tuple[str, dict[str, str]]]:
    """Supervisor's events, each acknowledged before it is handed on; ends when Supervisor closes the pipe."""
    while True:
        sink.write("READY\n")
        sink.flush()
        head = _fields(source.readline())
        if "eventname" not in head:
            return
        payload = _fields(source.read(int(head["len"])))
        sink.write("RESULT 2\nOK")
        sink.flush()
        yield head["eventname"], payload


def _fields(line: str) -> dict[str, str]:
    return dict(pair.split(":", 1) for pair in line.split() if ":" in pair)


def post(url: str, token: str, report: ProcessReport) -> None:
    """Give a report to the dashboard. OSError when it is away or says no."""
    request = urllib.request.Request(
        url + "/processes",
        data=json.dumps(report).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=POST_TIMEOUT_S) as answer:
        answer.read()


class Sender:
    """The thread that asks Supervisor and posts to the dashboard. Says on stderr when that begins or ceases to fail."""

    def __init__(
        self, host: str, processes: Callable[[], list[Process]], send: Callable[[ProcessReport], None]
    ) -> None:
        self.ledger = Ledger()
        self._host = host
        self._processes = processes
        self._send = send
        self._inbox: queue.SimpleQueue[tuple[str, dict[str, str], float]] = queue.SimpleQueue()
        self._failing = False

    def put(self, event: str, fields: dict[str, str], now: float) -> None:
        """Hand over an event; never waits."""
        self._inbox.put((event, fields, now))

    def run(self) -> None:
        """For ever: wait for an event, take in all that wait, report once."""
        while True:
            self.step()

    def step(self) -> None:
        """One turn of `run`."""
        batch = [self._inbox.get()]
        while not self._inbox.empty():
            batch.append(self._inbox.get())
        for event, fields, now in batch:
            if event.startswith("PROCESS_STATE_"):
                self.ledger.note(event, fields, now)
        try:
            report = self.ledger.report(self._host, self._processes(), time.time())
            self._send(report)
        except (OSError, SupervisorGone) as error:
            if not self._failing:
                print(f"the dashboard has no report: {error}", file=sys.stderr, flush=True)
            self._failing = True
            return
        if self._failing:
            print("the dashboard has reports again", file=sys.stderr, flush=True)
        self._failing = False
        self.ledger.posted(report)


def main() -> None:
    """Run under Supervisor as an event listener."""
    supervisor = Supervisor(Path(os.environ["SUPERVISOR_SERVER_URL"].removeprefix("unix://")))
    url, host = os.environ["FAIRLEAD_DASHBOARD"], os.environ["FAIRLEAD_HOST"]
    sender = Sender(host, supervisor.processes, lambda report: post(url, auth.read_token(paths.token_file()), report))
    first = {p.name: p for p in supervisor.processes()}
    if any(p.uptime_s > 10 for p in first.values()):
        # The others were here before: this is not the start of the fleet but of this listener alone.
        sender.ledger.say(f"{SELF} (pid {os.getpid()}) runs again; restarts are counted anew", time.time(), SELF)
    threading.Thread(target=sender.run, daemon=True).start()
    for event, fields in read_events(sys.stdin, sys.stdout):
        sender.put(event, fields, time.time())


if __name__ == "__main__":
    main()
