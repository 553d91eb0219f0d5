"""A node that misbehaves when it is told to: `python -m lab.faults.node NAME PORT SERVICE_MS JOURNAL`.

Standard input is a socket to whoever started it. Each line is a JSON object {"fault": KEY or null}; when it is in force
a line comes back. At its end the node ends too.

    GET, POST /w/ID       work for service_ms, then an answer that names node, method and id
    GET /wait/ID          two seconds of work            POST /up/ID    reads its body, slowly
    GET /stream/ID        an answer without end          GET /bytes/N   N bytes
    POST /full/ID         413 at once; its body is never read, the connection stays open
    GET /health           the probe

What it did is written to the journal line by line, so that it can be counted after a kill -9: `did METHOD ID` when the
work is done, `begun ID AT` and `gone ID AT` (monotonic seconds) when the other side went away before it had its answer.
"""

import ctypes
import json
import os
import random
import socket
import struct
import sys
from time import monotonic
from typing import Any

import gevent
from gevent import select
from gevent.event import Event
from gevent.fileobject import FileObject
from gevent.server import StreamServer
from gevent.socket import socket as gevent_socket

WAIT_S = 2.0
SLOW = 10  # how many times slower with the fault "slow"
ANSWER_BYTES = 200
FULL_S = 10.0  # how long who was told 413 finds the connection open
UPLOAD_PIECE = 1 << 20
UPLOAD_PAUSE_S = 0.02  # after each piece: at most 50 MiB/s
_ATTACH, _DETACH = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER: socket(7), not in Python's socket module
_DROP_ALL = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
_FILTER = struct.pack("HL", 1, ctypes.addressof(_DROP_ALL))
FAULTS = ("slow", "garbage", "cut-length", "cut-chunked", "endless-head", "hang-up", "reset", "partition")
PROBES_PASS = (None, "slow", "hang-up", "reset", "cut-length", "cut-chunked")


class Gone(Exception):
    """The other side closed."""


class Node:
    """One node."""

    def __init__(self, name: str, listener: Any, service_ms: float, journal: str) -> None:
        self.name = name
        self.fault: str | None = None
        self.service_ms = service_ms
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._listener = listener
        self._open: set[Any] = set()
        self._reachable = Event()
        self._reachable.set()

    def obey(self, fault: str | None) -> None:
        """From now on do this. ValueError when it knows no such fault."""
        if fault is not None and fault not in FAULTS:
            raise ValueError(fault)
        self.fault = fault
        if fault == "partition":
            self._reachable.clear()  # before anything is dropped: what is said from here on must not get out
            self._drop([self._listener, *self._open])
        elif not self._reachable.is_set():
            for sock in (self._listener, *self._open):
                sock.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
            self._reachable.set()

    def _drop(self, sockets: list[Any]) -> None:
        """The kernel drops every segment that comes for these, unanswered, as if the cable was cut."""
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, _ATTACH, _FILTER)

    def note(self, *words: object) -> None:
        os.write(self._journal, (" ".join(map(str, words)) + "\n").encode())

    def serve(self, sock: Any, address: object) -> None:
        """One connection, request after request."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open.add(sock)
        if not self._reachable.is_set():
            self._drop([sock])
        try:
            Connection(self, sock).run()
        except (Gone, OSError):
            pass
        finally:
            self._open.discard(sock)

    def reachable(self) -> None:
        """Wait for the end of a partition."""
        self._reachable.wait()


class Connection:
    """One connection to a node."""

    def __init__(self, node: Node, sock: Any) -> None:
        self.node = node
        self.sock = sock
        self.buffer = b""

    def run(self) -> None:
        """Until somebody closes. Gone, OSError."""
        while True:
            method, target, length = self._head()
            kind, _, rest = target.lstrip("/").partition("/")
            if kind == "health" and self.node.fault in PROBES_PASS:
                self._send(_counted(b"ok"))
            elif kind in ("w", "health"):
                self._body(length)
                self._work(method, rest)
            else:
                self._special(kind, rest, length)
            if self.node.fault == "hang-up":
                gevent.sleep(random.uniform(0, 0.004))
                return

    def _work(self, method: str, request_id: str) -> None:
        node = self.node
        if node.fault == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone
        gevent.sleep(node.service_ms / 1e3 * (SLOW if node.fault == "slow" else 1))
        if request_id:
            node.note("did", method, request_id)
        answer = f"{node.name} {method} {request_id}\n".encode().ljust(ANSWER_BYTES)
        match node.fault:
            case "garbage":
                self._send(b"\x15\x03\x03 220 this is not HTTP\r\n\r\n" + answer)
                raise Gone
            case "cut-length":
                self._send(_counted(answer)[:-100])
                raise Gone
            case "cut-chunked":
                self._send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(answer), answer))
                raise Gone
            case "endless-head":
                self._send(b"HTTP/1.1 200 OK\r\n")
                for n in range(2000):
                    self._send(b"X-%d: %s\r\n" % (n, b"y" * 1000))
                raise Gone
            case _:
                self._send(_counted(answer))

    def _special(self, kind: str, rest: str, length: int) -> None:
        if kind == "bytes":
            self._send(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % rest.encode())
            piece = b"x" * 65536
            for at in range(0, int(rest), len(piece)):
                self._send(piece[: int(rest) - at])
            return
        if kind == "full":
            self._send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
            gevent.sleep(FULL_S)
            raise Gone
        self.node.note("begun", rest, monotonic())
        try:
            if kind == "up":
                self._body(length, UPLOAD_PAUSE_S)
            elif kind == "wait":
                if select.select([self.sock], [], [], WAIT_S)[0]:
                    raise Gone  # nobody pipelines to us: what can be read is the end
            elif kind == "stream":
                self._send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while not select.select([self.sock], [], [], 0.01)[0]:
                    self._send(b"64\r\n" + b"x" * 100 + b"\r\n")
                raise Gone
        except (Gone, OSError):
            self.node.note("gone", rest, monotonic())
            raise Gone from None
        self._send(_counted(f"{length}\n".encode()))

    def _send(self, data: bytes) -> None:
        self.node.reachable()
        self.sock.sendall(data)

    def _head(self) -> tuple[str, str, int]:
        """Method, target, length of the body. The balancers send no other framing, because the clients do not."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, target, _ = first.split(" ", 2)
        return method, target, int(fields.get("content-length", 0))

    def _body(self, length: int, pause_s: float = 0.0) -> None:
        """Read and forget it."""
        since_pause = 0
        while length > len(self.buffer):
            length -= len(self.buffer)
            since_pause += len(self.buffer)
            self.buffer = b""
            if pause_s and since_pause >= UPLOAD_PIECE:
                gevent.sleep(pause_s)
                since_pause = 0
            self._more()
        self.buffer = self.buffer[length:]

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.buffer += data


def _counted(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/plain\r\n\r\n%s" % (len(body), body)


def main(name: str, port: str, service_ms: str, journal: str) -> None:
    """Serve until standard input ends."""
    listener = gevent_socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(port)))
    listener.listen(1024)
    node = Node(name, listener, float(service_ms), journal)
    StreamServer(listener, node.serve).start()
    orders, answers = FileObject(0, "rb", 0), FileObject(os.dup(0), "wb", 0)
    while line := orders.readline():
        node.obey(**json.loads(line))
        answers.write(b"done\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
