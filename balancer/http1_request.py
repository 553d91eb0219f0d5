"""A client's request: its bytes in, a head that is safe to forward and a body out.

httptools (llhttp, strict) splits the bytes; the rules that it leaves to its caller are here, in http1_fields.py and in
http1_target.py. RFC 9110 section 7.6 and
RFC 9112 are the law; where they allow a choice between lenient and strict, we are strict: what two parsers could read
differently never reaches a node.
"""

import re
from collections import deque
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from balancer.http1_fields import Fields, SortedFields, sort_fields
from balancer.http1_target import target_and_host
from cluster.config import Kind, Limits
from cluster.errors import BadRequest, NotImplementedHere, TooLarge

_EMPTY_LINES = re.compile(rb"(?:\r\n)*")

_KINDS = {b"api": Kind.API.value, b"image": Kind.IMAGE.value, b"video": Kind.VIDEO.value}


class Request:
    """A request whose head is read, valid, and safe to forward; its body arrives in `chunks`."""

    __slots__ = (
        "body_bytes", "chunked", "chunks", "client_key", "complete", "expects_continue", "fields", "has_body", "host",
        "id", "idempotent", "keep_alive", "kind", "last_hop", "length", "method", "sequence", "sorted", "target",
        "trace", "upgrade", "version_1_1",
    )  # fmt: skip

    def __init__(self, fields: SortedFields, target: bytes, host: bytes) -> None:
        self.sorted = fields
        self.method = fields.method
        self.target = target
        self.host = host
        self.version_1_1 = fields.version_1_1
        self.fields = fields.kept
        self.id = fields.id
        self.trace = b""
        self.length = fields.length
        self.chunked = fields.chunked
        self.has_body = fields.has_body
        self.expects_continue = fields.expects_continue
        self.last_hop = fields.last_hop
        self.upgrade = fields.upgrade
        self.idempotent = fields.idempotent  # may be sent again (RFC 9110 section 9.2.2)
        self.kind = "general"
        self.client_key = ""
        self.sequence = 0
        self.keep_alive = True
        self.chunks: deque[bytes] = deque()
        self.body_bytes = 0
        self.complete = False


