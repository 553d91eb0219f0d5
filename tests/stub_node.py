"""A node made of raw bytes, which does exactly what a test tells it: answer, lie, stall, break off."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

HERE = "127.0.0.1"


class Seen(NamedTuple):
    """A request as the node got it."""

    head: bytes
    body: bytes
    connection: int  # the how-manieth connection it came on

    def all(self, name: bytes) -> list[bytes]:
        lines = self.head.split(b"\r\n")[1:-2]
        return [line.partition(b":")[2].strip() for line in lines if line.partition(b":")[0].lower() == name.lower()]

    def field(self, name: bytes) -> bytes | None:
        found = self.all(name)
        assert len(found) <= 1, f"{name!r} is there {len(found)} times"
        return found[0] if found else None

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]


class StubConnection:
    """One connection that the balancer opened."""

    def __init__(self, sock: socket.socket, number: int, seen: list[Seen]) -> None:
        self.sock = sock
        self.number = number
        self._seen = seen
        self.buffer = b""

    def request(self) -> Seen | None:
        """Read one whole request; None when the connection ends first."""
        head = self.head()
        if head is None:
            return None
        probe = Seen(head, b"", self.number)
        if probe.field(b"transfer-encoding"):
            body = self._chunked()
        else:
            body = self._exactly(int(probe.field(b"content-length") or 0))
        request = probe._replace(body=body)
        self._seen.append(request)
        return request

    def head(self) -> bytes | None:
        """Read one head, not the body."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def gone(self, within_s: float = 10) -> bool:
        """Whether the balancer closes this connection in time."""
        self.sock.settimeout(within_s)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def _chunked(self) -> bytes:
        out = []
        while size := int(self._line(), 16):
            out.append(self._exactly(size))
            assert self._line() == b""
        assert self._line() == b"", "a trailer was passed on"
        return b"".join(out)

    def _exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        out, self.buffer = self.buffer[:count], self.buffer[count:]
        return out

    def _more(self) -> None:
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("ended in the middle of a request")
        self.buffer += data


Behaviour = Callable[[StubConnection], None]


def answer(body: bytes = b"ok", status: bytes = b"200 OK", *fields: bytes) -> bytes:
    """A counted answer."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answering(raw: bytes) -> Behaviour:
    """Every request gets these bytes."""

    def behave(connection: StubConnection) -> None:
        while connection.request():
            connection.send(raw)

    return behave


class StubNode:
    """A listening stub. Set `behave` to say what it does with each connection; `seen` collects the requests."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        self.behave: Behaviour = answering(answer())
        self.seen: list[Seen] = []
        self.connections = 0
        self.failures: list[BaseException] = []
        self._listener = socket.create_server((HERE, port), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """Back to answering `ok`; open connections are closed and nothing was seen."""
        self.behave = answering(answer())
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.seen.clear()
        self.failures.clear()
        self.connections = 0

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self.forget()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(30)
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock, self.connections, self.behave), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int, behave: Behaviour) -> None:
        try:
            behave(StubConnection(sock, number, self.seen))
        except OSError:
            pass  # the balancer went away, or the test is over
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._open.discard(sock)
            sock.close()
