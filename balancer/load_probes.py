"""Asking nodes for their load beside the traffic, when the algorithm in force wants it (`Algorithm.probe`).

One question at a time a node, none that would come within 5 ms of the last, 100 ms for an answer, and at most 400 a
second a worker: what is asked for beyond that is left out, and the algorithm decides on what it has. An answer goes
to the scoreboard, where all workers see it, and to the algorithm. A failure says nothing here; health is the prober's
business.
"""

from collections.abc import Callable, Sequence
from time import monotonic

import gevent

from balancer.node_record import NodeRecord
from balancer.stream import TimedOut
from balancer.upstream import NodeConnection, NodePool
from cluster.config import Node, Runs
from cluster.errors import NodeFailed, OutOfFiles
from cluster.wire import NodeReport, orca_to_report

TIMEOUT_S = 0.1
GAP_S = 0.005
MOST_PER_S = 400.0
BURST = 20.0


class LoadProbes:
    """Sends one worker's questions. `heard(index, report, now)` is called with each answer."""

    def __init__(
        self, pools: Sequence[NodePool], nodes: Sequence[Node], heard: Callable[[int, NodeReport, float], None]
    ) -> None:
        self._pools = pools
        self._heads = [_head(pool, node) for pool, node in zip(pools, nodes, strict=True)]
        self._ours = [node.runs is Runs.SIMULATED for node in nodes]
        self._heard = heard
        self._asking: set[int] = set()
        self._next_at = [0.0] * len(nodes)
        self._allowed = BURST
        self._allowed_at = 0.0

    def send(self, nodes: Sequence[NodeRecord], now: float) -> None:
        """Ask these nodes, as far as there is time for it. Does not wait."""
        for node in nodes:
            index = node.index
            if index in self._asking or now < self._next_at[index] or self._heads[index] is None:
                continue
            if not self._ours[index] and node.newest_report() is None:
                continue  # a program of somebody else that has never reported: it does not know what is asked
            if not self._may(now):
                return
            self._asking.add(index)
            gevent.spawn(self._ask, index)

    def _may(self, now: float) -> bool:
        self._allowed = min(BURST, self._allowed + (now - self._allowed_at) * MOST_PER_S)
        self._allowed_at = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    def _ask(self, index: int) -> None:
        pool = self._pools[index]
        connection: NodeConnection | None = None
        try:
            connection = pool.take() or pool.open()
            if self._read(connection, index):
                pool.give_back(connection)
                connection = None
        except (NodeFailed, OutOfFiles, TimedOut, OSError):
            pass
        finally:
            if connection is not None:
                connection.close()
            self._asking.discard(index)
            self._next_at[index] = monotonic() + GAP_S

    def _read(self, connection: NodeConnection, index: int) -> bool:
        """One question and its answer; whether the connection may be used again."""
        stream, parser, until = connection.stream, connection.parser, monotonic() + TIMEOUT_S
        head = self._heads[index]
        assert head is not None
        parser.begin()
        stream.send(head, TIMEOUT_S)
        while not parser.complete:
            if monotonic() > until:
                raise TimedOut
            data = stream.recv(max(0.01, until - monotonic()))
            if not data:
                return False
            parser.feed(data)
        report = orca_to_report(parser.orca.decode("latin-1")) if parser.orca else None
        if report is not None:
            self._heard(index, report, monotonic())
        return parser.keep_alive


def _head(pool: NodePool, node: Node) -> bytes | None:
    """The question, or None when there is nothing that could be asked."""
    path = "/-/load" if node.runs is Runs.SIMULATED else node.probe_path
    if path is None:
        return None
    lines = (
        f"GET {path} HTTP/1.1\r\nHost: {pool.authority.decode()}\r\nUser-Agent: fairlead-load\r\nAccept: */*\r\n\r\n"
    )
    return lines.encode()
