"""Active probes: the control process asks each node on its own, and says up or down.

`ProbeState` is the rule (rise and fall, on results in a row) and knows no clock and no socket; `Prober` asks.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from time import monotonic, time

from gevent.event import Event

from balancer.stream import TimedOut
from balancer.upstream import NodePool
from cluster.config import ProbeSettings
from cluster.errors import NodeFailed, OutOfFiles
from cluster.states import Health
from cluster.wire import NodeReport, ProbeView, orca_to_report

HISTORY = 40
SUSPECT = 0.1  # a node whose last probe says otherwise than its health is asked again after this share of the interval
STARTING_PROBES = 100
"""So many first probes are as near together until the node is up: it may be just starting, and what the scoreboard says
of it may be from before a stop."""


class ProbeState:
    """Results of one node's probes, and what follows from them."""

    def __init__(self, settings: ProbeSettings, path: str | None) -> None:
        self._settings = settings
        self._path = path
        self.passes = 0
        self.fails = 0
        self.cause = ""
        self._last_ms: float | None = None
        self._last_at: float | None = None
        self._history: deque[int] = deque(maxlen=HISTORY)

    def passed(self, health: Health, ms: float, at: float) -> Health:
        """A probe went well. Returns the health that follows: a node nobody has asked yet is up at the first pass."""
        self.passes, self.fails = self.passes + 1, 0
        self._note(1, ms, at)
        risen = self.passes >= self._settings.rise
        return Health.UP if risen or health is not Health.DOWN else Health.DOWN

    def failed(self, health: Health, cause: str, at: float) -> Health:
        """A probe failed. Returns the health that follows."""
        self.passes, self.fails = 0, self.fails + 1
        self.cause = cause
        self._note(0, None, at)
        return Health.DOWN if self.fails >= self._settings.fall else health

    def _note(self, result: int, ms: float | None, at: float) -> None:
        self._history.append(result)
        self._last_ms = None if ms is None else round(ms, 2)
        self._last_at = at

    def view(self) -> ProbeView:
        """For people."""
        return ProbeView(
            path=self._path,
            interval_s=self._settings.interval_s,
            passes=self.passes,
            fails=self.fails,
            last_ok=bool(self._history[-1]) if self._history else None,
            last_ms=self._last_ms,
            last_at=self._last_at,
            cause=self.cause,
            history=list(self._history),
        )


class Prober:
    """Probes one node for as long as the process lives.

    `health` reads the node's present health, `tell` is called after each probe with the new one and the node's report.
    """

    def __init__(
        self,
        pool: NodePool,
        path: str,
        settings: ProbeSettings,
        rng: Random,
        health: Callable[[], Health],
        tell: Callable[[Health, NodeReport | None], None],
    ) -> None:
        self.state = ProbeState(settings, path)
        self._pool = pool
        self._settings = settings
        self._rng = rng
        self._health = health
        self._tell = tell
        self._hurry = Event()
        self._starting = STARTING_PROBES
        self._head = (
            f"GET {path} HTTP/1.1\r\nHost: {pool.authority.decode()}\r\nUser-Agent: fairlead-probe\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n"
        ).encode()

    def run(self) -> None:
        """Probe, wait, probe."""
        while True:
            self._once()
            health = self._health()
            self._starting = 0 if health is Health.UP else max(0, self._starting - 1)
            jitter = self._settings.jitter
            pause_s = self._settings.interval_s * self._rng.uniform(1 - jitter, 1 + jitter)
            suspect = (self.state.fails > 0) is (health is not Health.DOWN)
            self._pause(pause_s * SUSPECT if suspect or self._starting else pause_s)

    def _pause(self, longest_s: float) -> None:
        self._hurry.clear()
        self._hurry.wait(longest_s)

    def hurry(self) -> None:
        """Somebody says that the node is there: ask now, and often until it answers, as at the start."""
        self._starting = STARTING_PROBES
        self._hurry.set()

    def _once(self) -> None:
        begun = monotonic()
        report: NodeReport | None = None
        try:
            status, report = self._ask(begun + self._settings.timeout_s)
            if not 200 <= status < 400:
                raise NodeFailed("status", f"status {status}", sent=True)
        except OutOfFiles:
            return  # that says nothing of the node
        except TimedOut:
            health = self.state.failed(self._health(), f"no answer within {self._settings.timeout_s:g} s", time())
        except (NodeFailed, OSError) as error:
            health = self.state.failed(self._health(), str(error), time())
        else:
            health = self.state.passed(self._health(), (monotonic() - begun) * 1e3, time())
        self._tell(health, report)

    def _ask(self, until: float) -> tuple[int, NodeReport | None]:
        """Status and report of one GET."""
        connection = self._pool.open()
        try:
            stream, parser = connection.stream, connection.parser
            stream.send(self._head, until - monotonic())
            while not parser.head_complete:
                data = stream.recv(max(0.01, until - monotonic()))
                if not data:
                    raise NodeFailed("closed", "closed without an answer", sent=True)
                parser.feed(data)
            return parser.status, orca_to_report(parser.orca.decode("latin-1")) if parser.orca else None
        finally:
            connection.close()
