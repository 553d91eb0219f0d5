"""The gunicorn worker of our programs under Linux: gunicorn's own for gevent, but it goes as soon as it may.

gunicorn's sleeps for a second between two looks at whether it shall stop, and again between two looks at whether all
requests are answered. A deploy waits for that once for each program of each host.
"""

import time
from functools import partial
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

LOOK_S = 0.1


class PromptWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves the application until it is told to stop, then finishes what it has in hand."""

    def run(self) -> None:
        servers = [self._serve(listener) for listener in self.sockets]
        beat = 0
        while self.alive:
            if beat % 10 == 0:
                self.notify()
            beat += 1
            gevent.sleep(LOOK_S)
        for server in servers:
            server.close()
        until = time.monotonic() + self.cfg.graceful_timeout
        while any(server.pool for server in servers) and time.monotonic() < until:
            self.notify()
            gevent.sleep(LOOK_S)
        for server in servers:
            server.stop(timeout=1)

    def _serve(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        tls = {"ssl_context": ssl_context(self.cfg)} if self.cfg.is_ssl else {}
        handle: Any = partial(self.handle, listener)
        server: StreamServer = StreamServer(listener, handle, spawn=Pool(self.worker_connections), **tls)
        server.start()
        return server