class RequestParser:
    """Bytes of a client connection in, `Request`s out, in order; several when they are pipelined.

    `trusting`: what the client claims in X-Forwarded-Port and the like is passed on.
    """

    def __init__(self, limits: Limits, trusting: bool = False) -> None:
        self.requests: deque[Request] = deque()  # heads complete, not yet served
        self.error: BadRequest | None = None  # raised after the requests before it are served
        self.tunnel = b""  # bytes after an upgrade request
        self.in_head = False  # a head has begun and is not complete
        self._limits = limits
        self._trusting = trusting
        self._parser: Any = HttpRequestParser(self)
        self._tunnelling = False
        self._data = b""  # the piece that is parsed now
        self._held = b""  # the beginning of a head that did not come whole
        self._tail = b""  # the last bytes before this piece, when CRLF CRLF may begin there
        self._head_bytes = 0  # bytes of a head before this piece
        self._body_fed = 0  # bytes of a chunked body with its framing
        self._begun = False  # a request's first letter came, its head is not complete
        self._ended = False  # a request ended in this piece
        self._resuming = False
        self._trailers = 0
        self._url = b""
        self._fields: Fields = []
        self._sorted: SortedFields | None = None  # of the last head
        self._current: Request | None = None  # its head has come, its body not yet
        self._request: Request | None = None  # the last whose head came
        self._again = b""  # the bytes of the last request, when they can be known again

    def release(self) -> None:
        """Let go of httptools' parser, which holds on to this one: two that hold each other live until a collection."""
        self._parser = None

    def feed(self, data: bytes) -> None:
        """Take what was received. What is wrong with it lies in `error` afterwards, nothing is raised."""
        if self.error is not None:
            return
        if self._tunnelling:
            self.tunnel += data
            return
        if data == self._again:
            self._repeat()
            return
        between = self._current is None and not self.in_head
        at = 0
        while at < len(data) and self.error is None:
            end = self._end_of_piece(data, at)
            self._data = data[at:end] if at or end < len(data) else data
            at = end
            self._ended = False
            try:
                self._parser.feed_data(self._data)
            except HttpParserUpgrade:  # the head's end, and so the piece's
                if self._last_is_tunnel():
                    self._tunnelling, self.tunnel = True, data[at:]
                    return
                if self._current is not None:
                    self._resume_body(self._current)
            except HttpParserError as error:
                cause = error.__context__
                bad = cause if isinstance(cause, BadRequest) else BadRequest("malformed", f"not HTTP/1.1: {error}")
                self.error = bad
                return
            self._measure()
        self._data = b""
        self._again = data if between and self._ended and self._is_one_head(data) else b""

    def _is_one_head(self, data: bytes) -> bool:
        """Whether these bytes were the last request, all of it and nothing else, and may come again."""
        request = self._request
        if request is None or not request.keep_alive:
            return False
        return data.find(b"\r\n\r\n") == len(data) - 4

    def _repeat(self) -> None:
        """The last request once more, byte for byte: what it says and that it may pass is known."""
        last = self._request
        assert last is not None
        request = Request(last.sorted, last.target, last.host)
        request.kind, request.keep_alive, request.complete = last.kind, last.keep_alive, True
        self.requests.append(request)

    def _end_of_piece(self, data: bytes, at: int) -> int:
        """Where to cut, so that each message begins with a piece: where a body ends, or may end, and behind a head."""
        current = self._current
        if current is not None and not current.chunked:
            return min(len(data), at + (current.length or 0) - current.body_bytes)
        tail, self._tail = self._tail, b""
        if tail:
            straddling = (tail + data[at : at + 3]).find(b"\r\n\r\n")
            if straddling >= 0:
                return at + straddling + 4 - len(tail)
        end = data.find(b"\r\n\r\n", at)
        return len(data) if end < 0 else end + 4

    def _measure(self) -> None:
        """Whether a head has begun, and how much of it has come."""
        data, current = self._data, self._current
        if current is None and not self._ended:
            self.in_head = self._begun
            self._head_bytes += len(data)
            self._tail = data[-3:]
            if self._head_bytes > self._limits.head_bytes:
                self.error = self._head_too_large()
            elif len(self._held) < self._limits.line_bytes + 64:
                raw = self._held + data
                self._held = raw[_EMPTY_LINES.match(raw).end() :]  # type: ignore[union-attr]  # always matches
            return
        self.in_head, self._head_bytes, self._held = False, 0, b""
        if current is not None and current.chunked:
            self._tail = data[-3:]
            self._body_fed += len(data)
            if self._body_fed > 17 * current.body_bytes + 2 * self._limits.head_bytes:
                text = "the chunks' sizes and extensions are far longer than what is in them"
                self.error = TooLarge("chunk_framing_too_large", text, 413)

    def _head_too_large(self) -> TooLarge:
        return TooLarge("head_too_large", f"the head is over {self._limits.head_bytes} bytes", 431)

    def _resume_body(self, request: Request) -> None:
        """An upgrade that we do not do came with a body, which httptools would take for the next request.

        So a fresh parser is told the framing, and goes on where the other one stopped.
        """
        framing = b"Transfer-Encoding: chunked" if request.chunked else b"Content-Length: %d" % (request.length or 0)
        self._parser = HttpRequestParser(self)
        self._resuming = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
        self._resuming = False
        self._trailers = 0

    def _last_is_tunnel(self) -> bool:
        return bool(self.requests) and bool(self.requests[-1].upgrade)

    # -- httptools' callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begun = True
        self._url = b""
        self._fields = []
        self._trailers = 0

    def on_url(self, url: bytes) -> None:
        if self._resuming:
            return
        self._url += url
        if len(self._url) > self._limits.line_bytes:
            raise TooLarge("target_too_long", f"the request target is over {self._limits.line_bytes} bytes", 414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._current is None:
            self._fields.append((name, value))
            if len(self._fields) > self._limits.fields:
                raise TooLarge("too_many_fields", f"more than {self._limits.fields} header fields", 431)
        else:  # llhttp gives trailers the same way; they are bounded and dropped (RFC 9110 section 6.5.1)
            self._trailers += len(name) + len(value) + 4
            if self._trailers > self._limits.head_bytes:
                raise TooLarge("trailers_too_large", f"trailers over {self._limits.head_bytes} bytes", 431)

    def on_headers_complete(self) -> None:
        self._begun = False
        if self._resuming:
            return
        if self._head_bytes + len(self._data) > self._limits.head_bytes:
            raise self._head_too_large()
        parser = self._parser
        method, version = parser.get_method(), parser.get_http_version()
        if version != "1.1" and version != "1.0":
            if version == "0.9":  # or none at all
                raise BadRequest("request_line", "the request line does not end with HTTP/1.1")
            raise NotImplementedHere("version", f"HTTP/{version} is not spoken here; use HTTP/1.1", 505)
        if self._held or not self._data.startswith(self._url + b" HTTP/1.", len(method) + 1):
            self._check_line(method)
        self._body_fed = 0
        fields = self._sorted
        if fields is None or not fields.same(method, self._fields, version == "1.1"):
            fields = self._sorted = sort_fields(method, self._fields, version == "1.1", self._limits, self._trusting)
        request = Request(fields, *target_and_host(method, self._url, fields.hosts, fields.version_1_1))
        request.kind = _KINDS.get(request.target[1:].partition(b"?")[0].partition(b"/")[0], "general")
        request.keep_alive = bool(request.upgrade) or (not fields.closes and parser.should_keep_alive())
        self._current = self._request = request
        self.requests.append(request)

    def on_body(self, data: bytes) -> None:
        request = self._current
        assert request is not None
        request.body_bytes += len(data)
        limit = self._limits.body_bytes
        if limit and request.body_bytes > limit:
            raise TooLarge("body_too_large", f"the body is over {limit} bytes", 413)
        request.chunks.append(data)

    def on_message_complete(self) -> None:
        if self._current is not None:
            if self._current.has_body and self._parser.should_upgrade():
                return  # httptools says so at the end of such a head; the body is still to come, see _resume_body
            self._current.complete = True
            self._current = None
        self._ended = True
        self._url = b""
        self._fields = []

    def _check_line(self, method: bytes) -> None:
        """RFC 9112 section 3: single blanks. llhttp forgives more of them, and bare CR or LF before; it knows RTSP."""
        line = method + b" " + self._url + b" HTTP/1."
        raw = self._held + self._data
        if not raw.startswith(line, _EMPTY_LINES.match(raw).end()):  # type: ignore[union-attr]  # always matches
            raise BadRequest("request_line", "the request line is not METHOD target HTTP/1.1 with one blank between")
