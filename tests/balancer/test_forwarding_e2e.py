"""What passes through the balancer, byte for byte: heads, bodies, connections, in both directions."""

import json
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.balancer.conftest import SHORT, Stubs, external
from tests.balancer.requests_table import ACCEPTED, REFUSED, get, post
from tests.fleet import RunningFleet, fleet_config, running
from tests.raw_client import CutOff, RawClient
from tests.stub_node import StubConnection, StubNode, answer, answering

GET = get()
OK = b"HTTP/1.1 200 OK\r\n"


# -- connections -----------------------------------------------------------------------------------------------------


def test_one_connection_carries_request_after_request(stub_fleet: Stubs) -> None:
    with stub_fleet.client() as client:
        for _ in range(20):
            reply = client.ask(GET)
            assert (reply.status, reply.body, reply.version) == (200, b"ok", "HTTP/1.1")
            assert reply.field("connection") is None
    assert sum(node.connections for node in stub_fleet.nodes) == 2, "one kept connection to each node"
    assert len(stub_fleet.seen) == 20


def test_pipelined_requests_are_answered_in_order(stub_fleet: Stubs) -> None:
    """RFC 9112 section 9.3.2."""

    def echo(connection: StubConnection) -> None:
        while request := connection.request():
            number = int(request.line.split()[1][1:])
            time.sleep(0.02 if number % 2 else 0)
            connection.send(answer(b"%d" % number + request.body))

    stub_fleet.behave(echo)
    requests = []
    for number in range(30):
        line = b"/%d HTTP/1.1" % number
        requests.append(
            get(line=b"GET " + line) if number % 3 else post(b"Content-Length: 3", body=b"abc", line=b"POST " + line)
        )
    with stub_fleet.client() as client:
        client.send(b"".join(requests))
        got = [client.answer().body for _ in requests]
    assert got == [b"%d" % number + (b"" if number % 3 else b"abc") for number in range(30)]


def test_requests_cut_anywhere_are_put_together(stub_fleet: Stubs) -> None:
    raw = post(b"Content-Length: 5", body=b"abcde")
    with stub_fleet.client() as client:
        for cut in range(1, len(raw), 7):
            client.send(raw[:cut])
            time.sleep(0.002)
            client.send(raw[cut:])
            assert client.answer().status == 200
    assert {request.body for request in stub_fleet.seen} == {b"abcde"}


def test_a_clients_close_is_obeyed(stub_fleet: Stubs) -> None:
    """RFC 9112 section 9.6."""
    with stub_fleet.client() as client:
        reply = client.ask(get(b"Connection: close"))
        assert reply.field("connection") == "close"
        assert client.is_closed()


def test_a_nodes_close_is_not_passed_on(stub_fleet: Stubs) -> None:
    """RFC 9110 section 7.6.1."""

    def once(connection: StubConnection) -> None:
        connection.request()
        connection.send(answer(b"ok", b"200 OK", b"Connection: close"))

    stub_fleet.behave(once)
    with stub_fleet.client() as client:
        for _ in range(5):
            assert client.ask(GET).field("connection") is None


def test_http_1_0(stub_fleet: Stubs) -> None:
    """RFC 9112 section 9.3 and appendix C.2.2."""
    with stub_fleet.client() as client:
        reply = client.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert (reply.status, reply.body) == (200, b"ok")
        assert client.is_closed()
    with stub_fleet.client() as client:
        for _ in range(3):
            assert client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").field("connection") == "keep-alive"
    assert {request.line for request in stub_fleet.seen} == {b"GET / HTTP/1.1"}
    assert all(request.field(b"host") for request in stub_fleet.seen), "HTTP/1.1 towards the node needs a Host"


