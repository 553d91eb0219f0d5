"""Nodes that fail, as clients see it: 502, 504 or a visible cut; never raw bytes, never another client's answer."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.balancer.answers_table import BAD, GOOD
from tests.balancer.conftest import SHORT, Stubs, external
from tests.balancer.requests_table import get, post
from tests.fleet import RunningFleet, fleet_config, running
from tests.raw_client import CutOff, RawClient
from tests.stub_node import Behaviour, StubConnection, StubNode, answer, answering

GET, POST = get(), post(b"Content-Length: 5", body=b"abcde")
OK = b"HTTP/1.1 200 OK\r\n"


def closes(connection: StubConnection) -> None:
    connection.request()


def resets(connection: StubConnection) -> None:
    connection.request()
    connection.reset()


def hangs(connection: StubConnection) -> None:
    connection.request()
    connection.gone()


def dribbles_a_head(connection: StubConnection) -> None:
    connection.request()
    connection.send(OK)
    for n in range(50):
        time.sleep(0.1)
        connection.send(b"A%d: b\r\n" % n)


def sends_a_head_without_end(connection: StubConnection) -> None:
    connection.request()
    for n in range(400):
        connection.send(b"A%d: " % n + b"b" * 5000 + b"\r\n" if n else OK)


FAULTS = {
    "closes": (closes, 502, "closed"),
    "resets": (resets, 502, "reset"),
    "hangs": (hangs, 504, "first_byte_timeout"),
    "dribbles a head": (dribbles_a_head, 504, "first_byte_timeout"),
    "sends a head without end": (sends_a_head_without_end, 502, "head_too_large"),
}


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize(("behaviour", "status", "reason"), FAULTS.values(), ids=list(FAULTS))
def test_when_every_node_fails(
    stub_fleet: Stubs, behaviour: Behaviour, status: int, reason: str, request_: bytes
) -> None:
    """RFC 9110 section 9.2.2."""
    stub_fleet.behave(behaviour)
    with stub_fleet.client() as client:
        reply = client.ask(request_)
        assert (reply.status, reply.field("x-fairlead-reason")) in ((status, reason), (502, "reset"))
        assert len(stub_fleet.seen) <= (3 if request_ is GET else 1), "a POST that was sent is not sent again"
        for node in stub_fleet.nodes:
            node.behave = answering(answer())
        assert client.ask(GET).body == b"ok", "the client's connection goes on"


@pytest.mark.parametrize("raw", BAD.values(), ids=list(BAD))
def test_what_is_not_http_is_never_passed_on(stub_fleet: Stubs, raw: bytes) -> None:
    """RFC 9112 sections 4, 5 and 6; RFC 9110 section 15.6.3."""

    def lies(connection: StubConnection) -> None:
        connection.request()
        connection.send(raw)

    stub_fleet.behave(lies)
    with stub_fleet.client() as client:
        client.send(POST)
        try:
            reply = client.answer("POST")
        except CutOff:
            reply = None  # the head was fine, the body was not: visibly cut
        assert reply is None or (reply.status, reply.field("x-fairlead-node")) == (502, None)
    stub_fleet.behave(answering(answer()))
    with stub_fleet.client() as client:
        assert client.ask(GET).body == b"ok"


WHOLE = {name: good for name, good in GOOD.items() if good[2] or "until close" in name}


@pytest.mark.parametrize(("raw", "body", "complete"), WHOLE.values(), ids=list(WHOLE))
def test_legal_answers_are_passed_on(stub_fleet: Stubs, raw: bytes, body: bytes, complete: bool) -> None:
    """RFC 9112 sections 4, 5 and 6."""

    def says(connection: StubConnection) -> None:
        connection.request()
        connection.send(raw)

    stub_fleet.behave(says)
    with stub_fleet.client() as client:
        reply = client.ask(GET)
        assert reply.body == body
        assert reply.field("x-fairlead-node") in ("s1", "s2")
        assert reply.field("x-fairlead-reason") is None


def cut(*raw: bytes, reset: bool = False) -> Behaviour:
    """Send these, a moment apart, and break off."""

    def behave(connection: StubConnection) -> None:
        connection.request()
        for piece in raw:
            connection.send(piece)
            time.sleep(0.05)
        if reset:
            connection.reset()

    return behave


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("request_", "raw"),
    [
        (POST, (OK + b"Content-Length: 100\r\n\r\nabc",)),
        (GET, (OK + b"Content-Length: 200000\r\n\r\n" + b"a" * 100_000,)),
        (GET, (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",)),
        (GET, (OK + b"Transfer-Encoding: chunked\r\n\r\n64\r\nabc",)),
        (GET, (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"nonsense\r\n")),
    ],
    ids=["counted", "counted and long", "between chunks", "in a chunk", "garbage for a chunk"],
)
def test_a_cut_off_answer_looks_cut_off(
    stub_fleet: Stubs, request_: bytes, raw: tuple[bytes, ...], reset: bool
) -> None:
    """RFC 9112 section 8."""
    stub_fleet.behave(cut(*raw, reset=reset))
    with stub_fleet.client() as client, pytest.raises((CutOff, ConnectionResetError)):
        client.ask(request_)
    assert len(stub_fleet.seen) == 1, "the client has part of it: no retry"
    assert stub_fleet.last_line()["end"] in ("cut_off", "not_http")


def breaks_off(connection: StubConnection) -> None:
    connection.request()
    connection.send(OK + b"Content-Length: 100\r\n\r\nabc")


def breaks_off_hard(connection: StubConnection) -> None:
    breaks_off(connection)
    connection.reset()


@pytest.mark.parametrize("first", [breaks_off, breaks_off_hard], ids=lambda behaviour: behaviour.__name__)
def test_a_short_answer_that_breaks_off_is_asked_for_elsewhere(stub_fleet: Stubs, first: Behaviour) -> None:
    stub_fleet.s1.behave = first
    with stub_fleet.client() as client:
        for _ in range(2):
            reply = client.ask(GET)
            assert (reply.status, reply.body, reply.field("x-fairlead-node")) == (200, b"ok", "s2")
    assert stub_fleet.s1.seen, "nobody broke it off"
    assert len(stub_fleet.s2.seen) == 2


def test_when_every_node_breaks_it_off_the_client_gets_none_of_it(stub_fleet: Stubs) -> None:
    stub_fleet.behave(breaks_off)
    with stub_fleet.client() as client:
        reply = client.ask(GET)
    assert (reply.status, reply.field("x-fairlead-reason")) == (502, "cut_off")


def test_a_short_answer_whose_end_comes_late_is_not_held_up(stub_fleet: Stubs) -> None:
    def comes_late(connection: StubConnection) -> None:
        while connection.request():
            connection.send(OK + b"Content-Length: 6\r\n\r\nabc")
            time.sleep(0.6)
            connection.send(b"def")

    stub_fleet.behave(comes_late)
    with stub_fleet.client() as client:
        for _ in range(2):
            client.send(GET)
            begun = time.monotonic()
            assert client.head()[1] == 200
            assert time.monotonic() - begun < 0.5, "the head waited for the end of the body"
            while len(client.buffer) < 6:
                client.buffer += client.sock.recv(6)
            assert client.buffer == b"abcdef"
            client.buffer = b""


def test_a_cut_off_answer_looks_cut_off_to_an_old_client_too(stub_fleet: Stubs) -> None:
    """RFC 9112 section 8."""
    stub_fleet.behave(cut(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"))
    with stub_fleet.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.head()[1] == 200
        assert client.sock.recv(10) if not client.buffer else client.buffer
        with pytest.raises(ConnectionResetError):  # an orderly end would say: this was all
            client.sock.recv(65536)


def test_a_body_that_stalls_is_cut_off(stub_fleet: Stubs) -> None:
    def stalls(connection: StubConnection) -> None:
        connection.request()
        connection.send(OK + b"Content-Length: 100\r\n\r\nabc")
        assert connection.gone(5)

    stub_fleet.behave(stalls)
    with stub_fleet.client() as client, pytest.raises((CutOff, ConnectionResetError)):
        client.ask(GET)
    assert stub_fleet.last_line()["end"] == "idle_timeout"


@pytest.mark.parametrize("first", [closes, resets, hangs, dribbles_a_head], ids=lambda behaviour: behaviour.__name__)
def test_a_get_is_answered_by_the_other_node(stub_fleet: Stubs, first: Behaviour) -> None:
    stub_fleet.s1.behave = first
    with stub_fleet.client() as client:
        for _ in range(2):  # round robin: one of the two meets s1 first
            reply = client.ask(GET)
            assert (reply.status, reply.field("x-fairlead-node")) == (200, "s2")
    assert len(stub_fleet.s2.seen) == 2


def test_a_put_with_its_body_too(stub_fleet: Stubs) -> None:
    stub_fleet.s1.behave = closes
    body = b"x" * 50_000
    with stub_fleet.client() as client:
        for _ in range(2):
            client.send(post(b"Content-Length: 50000", line=b"PUT /x HTTP/1.1"))
            client.slowly(body, 3, 0.02)
            assert client.answer("PUT").field("x-fairlead-node") == "s2"
    assert [request.body for request in stub_fleet.s2.seen] == [body] * 2


def test_a_body_too_large_to_be_kept_is_not_sent_again(stub_fleet: Stubs) -> None:
    stub_fleet.behave(closes)
    with stub_fleet.client() as client:
        reply = client.ask(post(b"Content-Length: 300000", body=b"x" * 300_000, line=b"PUT /x HTTP/1.1"))
        assert reply.status == 502
    assert len(stub_fleet.seen) == 1


def test_a_second_answer_that_nobody_asked_for_is_nobodys_answer(stub_fleet: Stubs) -> None:
    """Whether it comes at once, later, or behind a long body: the next client gets its own. RFC 9112 section 9.2."""
    big = 150_000

    def poisons(connection: StubConnection) -> None:
        while request := connection.request():
            own = request.field(b"x-own") or b""
            poison = answer(b"POISON")
            if request.line.startswith(b"GET /at-once"):
                connection.send(answer(own) + poison)
            elif request.line.startswith(b"GET /later"):
                connection.send(answer(own))
                time.sleep(0.03)
                connection.send(poison)
            else:
                connection.send(answer(own.ljust(big, b".")))
                connection.send(poison * 3000)

    stub_fleet.behave(poisons)
    for path in (b"/at-once", b"/later", b"/behind-a-long-body") * 3:
        for n in range(3):
            own = b"%d" % n
            with stub_fleet.client() as client:
                reply = client.ask(get(b"X-Own: " + own, line=b"GET " + path + b" HTTP/1.1"))
                assert reply.body.rstrip(b".") == own, (path, reply.body[:50])
            time.sleep(0.04)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_nobody_switches_protocols_unasked(stub_fleet: Stubs, raw: bytes) -> None:
    stub_fleet.behave(cut(raw))
    with stub_fleet.client() as client:
        assert client.ask(GET).status == 502


# -- clients that go away --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset before the answer", "close in mid-download", "reset in mid-upload"])
def test_a_client_that_goes_away_frees_the_slot_and_the_node(stub_fleet: Stubs, how: str) -> None:
    gone: list[bool] = []

    def works(connection: StubConnection) -> None:
        connection.head()
        if how == "close in mid-download":
            connection.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(300):
                    connection.send(b"1\r\nx\r\n")
                    time.sleep(0.01)
            except OSError:
                gone.append(True)
        else:
            gone.append(connection.gone(0.7))  # sooner than any time limit

    stub_fleet.behave(works)
    before = stub_fleet.fleet.snapshot()
    with stub_fleet.client() as client:
        client.send(post(b"Content-Length: 100000", body=b"a" * 1000) if how == "reset in mid-upload" else GET)
        if how == "close in mid-download":
            client.head()
            client.chunk()
            client.sock.close()
        else:
            stub_fleet.fleet.until(lambda shot: shot["totals"]["in_flight"] == 1)
            client.reset()
    after = stub_fleet.fleet.idle(within_s=0.7)
    for _ in range(100):
        if gone:
            break
        time.sleep(0.02)
    assert gone == [True], "the node is told: it need not work for nobody"
    assert after["totals"]["aborted"] == before["totals"]["aborted"] + 1
    assert [n["errors"] for n in after["nodes"]] == [n["errors"] for n in before["nodes"]], "no node is blamed"
    assert after["totals"]["connections"] == 0


# -- stale connections, refusals, ejection, nobody ready: a balancer of their own ------------------------------------


def test_a_node_that_closes_right_after_answering_fails_nobody(stub_fleet: Stubs) -> None:
    """0-4 ms after each answer: the kept connection dies before, while or after it is used again.

    RFC 9112 section 9.3.1.
    """

    def stale(connection: StubConnection) -> None:
        if connection.request():
            connection.send(answer())
            time.sleep(connection.number % 5 / 1000)

    stub_fleet.behave(stale)
    before = stub_fleet.fleet.snapshot()
    statuses: list[int] = []

    def client_of(n: int) -> None:
        with stub_fleet.client() as client:
            for i in range(150):
                statuses.append(client.ask(POST if (n + i) % 3 == 0 else GET).status)

    threads = [threading.Thread(target=client_of, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 600
    after = stub_fleet.fleet.snapshot()
    assert [n["errors"] for n in after["nodes"]] == [n["errors"] for n in before["nodes"]]
    assert all(node["ready"] for node in after["nodes"])
    assert len(stub_fleet.seen) == len({id(request) for request in stub_fleet.seen}) >= 600


@pytest.fixture(scope="module")
def ejecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningFleet, list[StubNode]]]:
    """Three stubs, ejection after 2 failures in a row for 1 s."""
    stubs = [StubNode(f"s{n}") for n in (1, 2, 3)]
    config = fleet_config(
        [external(stub) for stub in stubs],
        workers=1,
        timeouts=SHORT,
        health={"ejection": {"consecutive_failures": 2, "base_s": 1, "max_share": 0.4}},
    )
    with running(tmp_path_factory.mktemp("ejecting"), config) as fleet:
        yield fleet, stubs
    for stub in stubs:
        stub.close()


@pytest.mark.e2e
def test_an_operator_ends_an_ejection(ejecting: tuple[RunningFleet, list[StubNode]]) -> None:
    fleet, (_, _, third) = ejecting
    third.behave = closes
    with RawClient(fleet.port) as client:
        for _ in range(12):
            client.ask(GET)
        assert fleet.nodes()["s3"]["state"] == "ejected"
        third.behave = answering(answer())
        assert fleet.order("s3", admin="enabled")["state"] == "unknown"
        fleet.event("s3 is enabled: its ejection is over")
    for stub in ejecting[1]:
        stub.forget()


@pytest.mark.e2e
def test_a_node_that_refuses_is_ejected_and_comes_back_and_no_request_is_lost(
    ejecting: tuple[RunningFleet, list[StubNode]],
) -> None:
    fleet, (first, second, third) = ejecting
    first.close()
    with RawClient(fleet.port) as client:
        for n in range(12):
            assert client.ask(POST if n % 2 else GET).status == 200, "nothing was sent, so a POST may go elsewhere"
        view = fleet.nodes()["s1"]
        assert (view["state"], view["cause"], view["ready"]) == ("ejected", "refused", False)
        assert 0 < view["ejected_for_s"] <= 1
        errors = view["errors"]
        assert errors == 2, "two failures, then it was left alone"
        assert len(second.seen) + len(third.seen) == 12

        again = StubNode("s1", port=first.port)
        try:
            fleet.until(lambda shot: shot["nodes"][0]["state"] == "unknown", within_s=3)
            for _ in range(30):  # the workers look ten times a second
                assert client.ask(GET).status == 200
                if again.seen:
                    break
                time.sleep(0.02)
            assert again.seen
        finally:
            again.close()
    fleet.event("s1 is ejected for 1 s", "refused")
    fleet.event("s1 is back")


@pytest.mark.e2e
def test_nobody_ready_is_503_with_a_time_to_come_back_and_a_reason(
    ejecting: tuple[RunningFleet, list[StubNode]],
) -> None:
    """RFC 9110 sections 10.2.3 and 15.6.4."""
    fleet, _ = ejecting
    for name in ("s1", "s2", "s3"):
        fleet.order(name, admin="maintenance")
    with RawClient(fleet.port) as client:
        begun = time.monotonic()
        reply = client.ask(get(b"Accept: application/json"))
        assert time.monotonic() - begun == pytest.approx(SHORT["no_node_s"], abs=0.25)
        assert (reply.status, reply.field("retry-after")) == (503, "1")
        assert reply.field("x-fairlead-reason") == "no_ready_node"
        assert b"s1 maintenance" in reply.body
        # A node that is back within `no_node_s` is used: the request waits for it.
        timer = threading.Timer(0.1, fleet.order, args=("s2",), kwargs={"admin": "enabled"})
        timer.start()
        assert client.ask(GET).field("x-fairlead-node") == "s2"
        timer.join()
    for name in ("s1", "s2", "s3"):
        fleet.order(name, admin="enabled")
