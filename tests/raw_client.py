"""A client that sends exactly the bytes it is given and reads answers strictly: what is sloppy is an error here."""

import socket
import struct
import time
from contextlib import suppress
from typing import NamedTuple, Self

HERE = "127.0.0.1"


class CutOff(Exception):
    """The answer ended before its end."""


class Answer(NamedTuple):
    """One answer. `informational`: statuses of the 1xx answers before it."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    informational: list[int]
    version: str

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def field(self, name: str) -> str | None:
        """The one field of that name; an error when it is there twice."""
        found = self.all(name)
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None


class RawClient:
    """One connection to `port`."""

    def __init__(self, port: int, timeout_s: float = 15) -> None:
        self.sock = socket.create_connection((HERE, port), timeout=timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def slowly(self, data: bytes, pieces: int, pause_s: float) -> None:
        """Send in so many pieces."""
        step = max(1, len(data) // pieces)
        for at in range(0, len(data), step):
            self.send(data[at : at + step])
            time.sleep(pause_s)

    def ask(self, data: bytes, method: str = "") -> Answer:
        """Send a request and read its answer."""
        self.send(data)
        return self.answer(method or data.split(b" ", 1)[0].decode("latin-1"))

    def answer(self, method: str = "GET") -> Answer:
        """The next answer. CutOff when the connection ends in the middle of it."""
        informational = []
        while True:
            version, status, fields = self.head()
            if not 100 <= status < 200 or status == 101:
                break
            informational.append(status)
        answer = Answer(status, fields, b"", informational, version)
        return answer._replace(body=self._body(answer, method))

    def head(self) -> tuple[str, int, list[tuple[str, str]]]:
        """Version, status and fields of the next head."""
        raw = self._until(b"\r\n\r\n")
        assert b"\n" not in raw.replace(b"\r\n", b""), f"bare LF in {raw!r}"
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        fields = []
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, line
            assert name.strip() == name, line
            fields.append((name, value.strip()))
        return version, int(status), fields

    def _body(self, answer: Answer, method: str) -> bytes:
        length, coding = answer.field("content-length"), answer.field("transfer-encoding")
        assert length is None or coding is None, "both Content-Length and Transfer-Encoding"
        if method == "HEAD" or answer.status in (204, 304) or answer.status == 101:
            return b""
        if coding is not None:
            assert coding == "chunked"
            return b"".join(self.chunks())
        if length is not None:
            return self._exactly(int(length))
        body = self.buffer + self.rest()
        self.buffer = b""
        return body

    def chunks(self) -> list[bytes]:
        """All chunks up to the last."""
        out = []
        while chunk := self.chunk():
            out.append(chunk)
        assert self._until(b"\r\n") == b"\r\n", "trailers"
        return out

    def chunk(self) -> bytes:
        """One chunk; b"" is the last."""
        size = int(self._until(b"\r\n")[:-2], 16)
        if not size:
            return b""
        data = self._exactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    def rest(self) -> bytes:
        """Everything until the end of the connection."""
        out = b""
        with suppress(ConnectionResetError):
            while data := self.sock.recv(65536):
                out += data
        return out

    def is_closed(self, within_s: float = 5) -> bool:
        """Whether the other side ends the connection, without another byte."""
        if self.buffer:
            return False
        self.sock.settimeout(within_s)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def reset(self) -> None:
        """Break the connection off with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise CutOff(self.buffer[:200])
        self.buffer += data

    def _until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            assert len(self.buffer) < 1 << 20, "no end in sight"
            self._more()
        at = self.buffer.index(end) + len(end)
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        return out

    def _exactly(self, count: int) -> bytes:
        pieces, have = [self.buffer], len(self.buffer)
        while have < count:
            data = self.sock.recv(min(1 << 20, count - have))
            if not data:
                raise CutOff(f"{have} of {count} bytes")
            pieces.append(data)
            have += len(data)
        whole = b"".join(pieces)
        self.buffer = whole[count:]
        return whole[:count]
