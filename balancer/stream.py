"""Bytes in and out of a socket without blocking the worker, each wait with a time limit.

Two things make this fast. The socket's own `recv` and `send` are tried first, and only when they would block does the
greenlet wait for its event. And there is one timer for all waits of a worker instead of one each: `Waits` looks ten
times a second for those whose limit has passed, so a wait ends at most two tenths of a second after its limit.
"""

import _socket
import contextlib
import errno
import socket
import struct
import sys
from time import monotonic
from typing import Any, Protocol

from gevent import get_hub, getcurrent

CHUNK = 65536
TICK_S = 0.1
AT_ONCE, REST_S = 50, 0.005  # so many waits end at a tick; the others after a pause in which everybody else goes on
NEWCOMERS = 32  # clients without a request yet: so many are read at a turn of the loop, then it is others' turn
STOOD_STILL_S = 1.0  # a tick so late says that the whole process did not run
_READ, _WRITE = 1, 2
_LINGER = "hh" if sys.platform == "win32" else "ii"  # struct linger
_PEEK = socket.MSG_PEEK | getattr(socket, "MSG_DONTWAIT", 0)


class TimedOut(Exception):
    """A wait took longer than its limit."""


class Interrupted(Exception):
    """Somebody else ended the wait: the worker stops, or the other half of a tunnel is done."""


class PeerReset(Exception):
    """The client on whose behalf we wait has reset its connection."""


class Purpose(Protocol):
    """For whom a wait is done, asked ten times a second, and on a hint, whether it is still worth while."""

    def reason_to_stop(self) -> Exception | None:
        """What to raise in the waiting greenlet; None to wait on."""


class Waits:
    """All streams of a worker, and the one timer that ends their waits. Needs a running gevent hub."""

    def __init__(self) -> None:
        self.now = monotonic()  # as of the last tick; precise enough for a wait's limit, and costs nothing
        self.streams: set[Stream] = set()
        self._loop = get_hub().loop
        self._turn = 0.0
        self._newcomers = 0
        self._timer = self._loop.timer(TICK_S, TICK_S)
        self._timer.start(self._tick)
        self._rest = self._loop.timer(REST_S)

    def close(self) -> None:
        for timer in (self._timer, self._rest):
            timer.stop()
            timer.close()

    def admits_newcomer(self) -> bool:
        """Whether one more newcomer may be read in this turn of the loop; who may not is reported again in the next."""
        now = self._loop.now()  # as of the beginning of this turn
        if now != self._turn:
            self._turn, self._newcomers = now, 0
        self._newcomers += 1
        return self._newcomers <= NEWCOMERS

    def _tick(self) -> None:
        before, self.now = self.now, monotonic()
        late_s = self.now - before - TICK_S
        if late_s > STOOD_STILL_S:  # stopped or suspended: what came meanwhile has not been read yet, so nobody is late
            for stream in self.streams:
                stream.read_until += late_s
                stream.write_until += late_s
        now = self.now - TICK_S  # a wait may have begun that much after the tick it was counted from
        ended = 0
        for stream in list(self.streams):
            if ended >= AT_ONCE:  # thousands of idle or slow clients whose time is up in the same moment
                self._rest.stop()
                self._rest.start(self._tick)
                return
            if stream.reading is not None:
                if stream.read_until <= now:
                    ended += 1
                    stream.reading.throw(TimedOut())
                else:
                    stream.ask_purpose(stream.reading)
            if stream.writing is not None:  # after the above, which may have ended this wait too
                if stream.write_until <= now:
                    stream.writing.throw(TimedOut())
                else:
                    stream.ask_purpose(stream.writing)


