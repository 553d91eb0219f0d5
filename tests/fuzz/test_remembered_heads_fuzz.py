"""What a parser says of a head that it remembers is what one without memory says (docs/decisions/0011).

Streams of messages on one connection, in which heads come again: byte for byte, with a byte changed, cut and joined in
all places. One parser remembers, as in service; the other one has never seen anything.
"""

import os
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balancer.http1_request import Request, RequestParser
from balancer.http1_response import ResponseParser
from balancer.node_head import Origin, request_head
from cluster.config import Limits
from cluster.errors import NodeFailed
from tests.fuzz.grammar import answer, mutated, request

LIMITS = Limits(body_bytes=100_000)
ORIGIN = Origin(b"192.0.2.1", b"192.0.2.1", b"http", False)
EXAMPLES = int(os.environ.get("FAIRLEAD_FUZZ_EXAMPLES", "0"))
within = settings(
    max_examples=EXAMPLES or 500, derandomize=not EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)
DATE = b"Date: Sun, 29 Nov 2026 08:00:00 GMT\r\n"
KNOWN_REQUESTS = [
    method + b" " + target + b" HTTP/1.1\r\nHost: a.example\r\n" + field + b"\r\n"
    for method in (b"GET", b"HEAD", b"OPTIONS")
    for target in (b"/a", b"/b")
    for field in (b"", b"Cookie: a=b\r\n", b"Content-Length: 0\r\n", b"Connection: close\r\n", b"X-Request-Id: i\r\n")
]
KNOWN_ANSWERS = [
    b"HTTP/1.1 " + status + b"\r\n" + DATE + field + b"Content-Length: 5\r\n\r\nhello"
    for status in (b"200 OK", b"404 Not Found", b"201 ")
    for field in (b"", b"Set-Cookie: a=b\r\n", b"Connection: close\r\n", b"Connection: keep-alive, X\r\nX: y\r\n")
]
HINTS = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]


@st.composite
def again(draw: st.DrawFn, fresh: st.SearchStrategy[bytes], odd: st.SearchStrategy[bytes]) -> list[bytes]:
    """Messages of which many are one that came before, or one that came before with something changed."""
    told = [draw(fresh)]
    for _ in range(draw(st.integers(1, 6))):
        before = draw(st.sampled_from(told))
        other = draw(st.sampled_from(["same", "same", "same", "byte", "mutated", "fresh", "odd"]))
        if other == "byte":
            at = draw(st.integers(0, len(before) - 1))
            before = before[:at] + bytes([draw(st.integers(0, 255))]) + before[at + 1 :]
        elif other == "mutated":
            before = draw(mutated(st.just(before))) or b"\r\n"
        elif other != "same":
            before = draw(fresh if other == "fresh" else odd) or b"\r\n"
        told.append(before)
    return told


def in_pieces(draw: st.DrawFn, messages: list[bytes], joins: bool) -> list[bytes]:
    """Mostly one message at a time, as clients that wait for answers send them; now and then cut or joined."""
    pieces: list[bytes] = []
    for message in messages:
        how = draw(st.sampled_from(["whole"] * 4 + ["cut", "joined"]))
        places = [0, len(message)]
        if how == "cut":
            places[1:1] = sorted(draw(st.lists(st.integers(1, max(1, len(message) - 1)), max_size=3)))
        parts = [message[begin:end] for begin, end in pairwise(places) if begin < end]
        if how == "joined" and joins and pieces:
            pieces[-1] += parts.pop(0)
        pieces += parts
    return pieces


# -- requests ------------------------------------------------------------------------------------------------------


class Forgetful(RequestParser):
    """Each head is the first."""

    def feed(self, data: bytes) -> None:
        self._again = b""
        super().feed(data)

    def on_headers_complete(self) -> None:
        self._sorted = None
        super().on_headers_complete()


