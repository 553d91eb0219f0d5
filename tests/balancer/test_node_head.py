"""The head that a node gets, and what of it is made only once for a connection that repeats its fields."""

import re

from balancer.http1_request import Request, RequestParser
from balancer.node_head import EXPECT, Origin, request_head
from cluster.config import Limits
from tests.balancer.requests_table import get, post

STRANGER = Origin(b"10.1.2.3", b"10.1.2.3", b"http", False)
PROXY = Origin(b"fd00::7", b"[fd00::7]", b"https", True)
OURS = (
    b"X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Host: a.example\r\nX-Forwarded-Proto: http\r\n"
    b'Forwarded: for="10.1.2.3";host="a.example";proto=http\r\nVia: 1.1 fairlead\r\n'
)


def parse(*raw: bytes) -> list[Request]:
    """Requests that follow each other on one connection."""
    parser = RequestParser(Limits())
    for each in raw:
        parser.feed(each)
    assert parser.error is None
    for number, request in enumerate(parser.requests):
        request.id, request.trace = b"id-%d" % number, b"trace"
    return list(parser.requests)


def end(number: int = 0) -> bytes:
    return b"X-Request-Id: id-%d\r\ntraceparent: trace\r\n\r\n" % number


def test_all_of_it() -> None:
    (put,) = parse(post(b"Accept: */*", b"Content-Length: 5", body=b"abcde", line=b"PUT /x HTTP/1.1"))
    expected = b"PUT /x HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nContent-Length: 5\r\n" + OURS
    assert request_head(put, STRANGER, b"node:1") == expected + end()
    assert request_head(put, STRANGER, b"node:1", EXPECT) == expected + EXPECT + end()


def test_a_client_without_host_gives_each_node_its_own() -> None:
    (old,) = parse(b"GET / HTTP/1.0\r\n\r\n")
    for authority in (b"node:1", b"node:2"):
        assert request_head(old, STRANGER, authority).startswith(b"GET / HTTP/1.1\r\nHost: %s\r\n" % authority)


def test_fields_that_repeat_are_sorted_once_and_their_lines_made_once() -> None:
    first, same, other, again = parse(
        get(b"Accept: a"), get(b"Accept: a", line=b"GET /2 HTTP/1.1"), get(b"Accept: b"), get(b"Accept: a")
    )
    assert first.sorted is same.sorted
    assert len({id(request.sorted) for request in (first, other, again)}) == 3
    assert request_head(first, STRANGER, b"node:1").startswith(b"GET / HTTP/1.1\r\nHost: a.example\r\nAccept: a\r\n")
    made = first.sorted.for_node
    assert made is not None
    assert request_head(same, STRANGER, b"node:2") == b"GET /2 HTTP/1.1\r\n" + made + end(1)
    assert b"Accept: b\r\n" in request_head(other, STRANGER, b"node:1")


def test_another_method_may_make_something_else_of_the_same_fields() -> None:
    hops = b"Max-Forwards: 1"
    get_, options = parse(get(hops), get(hops, line=b"OPTIONS / HTTP/1.1"))
    assert (hops in request_head(get_, STRANGER, b""), hops in request_head(options, STRANGER, b"")) == (True, False)


def test_the_same_fields_in_another_version_are_sorted_anew() -> None:
    keep = b"Connection: keep-alive"
    new, old = parse(get(b"Expect: 100-continue", keep), get(b"Expect: 100-continue", keep, line=b"GET / HTTP/1.0"))
    assert (new.expects_continue, old.expects_continue) == (True, False)


def test_an_authority_in_the_target_counts_for_that_request_only() -> None:
    absolute = get(line=b"GET http://A.example/x HTTP/1.1")
    first, plain, second = parse(absolute, get(), absolute)
    assert first.sorted is plain.sorted is second.sorted
    for request, host in ((first, b"A.example"), (plain, b"a.example"), (second, b"A.example")):
        assert b"\r\nHost: %s\r\n" % host in request_head(request, STRANGER, b"node:1")


def test_what_one_request_carries_of_its_own_is_not_the_next_ones() -> None:
    first, second = parse(get(), get())
    first.trace = second.trace = b""
    first.id = b"mine"
    heads = [request_head(request, STRANGER, b"node:1") for request in (first, second)]
    traces = [re.findall(rb"traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-00)\r\n", head) for head in heads]
    assert len(traces[0]) == len(traces[1]) == 1
    assert traces[0] != traces[1]
    assert b"X-Request-Id: mine" not in heads[1]
    assert request_head(first, STRANGER, b"node:2") == heads[0], "a second attempt says the same"


def test_only_a_trusted_proxy_speaks_for_its_client() -> None:
    raw = get(
        b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-Host: b.example", b"X-Forwarded-Proto: ftp",
        b"Forwarded: for=1.1.1.1",
        b"Via: 1.0 other", b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01",
    )  # fmt: skip
    (request,) = parse(raw)
    request.trace = b""
    trusted = request_head(request, PROXY, b"node:1")
    assert b"X-Forwarded-For: 1.1.1.1, fd00::7\r\nX-Forwarded-Host: b.example\r\nX-Forwarded-Proto: ftp\r\n" in trusted
    assert b'Forwarded: for=1.1.1.1, for="[fd00::7]";host="a.example";proto=https\r\n' in trusted
    assert b"Via: 1.0 other, 1.1 fairlead\r\n" in trusted
    assert b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\n" in trusted
    (request,) = parse(raw)
    untrusted = request_head(request, STRANGER, b"node:1")
    assert OURS.replace(b"Via: ", b"Via: 1.0 other, ") in untrusted
