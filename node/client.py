"""The client of one request: reading its body, noticing that it left, hanging up on it.

A node gives up a request whose client has closed the connection, because a balancer that gave up must not leave work
behind that still counts as in flight. Like Go's net/http, it takes a client that closes only its sending side for one
that left: TCP does not tell the two apart.
"""

import errno
import hashlib
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from gevent import get_hub, getcurrent

READ_BYTES = 64 * 1024
_PEEK = socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0)
_LINGER = "hh" if sys.platform == "win32" else "ii"  # struct linger


class ClientGone(ConnectionResetError):
    """There is nobody left to answer. An OSError of this errno is what gunicorn quietly closes a connection for."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the client left")


class Body(NamedTuple):
    """What is kept of a request's body."""

    length: int
    sha256: str


def take_in(environ: dict[str, Any]) -> Body:
    """Read the whole body in pieces, none of which is kept. ClientGone when it ends too early or is broken."""
    announced = int(environ.get("CONTENT_LENGTH") or -1)
    digest, length = hashlib.sha256(), 0
    if announced > 0 or environ.get("HTTP_TRANSFER_ENCODING"):
        try:
            while piece := environ["wsgi.input"].read(READ_BYTES):
                digest.update(piece)
                length += len(piece)
        except OSError:  # gunicorn's errors about chunks are OSErrors too
            raise ClientGone from None
        if length < announced:
            raise ClientGone
    return Body(length, digest.hexdigest())


def _socket(environ: dict[str, Any]) -> socket.socket | None:
    """The connection, under gunicorn and cluster/serving/wsgi.py; None elsewhere."""
    return environ.get("gunicorn.socket")


@contextmanager
def watched(environ: dict[str, Any]) -> Iterator[None]:
    """Raises ClientGone inside the block, wherever it waits, as soon as the client closes the connection.

    Works like gevent.Timeout, with the socket in place of the clock. The body must have been read before. A client that
    sends its next request early (pipelining) is not watched any further: what lies behind those bytes cannot be seen.
    """
    sock = _socket(environ)
    if sock is None:
        yield
        return
    waiting = getcurrent()
    watcher = get_hub().loop.io(sock.fileno(), 1)  # 1: READ

    # Under gevent's socket lies the plain non-blocking one. Windows has no MSG_DONTWAIT: gevent's would wait here, in
    # the loop itself, whenever the event came for nothing.
    peek = getattr(sock, "_sock", sock).recv

    def readable() -> None:
        try:
            gone = not peek(1, _PEEK)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        watcher.stop()
        if gone:
            waiting.throw(ClientGone())

    watcher.start(readable)
    try:
        yield
    finally:
        watcher.stop()
        watcher.close()


def hang_up(environ: dict[str, Any]) -> NoReturn:
    """End the connection without a byte of an answer: reset (RST), not closed in order."""
    sock = _socket(environ)
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
    raise ClientGone
