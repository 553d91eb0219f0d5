"""One client connection of the balancer's real data path, in this process, between a client and a node made here.

No gunicorn and no other process: `ClientConnection.serve` runs in a greenlet on one end of a socket pair, and the pool
opens socket pairs to a node that another greenlet plays. So an example takes about a millisecond.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
from gevent import socket as gsocket

from balancer.connection import ClientConnection
from balancer.datapath import DataPath, open_scoreboard
from balancer.http1_response import ResponseParser
from balancer.stream import Stream
from balancer.upstream import NodeConnection
from cluster.config import Fleet
from cluster.logs import LineLog
from tests.fuzz.strict_reader import Incomplete, Malformed, Request, read_head_of_request, read_request

WITHIN_S = 20.0
OK = b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 20:48:08 GMT\r\nContent-Length: 2\r\n\r\nok"


class Bench:
    """A data path with one node. `answer`: what that node says to each request; b"" ends its connection."""

    def __init__(self, folder: Path) -> None:
        limits = {"body_bytes": 100_000}
        timeouts = {"first_byte_s": 2, "idle_s": 2, "no_node_s": 0}
        balancer = {"name": "b1", "limits": limits, "timeouts": timeouts, "retries": {"attempts": 1}}
        node = {"name": "s1", "runs": "external", "address": "127.0.0.1", "port": 1}
        self.fleet = Fleet.model_validate(
            {"balancers": [balancer], "nodes": [node], "health": {"ejection": {"enabled": False}}}
        )
        self.board = open_scoreboard(self.fleet, self.fleet.balancers[0])
        self.board.claim()
        self.path = DataPath(self.fleet, self.fleet.balancers[0], self.board, LineLog(folder / "access.jsonl"))
        self.path.pools[0].open = self._open  # type: ignore[method-assign]
        self._listener = gsocket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(16)
        self._nodes: list[gevent.Greenlet] = []
        self.answer: Callable[[Request], bytes] = lambda request: OK
        self.seen: list[Request] = []  # whole requests that the node got
        self.bad: list[bytes] = []  # bytes that it got and that were no request

    def close(self) -> None:
        self.path.close()
        self._listener.close()

    def exchange(self, pieces: list[bytes]) -> bytes:
        """A client sends these, half-closes and reads to the end. What it got; `seen` and `bad` say what the node did.

        Whatever is raised out of the connection's loop is raised here.
        """
        self.seen, self.bad = [], []
        mine, its = self._pair()
        try:
            stream = Stream(its, self.path.waits)
            serving = gevent.spawn(ClientConnection(self.path, stream, ("127.0.0.1", 1)).serve)
            sending = gevent.spawn(_send, mine, pieces)
            got = b""
            with gevent.Timeout(WITHIN_S), suppress(ConnectionResetError):
                while data := mine.recv(65536):
                    got += data
            sending.join(WITHIN_S)
        finally:
            mine.close()
        serving.get(timeout=WITHIN_S)  # raises what it raised
        self.path.close_idle()
        gevent.joinall(self._nodes, timeout=WITHIN_S, raise_error=True)
        self._nodes.clear()
        record = self.board.nodes[0]
        self.board.refresh_live()
        assert record.in_flight == 0, "somebody is still in flight"
        assert not self.path.connections, "a connection was not taken down"
        return got

    def _pair(self) -> tuple[Any, Any]:
        """Two connected sockets; TCP, because a reset must be seen as one."""
        one = gsocket.create_connection(self._listener.getsockname())
        other, _ = self._listener.accept()
        return one, other

    def _open(self) -> NodeConnection:
        balancers, nodes = self._pair()
        self._nodes.append(gevent.spawn(self._play_node, nodes))
        return NodeConnection(Stream(balancers, self.path.waits), ResponseParser(self.path.limits))

    def _play_node(self, sock: Any) -> None:
        """Read strictly, answer each whole request."""
        buffer, told = b"", False
        with sock, suppress(OSError):
            while data := sock.recv(65536):
                buffer += data
                while buffer:
                    try:
                        request, end = read_request(buffer)
                    except Incomplete:
                        fields = read_head_of_request(buffer)
                        if not told and fields and (b"expect", b"100-continue") in fields:
                            told = True
                            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                        break
                    except Malformed:
                        self.bad.append(buffer)
                        return
                    buffer, told = buffer[end:], False
                    self.seen.append(request)
                    said = self.answer(request)
                    if not said:
                        return
                    sock.sendall(said)
                    if said is not OK:
                        sock.shutdown(socket.SHUT_WR)


def _send(sock: Any, pieces: list[bytes]) -> None:
    with suppress(OSError):
        for piece in pieces:
            sock.sendall(piece)
            gevent.sleep(0)
        sock.shutdown(socket.SHUT_WR)
