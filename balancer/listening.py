"""Taking client connections from a listening socket, and ending in order: the same under gunicorn and without it."""

import errno
import socket
import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer

from balancer.connection import ClientConnection
from balancer.datapath import DataPath
from balancer.stream import Stream, TimedOut
from balancer.tls import TlsStream

ACCEPT_ON_S = 0.5  # how long a worker that stops accepts on, even when nobody is connected: new ones may be starting
IDLE_GRACE_S = 1.0  # how long it accepts on and idle kept-alive connections are still read, while there are any
NEWCOMER_GRACE_S = 1.0  # how long who came last, before we accepted no more, is waited for to say what it wants


class Listener(StreamServer):
    """Accepts; when descriptors run out, kept connections to nodes go first."""

    max_delay = 0.1  # seconds until it is tried again; gevent's own second would keep those waiting who come first

    def __init__(self, listener: Any, path: DataPath, most: int, context: ssl.SSLContext | None = None) -> None:
        """`most`: connections at once. `context`: TLS towards clients."""
        super().__init__(listener, handle=self._serve, spawn=Pool(most))
        self._path = path
        self._context = context

    def serves(self) -> bool:
        """Whether there are clients, those included whose greenlet has not run yet."""
        return self.pool is not None and len(self.pool) > 0

    def do_read(self) -> Any:
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self._path.close_idle()
        return super().do_read()  # if that fails too, gevent tries again, a little later each time

    def _serve(self, sock: Any, peer: Any) -> None:
        path, context = self._path, self._context
        if isinstance(peer, tuple):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is None:
            stream = Stream(sock, path.waits)
        else:
            stream = TlsStream(sock, path.waits, context)
            try:
                stream.handshake(path.timeouts.head_s)
            except (OSError, TimedOut):
                stream.close()
                return
        ClientConnection(path, stream, peer, b"https" if context else b"http").serve()


def finish(
    path: DataPath,
    servers: Sequence[Listener],
    grace_s: float,
    beat: Callable[[], None],
    others_start: Callable[[], bool] = lambda: False,
) -> None:
    """Answer what comes with `Connection: close`, stop accepting, finish what is in hand, then go.

    Who is told to close comes back with a new connection at once. So we accept on while there are clients to be
    told, and as long as `others_start`: those who will serve in our place. `beat` is called all the while; connections
    that are still busy after `grace_s` are left in `path.connections`.
    """
    path.draining = True
    begun, closed = monotonic(), 0.0
    while (elapsed_s := monotonic() - begun) < grace_s:
        beat()
        served = any(server.serves() for server in servers)
        if closed and not served:
            break
        # Closing comes before the last look: who was accepted in the meantime has been seen by then.
        if not closed and elapsed_s > (IDLE_GRACE_S if served else ACCEPT_ON_S) and not others_start():
            for server in servers:
                server.close()
            closed = monotonic()
        if closed:
            newcomers_too = monotonic() - closed > NEWCOMER_GRACE_S
            for connection in path.connections:
                if connection.is_idle() and (newcomers_too or not connection.stream.newcomer):
                    connection.stream.interrupt()
        gevent.sleep(0.05)
    for server in servers:
        server.close()
