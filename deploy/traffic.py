"""Real requests through the balancers while something changes: what would clients have noticed?

Two clients a balancer: one opens a connection for each request, one keeps its own. Both send about 20 a second.
"""

import http.client
import ssl
import threading
import time

from cluster.config import Fleet
from deploy.outcome import TrafficResult

PAUSE_S = 0.05
TIMEOUT_S = 10.0


class Traffic:
    """`start`, `begins` when the change begins, `stop` for the result."""

    def __init__(self, fleet: Fleet, balancers: list[str], path: str = "/") -> None:
        self._targets = [
            (fleet.hosts[b.host].address, b.port, b.tls is not None) for b in fleet.balancers if b.name in balancers
        ]
        self._path = path
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._took_ms: list[list[float]] = [[], []]
        self._phase = 0
        self._result = TrafficResult()
        self._threads = [
            threading.Thread(target=self._client, args=(*target, keeps), daemon=True)
            for target in self._targets
            for keeps in (False, True)
        ]

    def start(self) -> None:
        """Send from now on."""
        for thread in self._threads:
            thread.start()

    def begins(self) -> None:
        """What comes now counts as during the change."""
        self._phase = 1

    def stop(self) -> TrafficResult:
        """No more; what was seen."""
        self._ended.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(TIMEOUT_S)
        self._result.p99_before_ms = _p99(self._took_ms[0])
        self._result.p99_ms = _p99(self._took_ms[1])
        return self._result

    def _client(self, address: str, port: int, tls: bool, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._ended.wait(PAUSE_S):
            began = time.monotonic()
            fresh = connection is None
            why = ""
            try:
                if connection is None:
                    connection = _connect(address, port, tls)
                connection.request("GET", self._path, headers={} if keeps else {"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                if answer.status >= 500:
                    why = f"{answer.status} {answer.reason}"
                if not keeps or answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                if connection is not None:
                    connection.close()
                connection = None
                if keeps and not fresh and isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
                    continue  # it was closed while idle, as HTTP allows; the next request opens another
                why = str(error) or type(error).__name__
            with self._lock:
                self._result.sent += 1
                self._took_ms[self._phase].append((time.monotonic() - began) * 1e3)
                if why:
                    self._result.failed += 1
                    self._result.first_failure = self._result.first_failure or why
        if connection is not None:
            connection.close()


def _connect(address: str, port: int, tls: bool) -> http.client.HTTPConnection:
    if tls:  # whether clients are served is the question, not whose certificate it is
        unchecked = ssl._create_unverified_context()
        return http.client.HTTPSConnection(address, port, timeout=TIMEOUT_S, context=unchecked)
    return http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)


def _p99(values: list[float]) -> float | None:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))] if values else None
