"""The gunicorn worker of our programs under Linux: gunicorn's own for gevent, but it goes as soon as it may.

gunicorn's sleeps for a second between two looks at whether it shall stop, and again between two looks at whether all
connections have ended; one that a client keeps open for later holds it up for the whole of `graceful_timeout`. A
deploy waits for that once for each program of each host.
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
SILENT_LOOKS = 3
"""So many looks in a row without a request in hand, and what is still connected only keeps its connection."""


class PromptWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves the application until it is told to stop, then finishes what it has in hand."""

    _told: Event | None = None  # set when it shall stop
    _in_hand = 0  # requests

    def run(self) -> None:
        self._told = told = Event()
        servers = [self._serve(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            told.wait(BEAT_S)
        for server in servers:
            server.close()
        until = time.monotonic() + self.cfg.graceful_timeout
        silent = 0
        while any(server.pool for server in servers) and silent < SILENT_LOOKS and time.monotonic() < until:
            self.notify()
            gevent.sleep(LOOK_S)
            silent = 0 if self._in_hand else silent + 1
        # What is left ends with the process. Not by server.stop(): gunicorn would answer 500 where nothing was asked.

    def handle_exit(self, number: int, frame: Any) -> None:
        """SIGTERM: wakes `run`. It looks only once a second by itself, because more would cost an idle fleet CPU."""
        super().handle_exit(number, frame)
        if self._told is not None:
            self._told.set()

    def handle_request(self, *args: Any) -> None:
        """One request of a connection, of which there may be many."""
        self._in_hand += 1
        try:
            super().handle_request(*args)
        finally:
            self._in_hand -= 1

    def _serve(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        handle: Any = partial(self.handle, listener)
        server: StreamServer = StreamServer(listener, handle, spawn=Pool(self.worker_connections), **tls)
        server.start()
        return server
