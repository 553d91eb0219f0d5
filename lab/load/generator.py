"""Sends a schedule, open loop, from this process.

A greenlet walks through the schedule; whenever a request is due it is handed to a greenlet and connection of its own,
idle ones first. There is no limit on how many are on their way at once but that of open files: a limit would make the
loop closed as soon as the target is slow.
"""

import gc
import sys
from collections.abc import Callable
from time import monotonic, process_time
from urllib.parse import urlsplit

import gevent
import numpy as np
from gevent import Greenlet, Timeout, socket

from cluster.errors import ConfigError, Problem
from cluster.wire import SEED_HEADER
from lab.load.alarm import Alarm
from lab.load.connection import Connection, NoAnswer
from lab.load.records import OK, ROW, TIMEOUT, UNSENT, Records
from lab.load.schedule import Schedule

LEAD_S = 0.05  # from the call to the first moment of the schedule


class Target:
    """Where the requests go: http://HOST[:PORT][/PREFIX]. ConfigError when the URL is none or the name unknown."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port or 80
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port or parts.query or parts.username:
            raise ConfigError("URL", [Problem("", f"{url!r}: give http://HOST:PORT, the address of a balancer")])
        self.url = url
        self.prefix = parts.path.rstrip("/")
        self.host = parts.netloc
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError("URL", [Problem("", f"{parts.hostname!r} has no address: {error.strerror}")]) from None
        self.address = (str(found[0][4][0]), port)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a run. `records`: those requests that were finished."""

    def __init__(self, records: Records) -> None:
        super().__init__()
        self.records = records


class Progress:
    """Live figures of a run, for a view: counts so far, and what each new answer took."""

    def __init__(self) -> None:
        self.sent = self.done = self.failed = 0
        self.latencies_ms: list[float] = []


class Generator:
    """Sends schedules to one target. Connections are kept from one run to the next."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: list[Connection] = []

    def run(self, schedule: Schedule, on_progress: Callable[[Progress], None] | None = None) -> Records:
        """Send it all and wait for the last answer or its deadline; blocks the calling greenlet.

        `on_progress` is called about twice a second. Ctrl-C: what is on its way is dropped; Interrupted.
        """
        return _Run(self._target, schedule, self._idle).run(on_progress)

    def close(self) -> None:
        """Close the kept connections."""
        while self._idle:
            self._idle.pop().close()


class _Run:
    def __init__(self, target: Target, schedule: Schedule, idle: list[Connection]) -> None:
        self._target = target
        self._schedule = schedule
        self._idle = idle
        self._deadline_s = schedule.workload.deadline_s
        self._rows = np.zeros(len(schedule), dtype=ROW)
        self._rows["index"], self._rows["due_s"] = schedule.index, schedule.at_s
        self._rows["kind"], self._rows["work_ms"] = schedule.kind, schedule.service_ms
        for name in ("sent_s", "done_s", "service_ms"):
            self._rows[name] = np.nan
        self._nodes: dict[str, int] = {"": 0}
        self._outcomes: dict[str, int] = {UNSENT: 0, OK: 1}
        self._on_way: set[Greenlet[..., None]] = set()
        self._start = 0.0
        self._progress = Progress()

    def run(self, on_progress: Callable[[Progress], None] | None) -> Records:
        _allow_many_files()
        watcher = gevent.spawn(self._report, on_progress) if on_progress else None
        gc.collect()
        gc.freeze()  # what is there now is not looked through again: that would be a lag of our own making
        cpu_s, self._start = process_time(), monotonic() + LEAD_S
        try:
            self._send()
            gevent.joinall(list(self._on_way))
        except KeyboardInterrupt:
            gevent.killall(list(self._on_way))
            raise Interrupted(self._records(cpu_s).finished()) from None
        finally:
            gc.unfreeze()
            if watcher:
                watcher.kill()
        if on_progress:
            on_progress(self._progress)
        return self._records(cpu_s)

    def _records(self, cpu_s: float) -> Records:
        wall_s = monotonic() - self._start
        return Records(
            self._rows, self._schedule.kinds, list(self._nodes), list(self._outcomes), self._schedule.duration_s,
            wall_s, (process_time() - cpu_s) / (wall_s + LEAD_S), self._deadline_s,
        )  # fmt: skip

    def _request(self, number: int) -> bytes:
        schedule = self._schedule
        path = schedule.workload.kinds[schedule.kinds[schedule.kind[number]]].path
        work_ms = schedule.service_ms[number]
        if not np.isnan(work_ms):
            path += f"{'&' if '?' in path else '?'}service_ms={min(work_ms, 60_000):.3f}"
        return (
            f"GET {self._target.prefix}{path} HTTP/1.1\r\nHost: {self._target.host}\r\n"
            f"{SEED_HEADER}: {schedule.seed}-{schedule.index[number]}\r\n\r\n"
        ).encode()

    def _send(self) -> None:
        with Alarm() as alarm:
            for number, due_s in enumerate(self._schedule.at_s.tolist()):
                greenlet = Greenlet(self._one, number, self._request(number))  # made while there is time
                alarm.wait(self._start + due_s)
                self._on_way.add(greenlet)
                greenlet.rawlink(self._on_way.discard)
                greenlet.start()
                self._progress.sent += 1

    def _one(self, number: int, request: bytes) -> None:
        """From sending to the last byte, with its deadline."""
        row = self._rows[number]
        begun_s = monotonic() - self._start
        row["sent_s"] = begun_s
        due_s = float(row["due_s"])
        outcome, node = TIMEOUT, ""
        with Timeout(max(0.0, due_s + self._deadline_s - begun_s), False):  # type: ignore[arg-type]
            outcome, node, row["service_ms"] = self._ask(request)
        done_s = monotonic() - self._start
        row["done_s"] = done_s
        row["outcome"] = self._outcomes.setdefault(outcome, len(self._outcomes))
        row["node"] = self._nodes.setdefault(node, len(self._nodes))
        self._progress.done += 1
        self._progress.failed += outcome != OK
        self._progress.latencies_ms.append((done_s - due_s) * 1e3)

    def _ask(self, request: bytes) -> tuple[str, str, float]:
        """(outcome, node, service_ms). A kept connection that the peer closed while it lay idle is replaced."""
        connection = None
        try:
            while True:
                connection = self._idle.pop() if self._idle else Connection(self._target.address)
                try:
                    answer = connection.ask(request)
                    break
                except NoAnswer as error:
                    connection.close()
                    if connection.used == 1 or connection.answering or str(error) == "garbage":
                        raise
            outcome = OK if 200 <= answer.status < 400 else str(answer.status)
            if connection.kept:
                self._idle.append(connection)
                connection = None
            return outcome, answer.node, answer.service_ms
        except NoAnswer as error:
            return str(error), "", float("nan")
        finally:
            if connection is not None:  # not kept, or given up in the middle
                connection.close()

    def _report(self, on_progress: Callable[[Progress], None]) -> None:
        while True:
            gevent.sleep(0.5)
            on_progress(self._progress)


def _allow_many_files() -> None:
    """As many open connections as the system lets this process have. Windows has no such limit."""
    if sys.platform == "win32":
        return
    import resource

    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
