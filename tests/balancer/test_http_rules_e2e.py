"""Single rules of RFC 9110 and RFC 9112 for an intermediary, through a real balancer, that no other file looks at."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from tests.balancer.conftest import Stubs, external
from tests.balancer.requests_table import get, post
from tests.balancer.test_upgrade_e2e import UPGRADE
from tests.fleet import RunningFleet, fleet_config, running
from tests.raw_client import RawClient
from tests.stub_node import StubConnection, StubNode, answer, answering

GET = get()
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def test_an_answer_without_a_date_gets_one(stub_fleet: Stubs) -> None:
    """RFC 9110 section 6.6.1."""
    with stub_fleet.client() as client:
        date = client.ask(GET).field("date")
        assert date is not None
        assert parsedate_to_datetime(date).timestamp() == pytest.approx(time.time(), abs=5)


def test_a_nodes_own_date_stays(stub_fleet: Stubs) -> None:
    """RFC 9110 section 6.6.1."""
    stub_fleet.behave(answering(answer(b"ok", b"200 OK", b"date: Sun, 06 Nov 1994 08:49:37 GMT")))
    with stub_fleet.client() as client:
        assert client.ask(GET).field("date") == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_errors_of_our_own_have_a_date(stub_fleet: Stubs) -> None:
    """RFC 9110 section 6.6.1."""
    with stub_fleet.client() as client:
        assert client.ask(get(b"A B: c")).field("date")


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
def test_max_forwards_is_one_less_at_each_hop(stub_fleet: Stubs, method: bytes) -> None:
    """RFC 9110 section 7.6.2."""
    with stub_fleet.client() as client:
        assert client.ask(get(b"Max-Forwards: 3", line=method + b" /x HTTP/1.1")).status == 200
    assert stub_fleet.seen[0].field(b"max-forwards") == b"2"


def test_max_forwards_means_nothing_for_other_methods(stub_fleet: Stubs) -> None:
    """RFC 9110 section 7.6.2."""
    with stub_fleet.client() as client:
        assert client.ask(get(b"Max-Forwards: 0")).body == b"ok"
    assert stub_fleet.seen[0].field(b"max-forwards") == b"0"


def test_options_that_may_go_no_further_is_answered_here(stub_fleet: Stubs) -> None:
    """RFC 9110 sections 7.6.2 and 9.3.7."""
    with stub_fleet.client() as client:
        reply = client.ask(get(b"Max-Forwards: 0", line=b"OPTIONS * HTTP/1.1"))
        assert (reply.status, reply.body, reply.field("content-length")) == (200, b"", "0")
        assert client.ask(GET).status == 200, "the connection goes on"
    assert len(stub_fleet.seen) == 1


def test_trace_that_may_go_no_further_is_echoed_without_secrets(stub_fleet: Stubs) -> None:
    """RFC 9110 section 9.3.8."""
    with stub_fleet.client() as client:
        request = get(
            b"Max-Forwards: 0", b"A: b", b"Cookie: secret", b"Authorization: secret", line=b"TRACE /x HTTP/1.1"
        )
        reply = client.ask(request)
        assert (reply.status, reply.field("content-type")) == (200, "message/http")
        assert reply.body.startswith(b"TRACE /x HTTP/1.1\r\nHost: a.example\r\n")
        assert b"\r\nA: b\r\n" in reply.body
        assert b"secret" not in reply.body
    assert stub_fleet.seen == []


@pytest.mark.parametrize(
    ("target", "arrives"),
    [
        (b"*", b"*"),
        (b"/x", b"/x"),
        (b"http://a.example", b"*"),
        (b"http://a.example/", b"/"),
        (b"http://a.example?x", b"/?x"),
    ],
)
def test_options_about_the_server_and_about_a_path(stub_fleet: Stubs, target: bytes, arrives: bytes) -> None:
    """RFC 9112 section 3.2.4."""
    with stub_fleet.client() as client:
        assert client.ask(get(line=b"OPTIONS " + target + b" HTTP/1.1")).status == 200
    assert stub_fleet.seen[0].line == b"OPTIONS " + arrives + b" HTTP/1.1"


def test_via_names_the_version_that_was_received(stub_fleet: Stubs) -> None:
    """RFC 9110 section 7.6.3."""
    with stub_fleet.client() as client:
        client.ask(b"GET / HTTP/1.0\r\nVia: 1.1 old\r\n\r\n")
    assert stub_fleet.seen[0].field(b"via") == b"1.1 old, 1.0 fairlead"


def test_connect_is_refused(stub_fleet: Stubs) -> None:
    """RFC 9110 section 9.3.6: for a gateway there is nothing to connect to."""
    with stub_fleet.client() as client:
        assert client.ask(get(line=b"CONNECT a.example:443 HTTP/1.1")).status == 405


def test_a_named_field_is_dropped_even_when_it_is_one_that_we_extend(stub_fleet: Stubs) -> None:
    """RFC 9110 section 7.6.1."""
    with stub_fleet.client() as client:
        named = b"Connection: Via, X-Request-Id, traceparent, Cookie"
        client.ask(get(named, b"Via: 1.0 old", b"X-Request-Id: mine", b"Cookie: a=b", b"A: b"))
    (request,) = stub_fleet.seen
    assert request.field(b"via") == b"1.1 fairlead"
    assert request.field(b"x-request-id") != b"mine"
    assert request.field(b"cookie") is None
    assert request.field(b"a") == b"b"


@pytest.mark.parametrize(
    "name", [b"X-Forwarded-Ssl", b"X-Forwarded-Port", b"x-forwarded-prefix", b"X-Real-IP", b"Proxy"]
)
def test_what_a_stranger_claims_does_not_reach_a_node(stub_fleet: Stubs, name: bytes) -> None:
    """A WSGI or CGI program would believe it: gunicorn's secure_scheme_headers, HTTP_PROXY."""
    with stub_fleet.client() as client:
        client.ask(get(name + b": on"))
    assert stub_fleet.seen[0].field(name.lower()) is None


