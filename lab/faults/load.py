"""The load: `python -m lab.faults.load PORT RECORDS`, until standard input ends.

Sixteen clients, each on a connection that it keeps, GET and POST in turn with a short pause between. A client does not
try again by itself: whatever goes wrong is one record. It reads strictly: an answer that is not HTTP, that ends before
its end, or that belongs to somebody else's request is not an answer.

A connection that the balancer closed while it lay idle, without having said so in the answer before, is a record of its
own (`idle-cut`): a client that looks before it sends notices, one that does not gets an error.
"""

import itertools
import json
import sys
from contextlib import suppress
from time import monotonic
from typing import Any

import gevent
from gevent import select
from gevent.fileobject import FileObject
from gevent.socket import create_connection

from lab.faults.rows import Record

CLIENTS = 16
PAUSE_S = 0.02
PATIENCE_S = 10.0
BODY = b"fault=none&n=1"


class Bad(Exception):
    """No proper answer; the text is the record's outcome."""


class Client:
    """One client."""

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.port = port
        self.records: list[Record] = []
        self.stopped = False
        self._sock: Any = None
        self._buffer = b""
        self._keep = True  # the balancer has not said that it will close

    def run(self) -> None:
        """Ask until stopped."""
        gevent.sleep(PAUSE_S * self.number / CLIENTS)
        for n in itertools.count():
            if self.stopped:
                break
            method = ("GET", "POST")[n % 2]
            self._look()
            begun, node = monotonic(), ""
            try:
                with gevent.Timeout(PATIENCE_S, Bad("timeout")):
                    node = self._ask(method, f"{self.number}-{n}")
                outcome = "ok"
            except Bad as error:
                outcome = str(error)
            self.records.append(Record(begun, (monotonic() - begun) * 1e3, self.number, method, outcome, node))
            if outcome != "ok" and not outcome[:3].isdigit():
                self._drop()
            gevent.sleep(PAUSE_S)
        self._drop()

    def _look(self) -> None:
        """Has the kept connection been closed meanwhile?"""
        if self._sock is None:
            return
        if not self._keep:
            self._drop()
        elif select.select([self._sock], [], [], 0)[0]:
            self.records.append(Record(monotonic(), 0.0, self.number, "-", "idle-cut", ""))
            self._drop()

    def _ask(self, method: str, request_id: str) -> str:
        """The node that answered. Bad."""
        if self._sock is None:
            try:
                self._sock = create_connection(("127.0.0.1", self.port))
            except OSError:
                raise Bad("refused") from None
        body = b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY) if method == "POST" else b"\r\n"
        head = f"{method} /w/{request_id} HTTP/1.1\r\nHost: faults\r\n".encode()
        try:
            self._sock.sendall(head + body)
        except OSError:
            raise Bad("cut") from None
        status, fields = self._head()
        said = self._body(fields)
        self._keep = fields.get("connection", "").lower() != "close"
        if status == 503 and "retry-after" not in fields:
            raise Bad("503 bare")
        if status != 200:
            raise Bad(str(status))
        node, *rest = said.decode("latin-1").split()
        if rest != [method, request_id]:
            raise Bad("wrong")
        return node

    def _head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer:
            self._more("cut" if not self._buffer else "cut short")
            if not b"HTTP/1.1 ".startswith(self._buffer[:9]):
                raise Bad("garbage")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), fields

    def _body(self, fields: dict[str, str]) -> bytes:
        if "content-length" in fields:
            return self._exactly(int(fields["content-length"]))
        if fields.get("transfer-encoding") != "chunked":
            raise Bad("cut short")  # nobody here answers up to the end of the connection
        out = b""
        while size := int(self._line(), 16):
            out += self._exactly(size)
            self._line()
        self._line()
        return out

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more("cut short")
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more("cut short")
        out, self._buffer = self._buffer[:count], self._buffer[count:]
        return out

    def _more(self, when_ended: str) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            raise Bad(when_ended)
        self._buffer += data

    def _drop(self) -> None:
        if self._sock is not None:
            with suppress(OSError):
                self._sock.close()
        self._sock, self._buffer, self._keep = None, b"", True


def main(port: str, records: str) -> None:
    """Run the clients until standard input ends, then write what they saw, one JSON array a line."""
    clients = [Client(number, int(port)) for number in range(CLIENTS)]
    running = [gevent.spawn(client.run) for client in clients]
    FileObject(0, "rb", 0).read()
    for client in clients:
        client.stopped = True
    gevent.joinall(running, PATIENCE_S + 2)
    with open(records, "w") as file:
        for record in sorted(record for client in clients for record in client.records):
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
