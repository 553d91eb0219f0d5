"""Bytes in and out of a socket without blocking the worker, each wait with a time limit.

Two things make this fast. The socket's own `recv` and `send` are tried first, and only when they would block does the
greenlet wait for its event. And there is one timer for all waits of a worker instead of one each: `Waits` looks ten
times a second for those whose limit has passed, so limits are kept to a tenth of a second.
"""

import _socket
import contextlib
import errno
import socket
import struct
from time import monotonic
from typing import Any, Protocol

from gevent import get_hub, getcurrent

CHUNK = 65536
TICK_S = 0.1
_READ, _WRITE = 1, 2
_PEEK = socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0)


class TimedOut(Exception):
    """A wait took longer than its limit."""


class Interrupted(Exception):
    """Somebody else ended the wait: the worker stops, or the other half of a tunnel is done."""


class PeerReset(Exception):
    """The client on whose behalf we wait has reset its connection."""


class Purpose(Protocol):
    """For whom a wait is done, asked ten times a second whether it is still worth while."""

    def reason_to_stop(self) -> Exception | None:
        """What to raise in the waiting greenlet; None to wait on."""


class Waits:
    """All waits of a worker, and the one timer that ends them. Needs a running gevent hub."""

    def __init__(self) -> None:
        self._hub = get_hub()
        self._waiting: set[Stream] = set()
        self._timer = self._hub.loop.timer(TICK_S, TICK_S)
        self._timer.start(self._tick)

    def close(self) -> None:
        self._timer.stop()
        self._timer.close()

    def begin(self, stream: "Stream", limit_s: float) -> None:
        """The calling greenlet waits for this stream from now on."""
        stream.greenlet = getcurrent()
        stream.expires = monotonic() + limit_s
        self._waiting.add(stream)

    def end(self, stream: "Stream") -> None:
        """It does not any more."""
        self._waiting.discard(stream)
        stream.greenlet = None

    def _tick(self) -> None:
        now = monotonic()
        for stream in [s for s in self._waiting if s.expires <= now or s.purpose is not None]:
            if stream.greenlet is None:
                continue  # it went on while we served the others
            reason = TimedOut() if stream.expires <= now else stream.purpose and stream.purpose.reason_to_stop()
            if reason is not None:
                stream.greenlet.throw(reason)


class Stream:
    """One connected socket. After `close` it must not be used."""

    __slots__ = (
        "_hub", "_raw_recv", "_raw_send", "_reader", "_reader_on", "_reading", "_waits", "_writer", "expires",
        "greenlet", "purpose", "sock",
    )  # fmt: skip

    def __init__(self, sock: Any, waits: Waits) -> None:
        raw = getattr(sock, "_sock", sock)  # under gevent's socket lies the plain non-blocking one
        self.sock = sock
        self._raw_recv = raw.recv
        self._raw_send = raw.send
        self._waits = waits
        self._hub = get_hub()
        self._reader = self._hub.loop.io(raw.fileno(), _READ)
        self._reader_on = False
        self._reading: Any = None  # the greenlet to go on with when something can be read
        self._writer: Any = None
        self.greenlet: Any = None
        self.expires = 0.0
        self.purpose: Purpose | None = None

    @classmethod
    def connect(cls, address: tuple[Any, ...], family: int, waits: Waits, limit_s: float) -> "Stream":
        """Open a connection. OSError or TimedOut when it does not come about."""
        sock = _socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = cls(sock, waits)
        except BaseException:
            sock.close()
            raise
        try:
            code = sock.connect_ex(address)
            if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
                stream.wait_writable(limit_s)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, errno.errorcode.get(code, str(code)))
        except BaseException:
            stream.close()
            raise
        return stream

    def recv(self, limit_s: float) -> bytes:
        """What has come, at most 64 KiB; b"" at the end. OSError, or what ends a wait."""
        while True:
            try:
                data: bytes = self._raw_recv(CHUNK)
                return data
            except BlockingIOError:
                self.wait_readable(limit_s)
            except InterruptedError:
                continue

    def recv_next(self, limit_s: float) -> bytes:
        """`recv` for when nothing can have come yet: waits first, which saves the attempt that must fail."""
        self.wait_readable(limit_s)
        return self.recv(limit_s)

    def wait_readable(self, limit_s: float) -> None:
        self._arm(getcurrent())
        self._waits.begin(self, limit_s)
        try:
            self._hub.switch()
        finally:
            self._waits.end(self)
            self._reading = None

    def either(self, other: "Stream", limit_s: float) -> "Stream":
        """Wait until this stream or the other can be read; returns which."""
        greenlet = getcurrent()
        self._arm(greenlet)
        other._arm(greenlet)
        self._waits.begin(self, limit_s)
        try:
            ready: Stream = self._hub.switch()
            return ready
        finally:
            self._waits.end(self)
            self._reading = other._reading = None

    def _arm(self, greenlet: Any) -> None:
        """Let the greenlet go on when something can be read.

        The event stays on between waits, because switching it costs a system call each time. It is switched off when
        it fires while nobody reads: bytes are waiting then, and it would fire for ever.
        """
        self._reading = greenlet
        if not self._reader_on:
            self._reader_on = True
            self._reader.start(self._can_be_read)

    def _can_be_read(self) -> None:
        if self._reading is not None:
            self._reading.switch(self)
        else:
            self._reader_on = False
            self._reader.stop()

    def send(self, data: bytes, limit_s: float) -> None:
        """Send all of it; `limit_s` bounds each time that nothing moves. OSError, TimedOut, Interrupted."""
        try:
            sent = self._raw_send(data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return
        view = memoryview(data)
        while sent < len(data):
            self.wait_writable(limit_s)
            try:
                sent += self._raw_send(view[sent:])
            except BlockingIOError:
                continue

    def wait_writable(self, limit_s: float) -> None:
        if self._writer is None:
            self._writer = self._hub.loop.io(self.sock.fileno(), _WRITE)
        self._writer.start(getcurrent().switch)
        self._waits.begin(self, limit_s)
        try:
            self._hub.switch()
        finally:
            self._waits.end(self)
            self._writer.stop()

    def readable(self) -> bool:
        """Whether something has come that nobody has read: bytes, an end or a reset."""
        return self._peek() is not None

    def was_reset(self) -> bool:
        """Whether the other side has reset the connection; an orderly end (half-close) is not a reset."""
        return isinstance(self._peek(), OSError)

    def _peek(self) -> bytes | OSError | None:
        """What the next `recv` would bring; None: nothing yet."""
        try:
            data: bytes = self._raw_recv(1, _PEEK)
            return data
        except BlockingIOError:
            return None
        except OSError as error:
            return error

    def interrupt(self) -> None:
        """End the wait of whoever uses this stream, if there is one."""
        if self.greenlet is not None:
            self._hub.loop.run_callback(self._throw)

    def _throw(self) -> None:
        if self.greenlet is not None:
            self.greenlet.throw(Interrupted())

    def end_sending(self) -> None:
        """Half-close: the other side reads the end, we may still read."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset_on_close(self) -> None:
        """From now on closing breaks the connection off (RST) instead of ending it."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Free the socket and its events. Safe to call twice."""
        if self.sock is None:
            return
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        self.sock.close()
        self.sock = None
