"""Connections to one node: kept alive, taken newest first, closed before the node would close them.

A kept connection can always be closed by the node at the very moment we use it. So it is used only for requests that
may be sent again, never for a POST, and such an end is nobody's fault: it costs one more connection, not a failure of
the node (what nginx and others count as a failure ejects healthy nodes).
"""

import errno
import socket
from collections import deque
from time import monotonic
from typing import Any

from gevent import socket as gsocket

from balancer.http1_response import ResponseParser
from balancer.stream import Stream, TimedOut, Waits
from cluster.config import Limits, Timeouts
from cluster.errors import NodeFailed, NodeTooSlow, OutOfFiles

RESOLVE_S = 10.0  # how long a looked-up address is believed


class NodeConnection:
    """A connection to a node and the parser that goes with it."""

    __slots__ = ("idle_since", "parser", "stream")

    def __init__(self, stream: Stream, parser: ResponseParser) -> None:
        self.stream = stream
        self.parser = parser
        self.idle_since = 0.0

    def was_stale(self, failure: NodeFailed) -> bool:
        """The node closed a kept connection at the moment we used it: nobody's fault."""
        return bool(self.idle_since) and failure.reason in ("closed", "reset") and not self.parser.head_bytes

    def close(self) -> None:
        self.parser.release()
        self.stream.close()


class NodePool:
    """Opens connections to one node and keeps the idle ones. One a worker and node."""

    def __init__(self, name: str, host: str, port: int, timeouts: Timeouts, limits: Limits, waits: Waits) -> None:
        self.name = name
        self.raw_name = name.encode("ascii")
        self.authority = f"{host}:{port}".encode("ascii", "replace")
        self._host = host
        self._port = port
        self._timeouts = timeouts
        self._limits = limits
        self._waits = waits
        self._idle: deque[NodeConnection] = deque()
        self._resolved: tuple[int, tuple[Any, ...]] | None = None
        self._resolved_at = 0.0

    def take(self) -> NodeConnection | None:
        """A kept connection, the newest; None when there is none young enough and quiet."""
        oldest = monotonic() - self._timeouts.node_keep_alive_s
        while self._idle:
            connection = self._idle.pop()
            # What came unasked is its end, or an answer that the next client must not get.
            if connection.idle_since > oldest and not connection.stream.unasked:
                return connection
            connection.close()
        return None

    def open(self) -> NodeConnection:
        """A fresh connection. NodeFailed or NodeTooSlow, with nothing sent; OutOfFiles when it is up to us."""
        try:
            family, address = self._address()
            stream = Stream.connect(address, family, self._waits, self._timeouts.connect_s)
        except TimedOut:
            text = f"node {self.name} did not accept a connection within {self._timeouts.connect_s:g} s"
            raise NodeTooSlow("connect_timeout", text, sent=False) from None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise OutOfFiles("out_of_files", "the balancer has no file descriptor left") from None
            raise NodeFailed("refused", f"node {self.name} cannot be connected: {error}", sent=False) from None
        return NodeConnection(stream, ResponseParser(self._limits))

    def give_back(self, connection: NodeConnection) -> None:
        """Keep a connection on which everything sent was answered."""
        if len(self._idle) >= self._limits.idle_node_connections:
            connection.close()
            return
        connection.stream.watch()
        connection.idle_since = monotonic()
        self._idle.append(connection)

    def close_idle(self, before: float) -> None:
        """Close those that have been idle since before that monotonic time."""
        while self._idle and self._idle[0].idle_since <= before:
            self._idle.popleft().close()

    def _address(self) -> tuple[int, tuple[Any, ...]]:
        if self._resolved is None or monotonic() > self._resolved_at + RESOLVE_S:
            family, _, _, _, address = gsocket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)[0]
            self._resolved, self._resolved_at = (int(family), tuple(address)), monotonic()
        return self._resolved
