"""The gunicorn worker that is the balancer. Read this first.

gunicorn's master forks us, hands us the listening socket, watches that we live, and tells us when to stop. We take each
client connection ourselves and speak HTTP on it (connection.py); no WSGI and no Flask are on this path.
"""

import os
import resource
import signal
import sys
from typing import Any

import gevent
from gunicorn.sock import ssl_context
from gunicorn.workers.ggevent import GeventWorker

from balancer import standby
from balancer.datapath import DataPath, open_scoreboard
from balancer.listening import Listener, finish
from balancer.scoreboard import Scoreboard
from cluster import paths
from cluster.fleet import this_balancer
from cluster.logs import LineLog

SPARE_FILES = 64  # descriptors that are not connections: logs, scoreboard, listening sockets


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """gunicorn wants a WSGI application; ours is never called, because `BalancerWorker` serves connections itself."""
    raise RuntimeError("start gunicorn with -c python:balancer.gunicorn_conf")


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

    def _listen(self, listener: Any) -> Listener:
        listener.setblocking(1)
        context = ssl_context(self.cfg) if self.cfg.is_ssl else None
        server = Listener(listener, self.path, self._most_connections(), context)
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

    def _others_start(self) -> bool:
        """Whether workers that will serve in our place still start: after a reload or a handover. Not when a new
        scoreboard was made, where we do not see them."""
        master = standby.serving_master() or self.ppid
        return self.path.board.is_current() and standby.has_workers_to_come(master, self.path.board.pids())

    def _stop(self, servers: list[Listener]) -> None:
        path = self.path
        finish(path, servers, self.cfg.graceful_timeout, self.tmp.notify, self._others_start)
        if path.connections:
            self.log.warning("stopped with %d connections still busy", len(path.connections))
        for server in servers:
            server.stop(timeout=0.5)
        path.close()
        sys.stdout.flush()
