"""One kept-alive connection to the target: send a GET, read the whole answer. Thin, because the generator shares the
machine with what it measures: about 0.1 ms of CPU a request.
"""

from contextlib import suppress
from typing import NamedTuple

import httptools
from gevent import socket

from cluster.wire import NODE_HEADER

_NODE = NODE_HEADER.lower().encode()
_SERVICE_MS = b"x-service-ms"
READ = 65536


class Answer(NamedTuple):
    """What came back."""

    status: int
    node: str
    """Who answered; "" when the answer does not say."""
    service_ms: float
    """What a simulated node meant to work on it; nan when the answer does not say."""


class NoAnswer(Exception):
    """Refused, reset, cut short or not HTTP; the text is one word for counting."""


class Connection:
    """Not shared: one request at a time. The callbacks below are httptools'."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.kept = False  # the peer will take another request on it
        self.answering = False  # some of an answer has come
        self.used = 0
        self._status = 0
        self._node = ""
        self._service_ms = float("nan")
        self._done = False
        self._parser = httptools.HttpResponseParser(self)
        try:
            self._sock = socket.create_connection(address)
        except OSError:
            raise NoAnswer("refused") from None
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> Answer:
        """Send a whole request, read the whole answer. NoAnswer."""
        self._done, self._node, self._service_ms, self.answering = False, "", float("nan"), False
        self.used += 1
        try:
            self._sock.sendall(request)
            while not self._done:
                data = self._sock.recv(READ)
                if not data:
                    raise NoAnswer("cut")
                self.answering = True
                self._parser.feed_data(data)
        except OSError:
            raise NoAnswer("reset") from None
        except httptools.HttpParserError:
            raise NoAnswer("garbage") from None
        return Answer(self._status, self._node, self._service_ms)

    def close(self) -> None:
        """At once, also in the middle of an answer."""
        with suppress(OSError):
            self._sock.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == _NODE:
            self._node = value.decode("latin-1")
        elif name == _SERVICE_MS:
            with suppress(ValueError):
                self._service_ms = float(value)

    def on_message_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self.kept = self._parser.should_keep_alive()
        self._done = True
