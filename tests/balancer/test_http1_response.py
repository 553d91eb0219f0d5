"""The answer parser: what a node may say, and what must not reach a client."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.http1_response import ResponseParser
from cluster.config import Limits
from cluster.errors import NodeFailed
from tests.balancer.answers_table import BAD, GOOD, OK

LIMITS = Limits()


def fed(raw: bytes, *cuts: int, limits: Limits = LIMITS) -> tuple[ResponseParser, bytes]:
    parser, rest = ResponseParser(limits), b""
    places = [0, *cuts, len(raw)]
    for begin, end in pairwise(places):
        rest += parser.feed(raw[begin:end])
    return parser, rest


def said(parser: ResponseParser) -> tuple[object, ...]:
    return (
        parser.status, parser.reason, parser.lines, parser.length, parser.chunked, b"".join(parser.body),
        parser.complete, parser.keep_alive, parser.orca, b"".join(parser.informational),
    )  # fmt: skip


@pytest.mark.parametrize(("raw", "body", "complete"), GOOD.values(), ids=list(GOOD))
def test_read(raw: bytes, body: bytes, complete: bool) -> None:
    parser, rest = fed(raw)
    assert parser.head_complete
    assert (b"".join(parser.body), parser.complete, rest) == (body, complete, b"")


@pytest.mark.parametrize(("raw", "body", "complete"), GOOD.values(), ids=list(GOOD))
def test_split_at_every_byte_gives_the_same_answer(raw: bytes, body: bytes, complete: bool) -> None:
    whole = said(fed(raw)[0])
    for cut in range(1, len(raw)):
        assert said(fed(raw, cut)[0]) == whole
    assert said(fed(raw, *range(1, len(raw)))[0]) == whole


@pytest.mark.parametrize("raw", BAD.values(), ids=list(BAD))
def test_refused(raw: bytes) -> None:
    with pytest.raises(NodeFailed) as caught:
        fed(raw, *range(65536, len(raw), 65536))
    assert caught.value.status == 502
    assert caught.value.sent, "the request has reached the node: a POST must not be sent again"


@pytest.mark.parametrize("raw", [raw for raw in BAD.values() if len(raw) < 1000])
def test_split_at_every_byte_it_is_refused_all_the_same(raw: bytes) -> None:
    for cut in range(1, len(raw)):
        with pytest.raises(NodeFailed):
            fed(raw, cut)


@pytest.mark.parametrize(
    "surplus",
    [OK + b"Content-Length: 6\r\n\r\npoison", b"x", b"HTTP/1.1 ", b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n"],
)
@pytest.mark.parametrize(
    "raw",
    [
        OK + b"Content-Length: 2\r\n\r\nok",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
    ],
)
def test_what_follows_a_whole_answer_is_dropped_and_the_connection_not_used_again(raw: bytes, surplus: bytes) -> None:
    parser, rest = fed(raw + surplus)
    assert parser.complete
    assert not parser.keep_alive
    assert rest == b""
    assert b"".join(parser.body) in (b"ok", b"")
    assert parser.status in (200, 204, 304)


def test_a_kept_parser_reads_answer_after_answer() -> None:
    parser = ResponseParser(LIMITS)
    for n in range(5):
        parser.begin()
        parser.feed(OK + b"A: %d\r\nContent-Length: 2\r\n\r\nok" % n)
        assert parser.complete
        assert parser.keep_alive
        assert parser.lines == [b"A: %d" % n]
        assert parser.body == [b"ok"]


@pytest.mark.parametrize(
    ("raw", "keep"),
    [
        (OK + b"Content-Length: 0\r\n\r\n", True),
        (OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n", False),
        (OK + b"Content-Length: 0\r\nConnection: X, Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
        (OK + b"\r\n", False),
    ],
)
def test_keep_alive(raw: bytes, keep: bool) -> None:
    assert fed(raw)[0].keep_alive is keep


def test_fields_that_end_with_this_connection_are_dropped_and_the_report_is_ours() -> None:
    parser, _ = fed(
        OK
        + b"Connection: close, X-Private, Content-Length\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n"
        + b"TE: x\r\nTrailer: y\r\nProxy-Connection: z\r\nUpgrade: h2c\r\n"
        + b"Endpoint-Load-Metrics: TEXT named_metrics.rif=3\r\n"
        + b"Content-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: s\r\n\r\nok"
    )
    assert parser.lines == [b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"Server: s"]
    assert parser.orca == b"TEXT named_metrics.rif=3"
    assert parser.length == 2


def test_informational_answers_are_the_clients_but_100_is_not() -> None:
    parser, _ = fed(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X\r\nX: y\r\n\r\n"
        + OK + b"Content-Length: 0\r\n\r\n"
    )  # fmt: skip
    assert parser.continued
    assert parser.informational == [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
    assert parser.lines == []


def test_what_follows_a_101_is_handed_back_untouched() -> None:
    raw = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n"
    parser, rest = fed(raw + b"\x81\x05hello")
    assert (parser.status, parser.upgrade, rest) == (101, b"websocket", b"\x81\x05hello")
    assert parser.lines == [b"X: y"]


def test_trailers_do_not_join_the_head() -> None:
    parser, _ = fed(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nSet-Cookie: evil=1\r\n\r\n")
    assert parser.lines == []
    assert parser.complete


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_whatsoever_raise_anything_else(data: bytes) -> None:
    for head in (b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
        try:
            fed(head + data)
        except NodeFailed:
            continue


HEAD = b"HTTP/1.1 200 OK\r\nDate: Sun, 29 Nov 2026 08:00:00 GMT\r\nA: b\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "body", "complete", "keep_alive"),
    [
        (HEAD + b"12345", b"12345", True, True),
        (HEAD + b"123", b"123", False, True),
        (HEAD, b"", False, True),
        (HEAD + b"1234567", b"12345", True, False),
        (HEAD + b"12345\r\n", b"12345", True, True),
        (HEAD.replace(b"A: b", b"A: c") + b"12345", b"12345", True, True),
    ],
    ids=["whole", "begun", "head", "too-much", "empty-line", "another-head"],
)
def test_a_head_that_comes_again_says_the_same(raw: bytes, body: bytes, complete: bool, keep_alive: bool) -> None:
    parser, _ = fed(HEAD + b"abcde")
    parser.begin()
    parser.feed(raw)
    fresh, _ = fed(raw)
    assert said(parser)[2:] == said(fresh)[2:]
    assert parser.head_for_client(0) == fresh.head_for_client(0)
    assert (b"".join(parser.body), parser.complete, parser.keep_alive) == (body, complete, keep_alive)


@pytest.mark.parametrize("first", [b"HTTP/1.1 103 Early Hints\r\nA: ", HEAD[:30], b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_known_head_behind_the_beginning_of_another_is_not_taken_for_a_beginning(first: bytes) -> None:
    parser, _ = fed(HEAD + b"abcde")
    parser.begin()
    outcomes = []
    for one in (parser, ResponseParser(LIMITS)):
        try:
            one.feed(first)
            one.feed(HEAD + b"12345")
            outcomes.append((said(one), one.head_for_client(0)))
        except NodeFailed as failure:
            outcomes.append(((failure.reason,), b""))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("hint", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
def test_an_informational_head_is_not_taken_for_that_of_the_answer_behind_it(hint: bytes) -> None:
    parser, _ = fed(hint + HEAD + b"abcde")
    raw = hint + HEAD.replace(b"200 OK", b"404 Not Found") + b"12345"
    parser.begin()
    parser.feed(raw)
    assert said(parser) == said(fed(raw)[0])


@pytest.mark.parametrize("again", [HEAD + b"12345", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"])
def test_after_a_known_head_any_answer_is_read(again: bytes) -> None:
    parser, _ = fed(HEAD + b"abcde")
    for raw in (HEAD + b"12345", again, HEAD + b"abcde", again):
        parser.begin()
        parser.feed(raw)
        assert (parser.complete, parser.keep_alive) == (True, True)
        assert raw.endswith(b"\r\n\r\n" + b"".join(parser.body))


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\r\n", b"\r\n\r"])
def test_a_head_ends_only_at_an_empty_line(end: bytes) -> None:
    with pytest.raises(NodeFailed):
        fed(HEAD.removesuffix(b"\r\n\r\n") + end + b"abc\r\n\r\nde")