def test_a_head_that_the_client_does_not_finish_before_it_half_closes_gets_400(stub_fleet: Stubs) -> None:
    """RFC 9112 section 8."""
    with stub_fleet.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        client.sock.shutdown(1)
        reply = client.answer()
        assert (reply.status, reply.field("x-fairlead-reason")) == (400, "incomplete_head")


def test_an_empty_line_behind_a_body_begins_no_head(stub_fleet: Stubs) -> None:
    """RFC 9112 section 2.2: old clients send one."""
    with stub_fleet.client() as client:
        assert client.ask(post(b"Content-Length: 3", body=b"abc\r\n")).status == 200
        time.sleep(1.0)  # longer than head_s
        assert client.ask(GET).status == 200


@pytest.mark.parametrize("protocol", [b"h2c", b"", b"websocket2"])
def test_a_node_may_only_switch_to_the_protocol_that_was_asked_for(stub_fleet: Stubs, protocol: bytes) -> None:
    """RFC 9110 section 7.8."""
    stub_fleet.behave(answering(SWITCHING.replace(b"websocket", protocol)))
    with stub_fleet.client() as client:
        assert client.ask(UPGRADE).status == 502


def test_a_drained_node_keeps_its_tunnels_and_gets_no_new_ones(stub_fleet: Stubs) -> None:
    """A WebSocket is a request in flight: draining lets it end by itself."""

    def echoes(connection: StubConnection) -> None:
        connection.head()
        connection.send(SWITCHING)
        while data := connection.sock.recv(100):
            connection.send(data)

    stub_fleet.behave(echoes)
    fleet = stub_fleet.fleet
    with stub_fleet.client() as first, stub_fleet.client() as second, stub_fleet.client() as third:
        tunnels = [first, second, third]
        names = []
        try:
            for n, client in enumerate(tunnels):
                client.send(UPGRADE)
                _, status, fields = client.head()
                assert status == 101
                names.append(dict(fields)["X-Fairlead-Node"])
                if not n:
                    fleet.order(names[0], admin="draining")
                    fleet.until(lambda shot: not all(node["ready"] for node in shot["nodes"]))
                    time.sleep(0.25)  # the workers look ten times a second
            assert names[0] not in names[1:]
            for client in tunnels:
                client.send(b"still there?")
                assert client.sock.recv(100) == b"still there?"
            assert fleet.nodes()[names[0]]["in_flight"] == 1
        finally:
            fleet.order(names[0], admin="enabled")
    fleet.idle()


@pytest.fixture(scope="module")
def with_limit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """A balancer whose clients may have three connections each."""
    stub = StubNode("s1")
    config = fleet_config([external(stub)], workers=1, limits={"connections_per_client": 3})
    with running(tmp_path_factory.mktemp("limited"), config, "balancer") as fleet:
        yield fleet
    stub.close()


@pytest.mark.e2e
def test_a_client_has_so_many_connections_and_no_more(with_limit: RunningFleet) -> None:
    """RFC 6585 section 4. One that is closed makes room for another."""
    clients = [RawClient(with_limit.port) for _ in range(3)]
    try:
        assert [client.ask(GET).status for client in clients] == [200, 200, 200]
        with RawClient(with_limit.port) as fourth:
            reply = fourth.answer()
            assert (reply.status, reply.field("x-fairlead-reason")) == (429, "too_many_connections")
            assert fourth.is_closed()
        assert clients[0].ask(GET).status == 200
        clients[1].sock.close()
        ends = time.monotonic() + 5
        while True:
            with RawClient(with_limit.port) as again:
                if again.ask(GET).status == 200:
                    break
            assert time.monotonic() < ends
            time.sleep(0.02)
    finally:
        for client in clients:
            client.sock.close()
