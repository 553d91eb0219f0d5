"""A node's answer: its bytes in, status, fields and body out; what must not reach a client is dropped or refused.

The counterpart of http1_request.py. RFC 9110 section 7.6, RFC 9112 section 6.
"""

import http
import re
from email.utils import formatdate
from typing import Any, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from balancer.http1_fields import NEVER_NAMED
from cluster.config import Limits
from cluster.errors import NodeFailed
from cluster.wire import NODE_HEADER, ORCA_HEADER, REQUEST_ID_HEADER

_DROPPED_FROM_ANSWER = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"te", b"trailer", b"upgrade",
     b"content-length", ORCA_HEADER.encode(), NODE_HEADER.lower().encode(), REQUEST_ID_HEADER.lower().encode()}
)  # fmt: skip
_WITHOUT_BODY = frozenset({http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED})
_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class _LineBegins(dict[bytes, bytes | None]):
    """Field name as sent -> how its line to the client begins, learned as names come by; None: looked at first."""

    def __missing__(self, name: bytes) -> bytes | None:
        lower = name.lower()
        begin = None if lower in _DROPPED_FROM_ANSWER or lower == b"date" else name + b": "
        if len(self) < 2000:
            self[name] = begin
        return begin


_line_begins = _LineBegins()


class _Head(NamedTuple):
    """The head of an answer of known length, and what was learned from it."""

    raw: bytes
    status: int
    lines: list[bytes]
    length: int
    for_client: bytes


