"""TLS towards clients: the same stream, with an SSL object between the bytes and the socket.

gunicorn's settings (certfile, keyfile, ciphers ...) say how; here is only how to wait for it without blocking.
"""

import contextlib
import ssl
from typing import Any

from balancer.stream import CHUNK, Stream, Waits


class TlsStream(Stream):
    """A stream whose `recv` and `send` carry what is inside TLS. `handshake` comes first."""

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, sock: Any, waits: Waits, context: ssl.SSLContext) -> None:
        super().__init__(sock, waits)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def handshake(self, limit_s: float) -> None:
        """OSError (ssl.SSLError among them) when it fails, TimedOut when the client is too slow."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush(limit_s)
                self._fill(limit_s)
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush(limit_s)  # the alert that says why
                raise
            else:
                self._flush(limit_s)
                return

    def recv(self, limit_s: float) -> bytes:
        while True:
            try:
                return self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                self._flush(limit_s)
                if not self._fill(limit_s):
                    return b""
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    recv_next = recv  # what is waited for may lie decrypted here already

    def send(self, data: bytes, limit_s: float) -> None:
        view = memoryview(data)
        while view:
            sent = self._tls.write(view[:CHUNK])
            view = view[sent:]
            self._flush(limit_s)

    def readable(self) -> bool:
        return bool(self._tls.pending()) or bool(self._incoming.pending) or super().readable()

    def end_sending(self) -> None:
        """Close notify, then the half-close (RFC 8446 section 6.1)."""
        with contextlib.suppress(OSError, ssl.SSLError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            if out := self._outgoing.read():
                self._raw_send(out)
        super().end_sending()

    def _fill(self, limit_s: float) -> bool:
        """Take in more ciphertext; False at the end."""
        data = super().recv(limit_s)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return bool(data)

    def _flush(self, limit_s: float) -> None:
        if self._outgoing.pending:
            super().send(self._outgoing.read(), limit_s)