def test_chunked_answers_reach_an_http_1_0_client_without_chunks(stub_fleet: Stubs) -> None:
    """RFC 9112 section 6.1."""
    stub_fleet.behave(answering(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    with stub_fleet.client() as client:
        reply = client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (reply.body, reply.field("transfer-encoding"), reply.field("connection")) == (b"abcde", None, "close")


def test_an_idle_connection_is_closed_without_a_word(stub_fleet: Stubs) -> None:
    with stub_fleet.client() as client:
        client.ask(post(b"Content-Length: 5", body=b"abcde"))
        client.send(post(b"Content-Length: 5"))
        time.sleep(0.05)
        client.send(b"abcde")  # the body comes apart from its head: what follows is idleness all the same
        assert client.answer().status == 200
        begun = time.monotonic()
        assert client.is_closed(4)
        assert time.monotonic() - begun == pytest.approx(SHORT["keep_alive_s"], abs=0.5)


def test_a_half_closed_client_is_answered(stub_fleet: Stubs) -> None:
    """RFC 9112 section 9.6."""

    def slow(connection: StubConnection) -> None:
        connection.request()
        time.sleep(0.3)
        connection.send(answer(b"late"))

    stub_fleet.behave(slow)
    with stub_fleet.client() as client:
        client.send(GET)
        client.sock.shutdown(1)
        assert client.answer().body == b"late"


# -- answers without a body ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "raw", "length"),
    [
        (b"HEAD", OK + b"Content-Length: 500\r\n\r\n", "500"),
        (b"HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", None),
        (b"HEAD", OK + b"\r\n", None),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", None),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "500"),
        (b"POST", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    ],
)
def test_answers_without_a_body(stub_fleet: Stubs, method: bytes, raw: bytes, length: str | None) -> None:
    """RFC 9110 section 6.4.1, RFC 9112 section 6.3, rule 1."""
    stub_fleet.behave(answering(raw))
    with stub_fleet.client() as client:
        for _ in range(4):
            reply = client.ask(get(b"Content-Length: 0", line=method + b" / HTTP/1.1"))
            assert (reply.body, reply.field("content-length")) == (b"", length)
            assert reply.field("connection") is None
    stub_fleet.behave(answering(answer(b"next")))
    for node in stub_fleet.nodes:
        node.forget()
    with stub_fleet.client() as client:
        assert client.ask(GET).body == b"ok", "nothing of it is left on the connections"


# -- bodies ----------------------------------------------------------------------------------------------------------


def test_a_counted_upload(stub_fleet: Stubs) -> None:
    """RFC 9112 section 6.2."""
    body = bytes(range(256)) * 300
    with stub_fleet.client() as client:
        client.send(post(b"Content-Length: %d" % len(body)))
        client.slowly(body, 10, 0.01)
        assert client.answer().status == 200
    (request,) = stub_fleet.seen
    assert request.body == body
    assert request.field(b"content-length") == b"%d" % len(body)


def test_a_chunked_upload_with_extensions_and_trailers_which_stay_here(stub_fleet: Stubs) -> None:
    """RFC 9112 sections 7.1.1 and 7.1.2, RFC 9110 section 6.5.1."""
    with stub_fleet.client() as client:
        client.send(post(b"Transfer-Encoding: chunked", b"Trailer: A"))
        client.slowly(b'3;a="b"\r\nabc\r\n0003\r\ndef\r\n0;x\r\nA: b\r\n\r\n', 8, 0.01)
        assert client.answer().status == 200
        assert client.ask(GET).status == 200, "the connection goes on"
    request = next(request for request in stub_fleet.seen if request.line.startswith(b"POST"))
    assert request.body == b"abcdef"
    assert request.field(b"transfer-encoding") == b"chunked"
    assert request.field(b"trailer") is None


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
def test_counted_and_chunked_downloads_of_every_size(stub_fleet: Stubs, size: int) -> None:
    """RFC 9112 sections 6.2 and 7.1."""
    body = bytes(i * 7 % 251 for i in range(size))

    def both(connection: StubConnection) -> None:
        while request := connection.request():
            if request.line.startswith(b"GET /counted"):
                connection.send(answer(body))
            else:
                connection.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
                for at in range(0, size, 10_000):
                    piece = body[at : at + 10_000]
                    connection.send(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
                connection.send(b"0\r\nTrailer: dropped\r\n\r\n")

    stub_fleet.behave(both)
    with stub_fleet.client() as client:
        for _ in range(2):
            counted = client.ask(get(line=b"GET /counted HTTP/1.1"))
            assert (counted.body, counted.field("content-length")) == (body, str(size))
            chunked = client.ask(get(line=b"GET /chunked HTTP/1.1"))
            assert (chunked.body, chunked.field("transfer-encoding")) == (body, "chunked")


def test_an_answer_that_ends_with_its_connection_reaches_the_client_whole_and_marked(stub_fleet: Stubs) -> None:
    """RFC 9112 section 6.3, rule 8."""

    def until_close(connection: StubConnection) -> None:
        connection.request()
        connection.send(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000)

    stub_fleet.behave(until_close)
    with stub_fleet.client() as client:
        for _ in range(2):
            reply = client.ask(GET)
            assert (len(reply.body), reply.field("transfer-encoding")) == (100_000, "chunked")


def test_events_are_passed_on_as_they_come(stub_fleet: Stubs) -> None:
    """WHATWG HTML section 9.2: each event at once."""
    sent: list[float] = []

    def server_sent_events(connection: StubConnection) -> None:
        connection.request()
        connection.send(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            time.sleep(0.1)
            sent.append(time.monotonic())
            connection.send(b"9\r\ndata: x\n\n\r\n")
        connection.send(b"0\r\n\r\n")

    stub_fleet.behave(server_sent_events)
    with stub_fleet.client() as client:
        client.send(GET)
        assert client.head()[1] == 200
        assert not sent, "the head does not wait for the first event"
        delays = []
        for n in range(5):
            assert client.chunk() == b"data: x\n\n"
            delays.append(time.monotonic() - sent[n])
        assert client.chunk() == b""
    assert max(delays) < 0.08, delays


def test_continue_comes_from_the_node_and_at_once(stub_fleet: Stubs) -> None:
    """RFC 9110 section 10.1.1."""

    def asks_for_it(connection: StubConnection) -> None:
        head = connection.head()
        assert head is not None
        assert b"\r\nExpect: 100-continue\r\n" in head
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert connection._exactly(5) == b"abcde"
        connection.send(answer(b"thanks"))

    stub_fleet.behave(asks_for_it)
    with stub_fleet.client() as client:
        begun = time.monotonic()
        client.send(post(b"Expect: 100-continue", b"Content-Length: 5"))
        assert client.head()[1] == 100
        client.send(b"abcde")
        assert client.answer().body == b"thanks"
        assert time.monotonic() - begun < 0.5


def test_a_client_that_waits_for_continue_does_not_wait_for_ever(stub_fleet: Stubs) -> None:
    """RFC 9110 section 10.1.1."""
    with stub_fleet.client() as client:  # this node never says 100
        client.send(post(b"Expect: 100-continue", b"Content-Length: 5"))
        assert client.head()[1] == 100
        client.send(b"abcde")
        assert client.answer().status == 200
    assert stub_fleet.seen[0].body == b"abcde"


def test_a_refusal_instead_of_continue(stub_fleet: Stubs) -> None:
    """RFC 9110 section 10.1.1."""

    def refuses(connection: StubConnection) -> None:
        connection.head()
        connection.send(answer(b"too much", b"413 Content Too Large"))

    stub_fleet.behave(refuses)
    with stub_fleet.client() as client:
        reply = client.ask(post(b"Expect: 100-continue", b"Content-Length: 500000"))
        assert (reply.status, reply.body, reply.informational) == (413, b"too much", [])
        assert client.is_closed(), "the body it still owes would be taken for a request"


def test_an_expectation_does_not_hinder_a_body_that_is_already_here(stub_fleet: Stubs) -> None:
    """RFC 9110 section 10.1.1."""

    def asks_late(connection: StubConnection) -> None:
        head = connection.head()
        time.sleep(0.1)
        if head and b"xpect" in head:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection._exactly(100_000)
        connection.send(answer(b"thanks"))

    stub_fleet.behave(asks_late)
    with stub_fleet.client() as client:
        client.send(post(b"Expect: 100-continue", b"Content-Length: 100000", body=b"a" * 50_000))
        time.sleep(0.3)
        client.send(b"a" * 50_000)
        assert client.answer().body == b"thanks"


def test_hints_before_the_answer_reach_the_client_even_in_the_middle_of_an_upload(stub_fleet: Stubs) -> None:
    """RFC 9110 section 15.2, RFC 8297."""

    def hints(connection: StubConnection) -> None:
        connection.head()
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        connection._exactly(100_000)
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </y>\r\n\r\n" + answer(b"whole"))

    stub_fleet.behave(hints)
    with stub_fleet.client() as client:
        client.send(post(b"Content-Length: 100000", body=b"a" * 50_000))
        time.sleep(0.2)
        client.send(b"a" * 50_000)
        reply = client.answer()
        assert (reply.body, reply.informational) == (b"whole", [103, 103])


def test_an_early_answer_ends_the_upload(stub_fleet: Stubs) -> None:
    """RFC 9112 sections 9.3 and 9.6."""

    def early(connection: StubConnection) -> None:
        connection.head()
        connection.send(answer(b"enough", b"413 Content Too Large"))
        connection.gone()

    stub_fleet.behave(early)
    with stub_fleet.client() as client:
        client.send(post(b"Content-Length: 10000000", body=b"a" * 100_000))
        reply = client.answer()
        assert (reply.status, reply.body, reply.field("connection")) == (413, b"enough", "close")


# -- fields ----------------------------------------------------------------------------------------------------------


def test_what_a_node_is_told_of_the_client(stub_fleet: Stubs) -> None:
    """RFC 9110 section 7.6.3, RFC 7239 section 4."""
    with stub_fleet.client() as client:
        client.ask(
            get(b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil", b"Via: 1.0 old")
        )
    (request,) = stub_fleet.seen
    assert request.field(b"x-forwarded-for") == b"127.0.0.1", "said by a stranger: replaced"
    assert request.field(b"x-forwarded-proto") == b"http"
    assert request.field(b"x-forwarded-host") == b"a.example"
    assert request.field(b"via") == b"1.0 old, 1.1 fairlead"
    assert request.field(b"host") == b"a.example"
    assert request.field(b"x-request-id")


def test_what_ends_with_the_connection_is_not_passed_on_in_either_direction(stub_fleet: Stubs) -> None:
    """RFC 9110 section 7.6.1."""
    stub_fleet.behave(
        answering(
            answer(
                b"ok", b"200 OK", b"Connection: keep-alive, X-Node-Private", b"X-Node-Private: 1",
                b"Keep-Alive: timeout=5", b"Proxy-Connection: x", b"Trailer: y", b"Upgrade: h2c",
                b"endpoint-load-metrics: TEXT named_metrics.rif=1",
                b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"X-Fairlead-Node: forged", b"X-Request-Id: forged",
            )
        )
    )  # fmt: skip
    with stub_fleet.client() as client:
        reply = client.ask(
            get(
                b"Connection: X-Private", b"X-Private: 1", b"Keep-Alive: 5", b"TE: trailers", b"Proxy-Connection: x",
                b"Upgrade: h2c", b"X_Forwarded_For: evil", b"X-Request-Id: mine-1", b"Cookie: c=3",
            )
        )  # fmt: skip
    (request,) = stub_fleet.seen
    for name in (
        b"connection",
        b"x-private",
        b"keep-alive",
        b"te",
        b"proxy-connection",
        b"upgrade",
        b"x_forwarded_for",
    ):
        assert request.field(name) is None, name
    assert request.field(b"cookie") == b"c=3"
    assert request.field(b"x-request-id") == b"mine-1"
    for gone in ("connection", "x-node-private", "keep-alive", "proxy-connection", "trailer", "endpoint-load-metrics"):
        assert reply.field(gone) is None, gone
    assert reply.all("set-cookie") == ["a=1", "b=2"]
    assert reply.field("x-fairlead-node") in ("s1", "s2")
    assert reply.field("x-request-id") == "mine-1"
    assert reply.field("via") == "1.1 fairlead"


def test_a_request_id_is_made_when_there_is_none_or_it_is_unfit(stub_fleet: Stubs) -> None:
    with stub_fleet.client() as client:
        ids = [client.ask(get(*field)).field("x-request-id") for field in ([], [], [b"X-Request-Id: a b<>"])]
    assert all(ids)
    assert len(set(ids)) == 3
    assert {request.field(b"x-request-id").decode() for request in stub_fleet.seen} == set(ids)  # type: ignore[union-attr]


def test_absolute_form_is_forwarded_in_origin_form(stub_fleet: Stubs) -> None:
    """RFC 9112 section 3.2.2."""
    with stub_fleet.client() as client:
        client.ask(get(line=b"GET http://A.Example/x?y=1 HTTP/1.1"))
    assert stub_fleet.seen[0].line == b"GET /x?y=1 HTTP/1.1"
    assert stub_fleet.seen[0].field(b"host") == b"A.Example"


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningFleet, StubNode]]:
    """A balancer that trusts whoever connects from this machine."""
    stub = StubNode("s1")
    config = fleet_config([external(stub)], workers=1, trusted_proxies=["127.0.0.0/8"])
    with running(tmp_path_factory.mktemp("trusting"), config, "balancer") as fleet:
        yield fleet, stub
    stub.close()


@pytest.mark.e2e
def test_a_trusted_proxy_is_believed_and_extended(behind_a_proxy: tuple[RunningFleet, StubNode]) -> None:
    """RFC 7239 section 8.1."""
    fleet, stub = behind_a_proxy
    with RawClient(fleet.port) as client:
        client.ask(
            get(b"X-Forwarded-For: 6.6.6.6, 7.7.7.7", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop.example")
        )
        client.ask(GET)
    told, plain = stub.seen
    assert told.field(b"x-forwarded-for") == b"6.6.6.6, 7.7.7.7, 127.0.0.1"
    assert told.field(b"x-forwarded-proto") == b"https"
    assert told.field(b"x-forwarded-host") == b"shop.example"
    assert plain.field(b"x-forwarded-for") == b"127.0.0.1"


# -- what is refused -------------------------------------------------------------------------------------------------

UNSENDABLE = {"a method of 70000 bytes"}  # refused at its first bytes; the rest meets a closed door


@pytest.mark.parametrize("raw", [REFUSED[name] for name in REFUSED], ids=list(REFUSED))
def test_malformed_requests_never_reach_a_node(stub_fleet: Stubs, raw: bytes) -> None:
    """RFC 9112 sections 2.2, 3, 5, 6, 7.1 and 11.2."""
    with stub_fleet.client() as client:
        client.send(raw + GET)
        reply = client.answer("GET")
        assert 400 <= reply.status <= 505
        assert reply.field("x-fairlead-reason")
        assert reply.field("connection") == "close"
        assert client.is_closed(), "whatever follows is not read as a request"
    # A head that was fine until its body went wrong may have been passed on; a whole request never.
    assert stub_fleet.seen == []
    with stub_fleet.client() as client:
        assert client.ask(GET).body == b"ok", "the next client gets its own answer"


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=list(ACCEPTED))
def test_legal_requests_do(stub_fleet: Stubs, raw: bytes) -> None:
    """RFC 9112 sections 3, 5, 6 and 7.1."""
    with stub_fleet.client() as client:
        client.send(raw)
        assert client.answer(raw.strip().split(b" ")[0].decode()).status == 200
    (request,) = stub_fleet.seen
    assert request.line.endswith(b" HTTP/1.1")
    assert len(request.all(b"host")) == 1


@pytest.mark.parametrize(
    "path", [b"/-/stats", b"/-/faults", b"/-/load?x", b"/-/", b"/-/nothing", b"http://a.example/-/stats"]
)
def test_a_nodes_own_paths_are_never_forwarded(stub_fleet: Stubs, path: bytes) -> None:
    with stub_fleet.client() as client:
        assert client.ask(get(line=b"GET " + path + b" HTTP/1.1")).status == 404
        assert client.ask(get(line=b"GET /-/health HTTP/1.1")).status == 200
    assert stub_fleet.seen == []


def test_a_body_for_our_own_paths_is_not_taken_for_a_request(stub_fleet: Stubs) -> None:
    with stub_fleet.client() as client:
        client.send(post(b"Content-Length: 500", line=b"POST /-/health HTTP/1.1"))
        reply = client.answer()
        assert reply.field("connection") == "close"
        assert client.is_closed()


def test_a_head_that_does_not_end_gets_408(stub_fleet: Stubs) -> None:
    """RFC 9110 section 15.5.9."""
    with stub_fleet.client() as client:
        begun = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(3):
            time.sleep(0.2)
            client.send(b"A: b\r\n")  # each byte is in time, the whole is not
        reply = client.answer()
        assert (reply.status, reply.field("x-fairlead-reason")) == (408, "head_timeout")
        assert time.monotonic() - begun == pytest.approx(SHORT["head_s"], abs=0.4)
        assert client.is_closed()


def test_a_body_that_stalls_gets_408_and_the_node_is_not_blamed(stub_fleet: Stubs) -> None:
    before = stub_fleet.fleet.snapshot()["nodes"]
    with stub_fleet.client() as client:
        client.send(post(b"Content-Length: 100", body=b"abc"))
        reply = client.answer()
        assert (reply.status, reply.field("x-fairlead-reason")) == (408, "body_timeout")
        assert client.is_closed()
    after = stub_fleet.fleet.snapshot()["nodes"]
    assert [node["errors"] for node in after] == [node["errors"] for node in before]


def test_an_upload_is_bound_by_the_whole_time_limit(stub_fleet: Stubs) -> None:
    with stub_fleet.client() as client:
        client.send(post(b"Content-Length: 100000"))
        begun = time.monotonic()
        while not select.select([client.sock], [], [], 0.2)[0]:  # each byte is in time, the whole is not
            client.send(b"a")
            assert time.monotonic() - begun < SHORT["whole_s"] + 3
        reply = client.answer()
        assert (reply.status, reply.field("x-fairlead-reason")) == (408, "body_timeout")


def test_a_body_over_the_limit_gets_413(stub_fleet: Stubs) -> None:
    with stub_fleet.client() as client:
        assert client.ask(post(b"Content-Length: 200000001")).status == 413
    assert stub_fleet.seen == []


@pytest.mark.parametrize(
    ("accept", "kind"), [(b"application/json", "application/json"), (b"text/html, */*", "text/plain; charset=utf-8")]
)
def test_errors_are_told_as_json_or_text(stub_fleet: Stubs, accept: bytes, kind: str) -> None:
    stub_fleet.behave(lambda connection: None)
    with stub_fleet.client() as client:
        reply = client.ask(get(b"Accept: " + accept, b"X-Request-Id: me-7"))
        assert (reply.status, reply.field("content-type"), reply.field("x-request-id")) == (502, kind, "me-7")
        assert reply.field("cache-control") == "no-store"
        if "json" in kind:
            told = json.loads(reply.body)
            assert told["status"] == 502
            assert told["error"] == reply.field("x-fairlead-reason")
            assert told["request_id"] == "me-7"
        else:
            assert b"me-7" in reply.body
        assert client.ask(GET).status == 502, "the connection goes on after an error of the node's"


def test_an_error_for_head_has_no_body(stub_fleet: Stubs) -> None:
    stub_fleet.behave(lambda connection: None)
    with stub_fleet.client() as client:
        assert client.ask(get(line=b"HEAD / HTTP/1.1")).status == 502
        assert client.ask(get(line=b"HEAD / HTTP/1.1")).status == 502


def test_the_access_log_tells_what_happened(stub_fleet: Stubs) -> None:
    with stub_fleet.client() as client:
        client.ask(post(b"X-Request-Id: log-1", b"Content-Length: 5", body=b"abcde", line=b'POST /a?"b HTTP/1.1'))
    line = stub_fleet.last_line()
    assert line.pop("at") == pytest.approx(time.time(), abs=10)
    assert 0 < line.pop("ms") < 5000
    assert line.pop("bytes_out") > 2
    assert line.pop("node") in ("s1", "s2")
    assert line == {
        "id": "log-1", "client": "127.0.0.1", "method": "POST", "target": '/a?"b', "status": 200, "why": "round_robin",
        "attempts": 1, "queued_ms": 0, "bytes_in": 5, "end": "ok",
    }  # fmt: skip


def test_a_cut_off_answer_is_seen_as_one_by_this_client(tmp_path: Path) -> None:
    """The client of these tests must not be fooled itself."""
    stub = StubNode("x")

    def cut(connection: StubConnection) -> None:
        connection.request()
        connection.send(OK + b"Content-Length: 10\r\n\r\nabc")

    stub.behave = cut
    with RawClient(stub.port) as client, pytest.raises(CutOff):
        client.ask(GET)
    stub.close()