def as_seen(request: Request) -> dict[str, Any]:
    said = {name: getattr(request, name) for name in Request.__slots__ if name not in ("chunks", "sorted", "trace")}
    request.trace = b"t"
    return said | {"body": b"".join(request.chunks), "head": request_head(request, ORIGIN, b"node:1")}


@st.composite
def request_streams(draw: st.DrawFn) -> list[bytes]:
    known = st.sampled_from(KNOWN_REQUESTS)
    legal = st.one_of(known, known, request())
    return in_pieces(draw, draw(again(legal, mutated(st.one_of(legal, request(6))))), joins=True)


@within
@given(pieces=request_streams())
def test_requests(pieces: list[bytes]) -> None:
    remembers, forgets = RequestParser(LIMITS), Forgetful(LIMITS)
    for piece in pieces:
        said = []
        for parser in (remembers, forgets):
            parser.feed(piece)
            error = parser.error and (parser.error.reason, parser.error.status, parser.error.text)
            said.append((list(map(as_seen, parser.requests)), parser.in_head, error, parser.tunnel))
        assert said[0] == said[1]
        for parser in (remembers, forgets):  # as connection.py does: those whose body is still to come are kept
            while parser.requests and parser.requests[0].complete:
                parser.requests.popleft()


# -- answers -------------------------------------------------------------------------------------------------------


def read(parser: ResponseParser, pieces: list[bytes], method: bytes) -> tuple[object, ...]:
    """One answer, as attempt.py reads it. What was said; the last is whether the connection is kept."""
    parser.begin()
    told: list[object] = []
    pieces = list(pieces)
    try:
        while pieces and not parser.head_complete:
            told.append(parser.feed(pieces.pop(0)))
    except NodeFailed as failure:
        return (failure.reason, False)
    told += [parser.head_complete, parser.continued, list(parser.informational), parser.status, parser.length]
    if not parser.head_complete:
        return (*told, False)
    told += [parser.head_for_client(0), parser.orca, parser.chunked, parser.status == 101 and parser.upgrade]
    if method == b"HEAD":
        keep = not parser.body and parser.keep_alive
        parser.forget_body()
        return (*told, keep and not pieces)
    if parser.length is not None and parser.status not in (204, 304):
        body = b"".join(parser.body)
        left, keep = parser.length - len(body), parser.keep_alive
        if left:
            rest = b"".join(pieces)
            parser.count_body(keep and len(rest) == left)
            return (*told, body + rest[:left], parser.keep_alive)
        return (*told, body, parser.complete and keep and not pieces)
    try:
        while pieces and not parser.complete:
            told.append(parser.feed(pieces.pop(0)))
    except NodeFailed as failure:
        return (*told, failure.reason, False)
    return (*told, b"".join(parser.body), parser.complete, parser.complete and parser.keep_alive and not pieces)


@st.composite
def answer_streams(draw: st.DrawFn) -> list[tuple[bytes, list[bytes]]]:
    """(method, pieces of the answer) one after another."""
    known = st.sampled_from(KNOWN_ANSWERS)
    behind_hint = st.tuples(st.sampled_from(HINTS), known).map(b"".join)
    legal = st.one_of(known, known, behind_hint, answer())
    methods = st.sampled_from([b"GET", b"GET", b"GET", b"HEAD"])
    stream = []
    for message in draw(again(legal, mutated(st.one_of(legal, answer(6))))):
        method = draw(methods)
        end = message.find(b"\r\n\r\n", message.find(b"HTTP/1.1 2")) + 4
        if method == b"HEAD" and draw(st.integers(0, 5)) and end > 3:
            message = message[:end]
        stream.append((method, in_pieces(draw, [message], joins=False)))
    return stream


@within
@given(stream=answer_streams())
def test_answers(stream: list[tuple[bytes, list[bytes]]]) -> None:
    remembers = ResponseParser(LIMITS)
    for method, pieces in stream:
        said, wanted = read(remembers, pieces, method), read(ResponseParser(LIMITS), pieces, method)
        assert said == wanted, (method, pieces)
        if not said[-1]:
            return  # the connection is not used again
