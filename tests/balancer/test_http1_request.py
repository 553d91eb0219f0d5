"""The request parser: however the bytes come, the same request; what could be read in two ways, refused."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from balancer.http1_fields import SortedFields
from balancer.http1_request import Request, RequestParser
from balancer.node_head import Origin, request_head
from cluster.config import Limits
from tests.balancer.requests_table import ACCEPTED, CHUNKED, END, REFUSED, get, post

LIMITS = Limits()
ORIGIN = Origin(b"10.1.2.3", b"10.1.2.3", b"http", False)


def seen(request: Request, body: bytes) -> dict[str, Any]:
    """Everything that a request is, for comparing."""
    kept = {name: getattr(request, name) for name in Request.__slots__ if name not in ("chunks", "sequence", "sorted")}
    fields = {name: getattr(request.sorted, name) for name in SortedFields.__slots__ if name != "for_node"}
    request.trace = b"t"
    return {**fields, **kept, "body": body, "head": request_head(request, ORIGIN, b"node:1")}


def parsed(data: bytes, *cuts: int, limits: Limits = LIMITS) -> tuple[list[dict[str, Any]], str, int]:
    """Feed `data` cut at these places, as connection.py does; (requests, reason of the refusal, its status)."""
    parser = RequestParser(limits)
    served: list[tuple[Request, list[bytes]]] = []
    places = [0, *sorted(cuts), len(data)]
    for begin, end in pairwise(places):
        for piece in range(begin, end, 65536):  # a recv brings no more
            parser.feed(data[piece : min(end, piece + 65536)])
            while parser.requests:
                served.append((parser.requests.popleft(), []))
            for request, body in served:
                body.extend(request.chunks)
                request.chunks.clear()
    error = parser.error
    return [seen(r, b"".join(body)) for r, body in served], error.reason if error else "", error.status if error else 0


def one(data: bytes, limits: Limits = LIMITS) -> dict[str, Any]:
    requests, reason, _ = parsed(data, limits=limits)
    assert not reason
    assert len(requests) == 1
    assert requests[0]["complete"]
    return requests[0]


@pytest.mark.parametrize("raw", [*ACCEPTED.values(), *REFUSED.values()], ids=[*ACCEPTED, *REFUSED])
def test_the_same_bytes_again_say_the_same_as_when_they_come_in_two_parts(raw: bytes) -> None:
    again = len(raw)
    assert parsed(raw + raw, again) == parsed(raw + raw, again, again + 1)


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=list(ACCEPTED))
def test_other_bytes_in_between_are_read_as_such(raw: bytes) -> None:
    data, cuts = get() + raw + get(), (len(get()), len(get() + raw))
    assert parsed(data, *cuts) == parsed(data, *cuts, 1, len(data) - 1)


@pytest.mark.parametrize("begun", [b"GE", post(b"Content-Length: 3") + b"ab"], ids=["half a head", "half a body"])
def test_what_ended_something_else_is_not_known_by_its_bytes(begun: bytes) -> None:
    end = get()[2:] if begun == b"GE" else b"c" + get()
    data, cuts = begun + end + end, (len(begun), len(begun + end))
    assert parsed(data, *cuts)[1]
    assert parsed(data, *cuts) == parsed(data, *cuts, len(data) - 1)


def test_a_head_that_comes_again_is_not_read_again() -> None:
    parser = RequestParser(LIMITS)
    parser.feed(get())
    parser.release()  # nothing can be read any more
    parser.feed(get())
    first, second = parser.requests
    assert first is not second
    assert seen(first, b"") == seen(second, b"")


@pytest.mark.parametrize("raw", REFUSED.values(), ids=list(REFUSED))
def test_refused(raw: bytes) -> None:
    requests, reason, status = parsed(raw)
    assert reason, f"read as {requests}"
    assert 400 <= status <= 505
    assert not any(request["complete"] for request in requests)


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=list(ACCEPTED))
def test_accepted(raw: bytes) -> None:
    assert one(raw)["host"].lower() in raw.lower()


@pytest.mark.parametrize("raw", [raw for raw in ACCEPTED.values() if len(raw) < 2000])
def test_split_at_every_byte_gives_the_same_request(raw: bytes) -> None:
    """RFC 9112 section 2: a message is a sequence of octets."""
    whole = parsed(raw)
    for cut in range(1, len(raw)):
        assert parsed(raw, cut) == whole, raw[:cut]
    assert parsed(raw, *range(1, len(raw))) == whole, "byte by byte"


@pytest.mark.parametrize("raw", [raw for raw in REFUSED.values() if len(raw) < 2000])
def test_split_at_every_byte_it_is_refused_all_the_same(raw: bytes) -> None:
    for cut in range(1, len(raw)):
        requests, reason, _ = parsed(raw, cut)
        assert reason, raw[:cut]
        assert not any(request["complete"] for request in requests)
    assert parsed(raw, *range(1, len(raw)))[1], "byte by byte"


pieces = st.lists(
    st.sampled_from(
        [raw for raw in ACCEPTED.values() if len(raw) < 2000 and b"close" not in raw and b"1.0" not in raw]
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(parts=pieces, cuts=st.lists(st.integers(0, 4000), max_size=6))
def test_pipelined_requests_come_out_one_by_one_in_order_however_they_are_cut(
    parts: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(parts)
    requests, reason, _ = parsed(data, *(cut for cut in cuts if cut < len(data)))
    assert not reason
    assert requests == [one(part) for part in parts]


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
@example(data=b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET", cut=60)
def test_no_bytes_whatsoever_raise(data: bytes, cut: int) -> None:
    parsed(data, min(cut, len(data)))


@settings(max_examples=300, deadline=None)
@given(
    raw=st.sampled_from([raw for raw in ACCEPTED.values() if len(raw) < 500]),
    at=st.integers(0, 500),
    byte=st.integers(0, 255),
)
def test_what_is_forwarded_is_read_the_same_way_again(raw: bytes, at: int, byte: int) -> None:
    """One byte of a legal request is changed: it is refused, or what we send on means to a node what it meant to us."""
    data = bytearray(raw)
    data[at % len(data)] = byte
    requests, reason, _ = parsed(bytes(data))
    if reason or not requests or not requests[0]["complete"]:
        return
    first = requests[0]
    framed = (
        b"%x\r\n%s\r\n" % (len(first["body"]), first["body"]) if first["body"] and first["chunked"] else first["body"]
    )
    again = one(first["head"] + framed + (END if first["chunked"] else b""))
    for name in ("method", "target", "body", "host"):
        assert again[name] == (first[name] or (b"node:1" if name == "host" else first[name]))
    names = [name.lower() for name, _ in again["fields"]]
    assert not set(names) & {b"connection", b"te", b"keep-alive", b"proxy-connection", b"trailer", b"upgrade"} - {b"x"}
    assert not any(b"_" in name for name in names)


# -- what is said of a request --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (b"/", "general"), (b"/api", "api"), (b"/api/", "api"), (b"/api/x/y?z", "api"), (b"/api?x", "api"),
        (b"/image/1.png", "image"), (b"/video", "video"), (b"/apix", "general"), (b"/x/api", "general"),
        (b"/API", "general"), (b"//api", "general"),
    ],
)  # fmt: skip
def test_the_kind_is_the_first_path_segment(target: bytes, kind: str) -> None:
    assert one(get(line=b"GET " + target + b" HTTP/1.1"))["kind"] == kind


@pytest.mark.parametrize(
    ("raw", "keep"),
    [
        (get(), True),
        (get(b"Connection: close"), False),
        (get(b"Connection: Close"), False),
        (get(b"Connection: keep-alive, close"), False),
        (get(b"Connection: keep-alive", b"Connection: close", line=b"GET / HTTP/1.0"), False),
        (get(b"Connection: close", b"Connection: keep-alive"), False),
        (get(line=b"GET / HTTP/1.0"), False),
        (get(b"Connection: keep-alive", line=b"GET / HTTP/1.0"), True),
        (post(b"Upgrade: h2c", b"Connection: Upgrade", b"Content-Length: 5", body=b"abcde"), True),
    ],
)
def test_keep_alive(raw: bytes, keep: bool) -> None:
    assert one(raw)["keep_alive"] is keep


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get(line=b"GET /"), 400), (get(line=b"GET / HTTP/2.0"), 505), (get(line=b"CONNECT a:1 HTTP/1.1"), 405),
        (post(b"Transfer-Encoding: chunked, gzip"), 400), (post(b"Transfer-Encoding: gzip, chunked"), 501),
        (post(b"Expect: x", b"Content-Length: 0"), 417),
    ],
)  # fmt: skip
def test_each_refusal_has_the_status_that_is_meant_for_it(raw: bytes, status: int) -> None:
    """RFC 9112 sections 2.3, 3 and 6.3; RFC 9110 sections 10.1.1 and 15.6.6."""
    assert parsed(raw)[2] == status


def test_absolute_form_becomes_origin_form() -> None:
    request = one(get(line=b"GET http://A.example/x?y HTTP/1.1"))
    assert request["target"] == b"/x?y"
    assert request["host"] == b"A.example"
    assert one(get(line=b"GET http://a.example?q HTTP/1.1"))["target"] == b"/?q"
    assert one(b"GET http://a.example HTTP/1.0\r\n\r\n")["host"] == b"a.example"


def test_fields_that_end_with_this_connection_are_not_forwarded() -> None:
    request = one(
        get(
            b"Connection: X-Private, keep-alive, TE, content-length, Host", b"X-Private: 1", b"x-private: 2",
            b"Keep-Alive: timeout=5", b"TE: trailers", b"Proxy-Connection: keep-alive", b"Trailer: X",
            b"Upgrade: h2c", b"X_Forwarded_For: evil",
            b"Content_Length: 5", b"X-Public: 3", b"Accept: */*",
        )
    )  # fmt: skip
    assert request["fields"] == [(b"X-Public", b"3"), (b"Accept", b"*/*")]
    assert b"Host: a.example" in request["head"]


def test_connection_never_removes_framing_or_host() -> None:
    """RFC 9110 section 7.6.1."""
    request = one(post(b"Connection: content-length, host", b"Content-Length: 5", body=b"abcde"))
    assert b"Content-Length: 5\r\n" in request["head"]
    assert b"Host: a.example\r\n" in request["head"]
    assert request["body"] == b"abcde"


def test_trailers_do_not_join_the_head() -> None:
    request = one(ACCEPTED["trailers"])
    assert request["host"] == b"a.example"
    assert request["fields"] == []
    assert request["body"] == b"abc"


def test_a_request_id_is_kept_only_when_it_is_harmless() -> None:
    assert one(get(b"X-Request-Id: abc-123.~/+=:@_"))["id"] == b"abc-123.~/+=:@_"
    for bad in (b'"><script>', b"a b", b"a" * 129, b"\xe4", b"", b"a,b", b"a{b"):
        assert one(get(b"X-Request-Id: " + bad))["id"] == b"", bad


def test_forwarded_fields_are_kept_apart_and_joined() -> None:
    request = one(
        get(b"X-Forwarded-For: 1.1.1.1", b"x-forwarded-for: 2.2.2.2", b"Via: 1.0 a", b"X-Forwarded-Proto: https")
    )
    assert request["fields"] == []
    assert set(request["forwarded"].values()) == {b"1.1.1.1, 2.2.2.2", b"1.0 a", b"https"}


def test_a_websocket_upgrade_is_recognised_and_what_follows_is_not_parsed() -> None:
    raw = get(b"Upgrade: WebSocket", b"Connection: keep-alive, Upgrade", b"Sec-WebSocket-Key: x")
    for cut in range(1, len(raw) + 1):
        parser = RequestParser(LIMITS)
        parser.feed(raw[:cut])
        parser.feed(raw[cut:] + b"\x81\x85 not HTTP")
        assert parser.error is None
        request = parser.requests.popleft()
        assert request.upgrade == b"WebSocket"
        head = request_head(request, ORIGIN, b"node:1")
        assert b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n" in head
        assert b"Sec-WebSocket-Key: x\r\n" in head


@pytest.mark.parametrize(
    "raw",
    [
        get(b"Upgrade: websocket", b"Connection: Upgrade", line=b"POST / HTTP/1.1"),
        get(b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 3") + b"abc",
        get(b"Upgrade: websocket"),
        get(b"Upgrade: websocket, h2c", b"Connection: Upgrade"),
        get(b"Upgrade: h2c", b"Connection: Upgrade"),
    ],
)
def test_no_other_upgrade_is_passed_on_and_the_next_request_is_read(raw: bytes) -> None:
    """RFC 9110 section 7.8, RFC 9113 appendix B."""
    requests, reason, _ = parsed(raw + get(line=b"GET /next HTTP/1.1"))
    assert not reason
    assert [request["target"] for request in requests] == [b"/", b"/next"]
    assert b"pgrade" not in requests[0]["head"]


# -- sizes and states ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 100, 5000])
@pytest.mark.parametrize(
    ("raw", "reason", "status"),
    [
        (get(line=b"GET /" + b"a" * 300 + b" HTTP/1.1"), "target_too_long", 414),
        (get(b"A: " + b"b" * 3000), "head_too_large", 431),
        (get(*[b"A: b"] * 20), "too_many_fields", 431),
        (post(b"Content-Length: 200"), "body_too_large", 413),
        (post(CHUNKED, body=b"c8\r\n" + b"a" * 200 + b"\r\n"), "body_too_large", 413),
        (post(CHUNKED, body=b"0\r\n" + b"A: b\r\n" * 400 + b"\r\n"), "trailers_too_large", 431),
        (b"\r\n" * 4000 + get(), "head_too_large", 431),
    ],
)
def test_sizes_have_limits_with_an_answer_of_their_own(raw: bytes, reason: str, status: int, cut: int) -> None:
    """RFC 9110 sections 15.5.14 and 15.5.15, RFC 6585 section 5."""
    small = Limits(line_bytes=256, head_bytes=2048, fields=16, body_bytes=100)
    assert parsed(raw, *range(cut, len(raw), cut), limits=small)[1:] == (reason, status)


def test_sizes_at_their_limit_pass() -> None:
    small = Limits(line_bytes=256, head_bytes=2048, fields=16, body_bytes=100)
    one(get(line=b"GET /" + b"a" * 255 + b" HTTP/1.1"), small)
    one(get(*[b"A: b"] * 15), small)
    one(get(b"A: " + b"b" * (2048 - len(get(b"A: ")))), small)
    one(post(b"Content-Length: 100", body=b"a" * 100), small)
    one(post(CHUNKED, body=b"64\r\n" + b"a" * 100 + b"\r\n" + END), small)


def test_a_body_does_not_count_towards_the_next_head() -> None:
    small = Limits(head_bytes=1024)
    parser = RequestParser(small)
    parser.feed(post(b"Content-Length: 5000"))
    parser.requests.popleft()
    parser.feed(b"a" * 5000)
    assert parser.error is None
    second = get(b"A: " + b"b" * 500)
    parser.feed(second[:300])
    parser.feed(second[300:])
    assert parser.error is None
    assert parser.requests.popleft().complete


def test_between_requests_no_head_has_begun() -> None:
    """A connection that is idle waits for `keep_alive_s`, one in mid-head for `head_s` only."""
    parser = RequestParser(LIMITS)
    assert not parser.in_head
    parser.feed(b"GE")
    assert parser.in_head
    parser.feed(get()[2:])
    assert not parser.in_head
    parser.requests.popleft()
    assert not parser.in_head

    parser.feed(post(b"Content-Length: 5"))
    parser.requests.popleft()
    assert not parser.in_head
    parser.feed(b"abcde")
    assert not parser.in_head, "the body's end is not a head's beginning"

    parser.feed(post(b"Content-Length: 5", body=b"abcdePO"))
    parser.requests.popleft()
    assert parser.in_head, "the next request's first letters came with the body"


def test_after_a_refusal_nothing_more_is_read() -> None:
    requests, reason, _ = parsed(get() + get(b"A B: c") + get())
    assert len(requests) == 1
    assert reason == "malformed"


def test_what_was_good_before_the_bad_is_served_first() -> None:
    parser = RequestParser(LIMITS)
    parser.feed(get(line=b"GET /1 HTTP/1.1") + get(line=b"GET /2 HTTP/1.1") + b"\0")
    assert [request.target for request in parser.requests] == [b"/1", b"/2"]
    assert parser.error is not None


def request_of(raw: bytes) -> Request:
    parser = RequestParser(LIMITS)
    parser.feed(raw)
    return parser.requests.popleft()
