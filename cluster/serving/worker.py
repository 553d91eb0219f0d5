"""The gunicorn worker of our programs under Linux: gunicorn's own for gevent, but it goes as soon as it may.

gunicorn's sleeps for a second between two looks at whether it shall stop, and again between two looks at whether all
requests are answered. A deploy waits for that once for each program of each host.
"""

import time
from functools import partial
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

BEAT_S = 1.0
"""How often the master is told that we live."""
LOOK_S = 0.1
"""How often one that stops looks whether all requests are answered."""


class PromptWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves the application until it is told to stop, then finishes what it has in hand."""

    _told: Event | None = None  # set when it shall stop

    def run(self) -> None:
        self._told = told = Event()
        servers = [self._serve(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            told.wait(BEAT_S)
        for server in servers:
            server.close()
        until = time.monotonic() + self.cfg.graceful_timeout
        while any(server.pool for server in servers) and time.monotonic() < until:
            self.notify()
            gevent.sleep(LOOK_S)
        for server in servers:
            server.stop(timeout=1)

    def handle_exit(self, number: int, frame: Any) -> None:
        """SIGTERM: wakes `run`. It looks only once a second by itself, because more would cost an idle fleet CPU."""
        super().handle_exit(number, frame)
        if self._told is not None:
            self._told.set()

    def _serve(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        handle: Any = partial(self.handle, listener)
        server: StreamServer = StreamServer(listener, handle, spawn=Pool(self.worker_connections), **tls)
        server.start()
        return server