class ResponseParser:
    """Bytes of a node's connection in; one answer at a time out. Kept with the connection."""

    __slots__ = (
        "_again", "_fed", "_fields", "_for_client", "_held", "_hints", "_limits", "_parser", "body", "chunked",
        "complete", "continued", "dated", "head_bytes", "head_complete", "informational", "keep_alive", "length",
        "lines", "named", "orca", "reason", "status", "upgrade",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser: Any = HttpResponseParser(self)
        self._again: _Head | None = None  # of the last answer, when it can be known again
        self.begin()

    def begin(self) -> None:
        """Forget the last answer."""
        self.status = 0
        self.reason = b""
        self.lines: list[bytes] = []
        self.length: int | None = None
        self.chunked = False
        self.keep_alive = False
        self.dated = False  # a Date field is among the lines
        self.upgrade = b""
        self.orca: bytes | None = None
        self.named: set[bytes] | None = None
        self.head_complete = False
        self.complete = False
        self.continued = False  # 100 Continue came
        self.informational: list[bytes] = []  # heads of 1xx answers that came before the final one
        self.body: list[bytes] = []
        self._fields = 0
        self._hints = 0  # informational answers, 100 among them
        self._held = b""  # an informational head as far as it came
        self._for_client = b""
        self._fed = 0  # bytes that came last
        self.head_bytes = 0  # bytes before those, while the head is not complete

    def release(self) -> None:
        """Let go of httptools' parser, which holds on to this one: two that hold each other live until a collection."""
        self._parser = None

    def count_body(self, keep_alive: bool) -> None:
        """The rest of the body was not fed but counted by the caller, and is whole now."""
        self.forget_body()
        self.complete, self.keep_alive = True, keep_alive

    def forget_body(self) -> None:
        """The body will not be fed: the next answer begins with the next byte."""
        self._parser = HttpResponseParser(self)

    def head_for_client(self, now: float) -> bytes:
        """Status line and fields without those between neighbours, CRLF between them. `now`: time.time()."""
        if self._for_client:
            return self._for_client
        reason = self.reason or _REASONS.get(self.status, b"")
        lines = [b"HTTP/1.1 %d %s" % (self.status, reason), *self.lines]
        if not self.dated:
            lines.append(date_line(now))
        if self.length is not None and self.status != http.HTTPStatus.NO_CONTENT:
            lines.append(b"Content-Length: %d" % self.length)
        return b"\r\n".join(lines)

    def feed(self, data: bytes) -> bytes:
        """Take what was received; returns what follows an upgrade (101). NodeFailed when it is not HTTP."""
        begins, again = not (self._fed or self._held), self._again
        if begins and again is not None and data.startswith(again.raw):
            self._repeat(again, data)
            return b""
        rest = self._parse(data)
        if begins:
            self._again = self._learn(data)
        return rest

    def _repeat(self, head: _Head, data: bytes) -> None:
        """The last head once more, byte for byte: what it says and that it may pass is known."""
        _, self.status, self.lines, self.length, self._for_client = head
        self._fed = len(data)
        self.dated = self.keep_alive = self.head_complete = True
        body = data[len(head.raw) :]
        if len(body) >= head.length:
            self.complete = True
            self.keep_alive = not body[head.length :].strip(b"\r\n")  # empty lines are forgiven, as llhttp does
            body = body[: head.length]
        if body:
            self.body.append(body)

    def _learn(self, data: bytes) -> _Head | None:
        """What is to be known of this head when it comes again; None when it must be read again.

        llhttp, being strict, ends a head at an empty line with CRLF and nowhere else.
        """
        if not (self.head_complete and self.keep_alive and self.dated) or self.orca is not None:
            return None
        if self.length is None or self.status in _WITHOUT_BODY or self._hints:  # the bytes begin with another head
            return None
        end = data.find(b"\r\n\r\n") + 4
        self._for_client = self.head_for_client(0)  # with a date of its own; wanted for this answer, too
        return _Head(data[:end], self.status, self.lines, self.length, self._for_client)

    def _parse(self, data: bytes) -> bytes:
        if self._held:
            data, self._held = self._held + data, b""
        if not self.head_complete and not self.head_bytes and not data.startswith(b"HTTP/1.1 2"):
            if data[:1] != b"H":  # llhttp would take RTSP and empty lines, too
                text = "the node's answer is not HTTP/1.1: it does not begin with HTTP"
                raise NodeFailed("not_http", text, sent=True)
            if (data[8:10] == b" 1" or len(data) < 12) and data[8:12] != b" 101":
                end = data.find(b"\r\n\r\n") + 4
                if end < 4:  # an informational head, which is parsed when it is whole
                    if len(data) > self._limits.head_bytes:
                        raise self._head_too_large()
                    self._held = data
                    return b""
                if end < len(data):  # what follows it begins anew
                    self._parse(data[:end])
                    return self._parse(data[end:])
        self._fed = len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except HttpParserError as error:
            if self.complete:  # the answer is whole; what came after it was not asked for
                self.keep_alive = False
                return b""
            cause = error.__context__
            if isinstance(cause, NodeFailed):
                raise cause from None
            raise NodeFailed("not_http", f"the node's answer is not HTTP/1.1: {error}", sent=True) from None
        if not self.head_complete:
            self.head_bytes += len(data)
            if self.head_bytes > self._limits.head_bytes:
                raise self._head_too_large()
        return b""

    def _head_too_large(self) -> NodeFailed:
        return NodeFailed("head_too_large", f"the node's head is over {self._limits.head_bytes} bytes", sent=True)

    @property
    def until_close(self) -> bool:
        """Neither length nor chunks: the body ends when the node closes (RFC 9112 section 6.3, case 8)."""
        return not self.chunked and self.length is None

    # -- httptools' callbacks ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.head_complete:
            raise NodeFailed("second_answer", "the node sent an answer that nobody asked for", sent=True)

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:
            return  # trailers are dropped
        self._fields += 1
        begin = _line_begins[name]
        if begin is not None:
            self.lines.append(begin + value)
            return
        lower = name.lower()
        if lower == b"date":
            self.dated = True
            self.lines.append(name + b": " + value)
        elif lower == b"content-length":
            value = value.strip(b" \t")
            if self.length is not None or not value.isdigit():
                raise NodeFailed("length", "the node's Content-Length is not one number", sent=True)
            self.length = int(value)
        elif lower == b"transfer-encoding":
            if self.chunked or value.rstrip(b" ").lower() != b"chunked":  # with a tab llhttp reads until the close
                raise NodeFailed("coding", "the node's Transfer-Encoding is not exactly chunked", sent=True)
            self.chunked = True
        elif lower == b"connection":
            if value == b"keep-alive":  # llhttp knows what that means
                return
            named = {token.strip().lower() for token in value.split(b",")}
            self.named = named if self.named is None else self.named | named
        elif lower == b"upgrade":
            self.upgrade = value
        elif lower == ORCA_HEADER.encode():
            self.orca = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not 100 <= status <= 599:
            raise NodeFailed("status", f"the node's status {status} is not one (RFC 9110 section 15)", sent=True)
        if self._fields > self._limits.fields:
            raise NodeFailed("too_many_fields", f"the node sent over {self._limits.fields} header fields", sent=True)
        if self.reason != b"OK" and _CONTROL.search(self.reason):
            raise NodeFailed("reason", "the node's reason phrase holds control characters", sent=True)
        version = self._parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise NodeFailed("version", "the node does not speak HTTP/1.1", sent=True)
            if self.chunked:
                raise NodeFailed("coding_in_1_0", "the node sent Transfer-Encoding in HTTP/1.0", sent=True)
        if self.head_bytes + self._fed > self._limits.head_bytes < self._exact_head_bytes():
            raise self._head_too_large()
        if self.chunked and self.length is not None:
            raise NodeFailed("length_and_coding", "the node sent both Content-Length and Transfer-Encoding", sent=True)
        if self.named:
            drop = self.named - {b"close", b"keep-alive", b"upgrade"} - NEVER_NAMED
            if drop:
                self.lines = [line for line in self.lines if line.partition(b":")[0].lower() not in drop]
        if 100 <= status < 200 and status != 101:
            if self.length or self.chunked:
                text = "the node's informational answer has a length or a coding (RFC 9110 section 8.6)"
                raise NodeFailed("informational_with_content", text, sent=True)
            self.continued = self.continued or status == 100
            if status != 100:  # 100 is between neighbours; 103 and the like are the client's
                self.informational.append(b"HTTP/1.1 %d %s\r\n" % (status, self.reason) + _block(self.lines))
            self._forget_informational()
            return
        self.status = status
        self.keep_alive = self._parser.should_keep_alive() and not (self.named and b"close" in self.named)
        self.head_complete = True

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.complete = self.head_complete

    def _forget_informational(self) -> None:
        self._hints += 1
        if self._hints > 16:
            raise NodeFailed("too_many_1xx", "the node sent more than 16 informational answers", sent=True)
        self.reason, self.lines, self.length, self.chunked, self.named = b"", [], None, False, None
        self.upgrade, self.dated = b"", False
        self.head_bytes = -self._fed  # the next head begins behind what is parsed now

    def _exact_head_bytes(self) -> int:
        return len(self.reason) + sum(len(line) + 2 for line in self.lines)


def _block(lines: list[bytes]) -> bytes:
    return b"\r\n".join([*lines, b"", b""]) if lines else b"\r\n"


_date = (0, b"")


def date_line(now: float) -> bytes:
    """The Date line for an answer without one, made once a second (RFC 9110 section 6.6.1). `now`: time.time()."""
    global _date
    if _date[0] != int(now):
        _date = int(now), b"Date: " + formatdate(int(now), usegmt=True).encode()
    return _date[1]
