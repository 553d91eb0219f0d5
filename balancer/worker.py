"""The gunicorn worker that is the balancer. Read this first.

gunicorn's master forks us, hands us the listening socket, watches that we live, and tells us when to stop. We take each
client connection ourselves and speak HTTP on it (connection.py); no WSGI and no Flask are on this path.
"""

import errno
import os
import resource
import signal
import socket
import sys
import time
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from balancer.connection import ClientConnection
from balancer.datapath import DataPath, open_scoreboard
from balancer.scoreboard import Scoreboard
from balancer.stream import Stream, TimedOut
from balancer.tls import TlsStream
from cluster import paths
from cluster.fleet import this_balancer
from cluster.logs import LineLog

SPARE_FILES = 64  # descriptors that are not connections: logs, scoreboard, listening sockets
ACCEPT_ON_S = 1.0  # how long a worker that stops accepts on, even when nobody is connected: new ones may be starting
IDLE_GRACE_S = 3.0  # how long it accepts on and idle kept-alive connections are still read, while there are any


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """gunicorn wants a WSGI application; ours is never called, because `BalancerWorker` serves connections itself."""
    raise RuntimeError("start gunicorn with -c python:balancer.gunicorn_conf")


class Listener(StreamServer):
    """Accepts; when descriptors run out, kept connections to nodes go first."""

    path: DataPath

    def do_read(self) -> Any:
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self.path.close_idle()
        return super().do_read()  # if that fails too, gevent tries again later and later


class BalancerWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gevent worker that balances instead of serving an application."""

    path: DataPath
    _told = False

    def run(self) -> None:
        fleet, balancer = this_balancer()
        board = open_scoreboard(fleet, balancer)
        slot = board.claim()
        self.path = DataPath(fleet, balancer, board, LineLog(paths.log_dir() / "access.jsonl"))
        self.log.info(
            "balancer %s: worker in slot %d, algorithm %s", balancer.name, slot, self.path.picker.algorithm.key
        )
        servers = [self._listen(s) for s in self.sockets]
        while self.alive:
            self.notify()
            self._follow(board)
            for _ in range(4):  # a stop is seen at once, not after the second that gunicorn's own worker sleeps
                if self.alive:
                    gevent.sleep(0.25)
        self._stop(servers)

    def notify(self) -> None:
        """Tell the master that we live; when it is dead, finish what we have in hand and go."""
        self.tmp.notify()
        if self.ppid != os.getppid():
            self.alive = False

    def _follow(self, board: Scoreboard) -> None:
        """When another scoreboard was made, for another fleet, have the master replace us all, the new ones first."""
        if not board.is_current() and not self._told and board.slot == board.live[0]:
            self._told = True
            self.log.warning("the scoreboard was made anew: asking for new workers")
            os.kill(self.ppid, signal.SIGHUP)

    def _listen(self, listener: Any) -> StreamServer:
        listener.setblocking(1)
        context = ssl_context(self.cfg) if self.cfg.is_ssl else None

        def handle(sock: Any, peer: Any) -> None:
            if isinstance(peer, tuple):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is None:
                stream = Stream(sock, self.path.waits)
            else:
                stream = TlsStream(sock, self.path.waits, context)
                try:
                    stream.handshake(self.path.timeouts.head_s)
                except (OSError, TimedOut):
                    stream.close()
                    return
            ClientConnection(self.path, stream, peer, b"https" if context else b"http").serve()

        server = Listener(listener, handle=handle, spawn=Pool(self._most_connections()))
        server.path = self.path
        if self.cfg.workers > 1:
            server.max_accept = 1  # leave some for the other workers
        server.start()
        return server

    def _most_connections(self) -> int:
        """Client connections at once: each may need one to a node, and the system bounds their sum (ulimit -n)."""
        wanted = self.path.limits.connections
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        needed = max(soft, 2 * wanted + SPARE_FILES)
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        most = max(1, min(wanted, (soft - SPARE_FILES) // 2))
        if most < wanted:
            self.log.warning("at most %d client connections, not %d: ulimit -n is %d", most, wanted, soft)
        return most

    def _stop(self, servers: list[StreamServer]) -> None:
        """Answer what comes with `Connection: close`, stop accepting, finish what is in hand, then go.

        Who is told to close comes back with a new connection at once. So we accept on while there are clients to be
        told: at a reload the new workers serve beside us by then, at a restart they are waited for but a moment.
        """
        path = self.path
        path.draining = True
        begun = time.monotonic()
        while (elapsed_s := time.monotonic() - begun) < ACCEPT_ON_S or path.connections:
            self.tmp.notify()
            if elapsed_s > self.cfg.graceful_timeout:
                break
            if elapsed_s > IDLE_GRACE_S:
                for server in servers:
                    server.close()
                for connection in path.connections:
                    if not connection.busy:
                        connection.stream.interrupt()
            gevent.sleep(0.05)
        for server in servers:
            server.close()
        if path.connections:
            self.log.warning("stopped with %d connections still busy", len(path.connections))
        for server in servers:
            server.stop(timeout=0.5)
        path.close()
        sys.stdout.flush()