class Stream:
    """One connected socket, read by one greenlet and written by one. After `close` it must not be used."""

    __slots__ = (
        "_raw_recv", "_raw_send", "_reader", "_reader_on", "_switch", "_waits", "_writer", "awaits", "newcomer",
        "purpose", "read_until", "reading", "sock", "unasked", "write_until", "writing",
    )  # fmt: skip

    def __init__(self, sock: Any, waits: Waits) -> None:
        raw = getattr(sock, "_sock", sock)  # under gevent's socket lies the plain non-blocking one
        hub = get_hub()
        self.sock = sock
        self._raw_recv = raw.recv
        self._raw_send = raw.send
        self._switch = hub.switch
        self._reader = hub.loop.io(raw.fileno(), _READ)
        self._reader_on = False
        self._writer: Any = None
        self.reading: Any = None  # the greenlet that waits until something can be read
        self.read_until = 0.0
        self.writing: Any = None  # the one that waits until something can be written
        self.write_until = 0.0
        self.unasked = False  # something came while nobody was reading
        self.newcomer = False  # a client that has not yet brought a whole request: thousands of them wait their turn
        self.purpose: Purpose | None = None
        self.awaits: Stream | None = None  # where somebody waits for what this one is to get
        self._waits = waits
        waits.streams.add(self)

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
        try:
            data: bytes = self._raw_recv(CHUNK)
            return data
        except (BlockingIOError, InterruptedError):
            return self.recv(limit_s)

    def wait_readable(self, limit_s: float) -> None:
        self.reading = getcurrent()
        self.read_until = self._waits.now + limit_s
        if not self._reader_on:
            self._watch()
        try:
            self._switch()
        finally:
            self.reading = None

    def is_readable_by(self, until: float) -> bool:
        """Whether something comes before that monotonic time, of which at most a tick is given away."""
        left_s = until - monotonic()
        if left_s <= 0:
            return False
        try:
            self.wait_readable(left_s - TICK_S)
        except TimedOut:
            return False
        return True

    def either(self, other: "Stream", limit_s: float) -> "Stream":
        """Wait until this stream or the other can be read; returns which."""
        self.reading = other.reading = getcurrent()
        self.read_until = other.read_until = self._waits.now + limit_s
        for stream in (self, other):
            if not stream._reader_on:
                stream._watch()
        try:
            ready: Stream = self._switch()
            return ready
        finally:
            self.reading = other.reading = None

    def watch(self) -> None:
        """Note in `unasked` when something comes while nobody reads."""
        if not self._reader_on:
            self._watch()

    def _watch(self) -> None:
        """Have `_can_be_read` called when something can be read.

        This stays on between waits, because switching it costs a system call each time. It is switched off when it
        fires while nobody reads: bytes are waiting then, and it would fire for ever.
        """
        self.unasked = False
        self._reader_on = True
        self._reader.start(self._can_be_read)

    def _can_be_read(self) -> None:
        if self.reading is not None:
            if not self.newcomer or self._waits.admits_newcomer():
                self.reading.switch(self)
        else:
            self.unasked = True
            self._reader_on = False
            self._reader.stop()
            if self.awaits is not None:  # this may be a reset, and then nobody needs what is waited for
                for waiting in (self.awaits.reading, self.awaits.writing):
                    if waiting is not None:
                        self.awaits.ask_purpose(waiting)
                        return

    def ask_purpose(self, waiting: Any) -> None:
        """End the wait of that greenlet if there is a reason to."""
        if self.purpose is not None and (reason := self.purpose.reason_to_stop()) is not None:
            waiting.throw(reason)

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

    def send_until_heard(self, data: memoryview, limit_s: float) -> int:
        """`send`, but only until the other side says something; returns how much was sent."""
        sent = 0
        while sent < len(data):
            try:
                sent += self._raw_send(data[sent:])
            except BlockingIOError:
                if self.readable():
                    break
                self.watch()
                self.reading, self.read_until = getcurrent(), self._waits.now + limit_s
                try:
                    self.wait_writable(limit_s)
                finally:
                    self.reading = None
        return sent

    def wait_writable(self, limit_s: float) -> None:
        if self._writer is None:
            self._writer = get_hub().loop.io(self.sock.fileno(), _WRITE)
        self.writing = greenlet = getcurrent()
        self.write_until = self._waits.now + limit_s
        self._writer.start(greenlet.switch)
        try:
            self._switch()
        finally:
            self.writing = None
            self._writer.stop()

    def readable(self) -> bool:
        """Whether something has come that nobody has read: bytes, an end or a reset."""
        return self._peek() is not None

    def has_ended(self) -> bool:
        """Whether the next thing to be read is the end or a reset."""
        coming = self._peek()
        return coming == b"" or isinstance(coming, OSError)

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
        """End the wait of whoever reads from this stream, if somebody does."""
        if self.reading is not None:
            get_hub().loop.run_callback(self._interrupt)

    def _interrupt(self) -> None:
        if self.reading is not None:
            self.reading.throw(Interrupted())

    def end_sending(self) -> None:
        """Half-close: the other side reads the end, we may still read."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset_on_close(self) -> None:
        """From now on closing breaks the connection off (RST) instead of ending it."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))

    def close(self) -> None:
        """Free the socket and its events. Safe to call twice."""
        if self.sock is None:
            return
        self._waits.streams.discard(self)
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        self.sock.close()
        self.sock = None
