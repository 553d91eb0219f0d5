"""A hedge where something breaks: it may save a request, and never costs one that would do without it."""

import threading
from collections.abc import Iterator

import pytest

from tests.balancer.conftest import HEDGING, Stubs, fresh, two_stubs
from tests.balancer.test_hedge_e2e import (
    GET,
    POST,
    WITHIN_S,
    Play,
    first_is_silent,
    late,
    says,
    says_when_both_are_asked,
    second_is_silent,
)
from tests.stub_node import StubConnection, answer, answering

pytestmark = pytest.mark.e2e

BEFORE = b"GET /before HTTP/1.1\r\nHost: h\r\n\r\n"
CUT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Le"
GARBAGE = b"SSH-2.0-OpenSSH_9.6\r\n"


def errors(stubs: Stubs) -> int:
    return sum(node["errors"] for node in stubs.fleet.idle()["nodes"])


def test_a_client_that_leaves_ends_the_second_when_the_first_has_ended(stubs: Stubs) -> None:
    first_closed = threading.Event()

    def closes(play: Play, connection: StubConnection) -> None:
        assert play.second_asked.wait(WITHIN_S)
        connection.sock.close()
        first_closed.set()

    play = Play(stubs, closes, second_is_silent)
    with stubs.client() as client:
        client.send(GET)
        assert first_closed.wait(WITHIN_S)
        client.reset()
    assert play.second_gone.wait(WITHIN_S)


@pytest.mark.parametrize("said", [GARBAGE, CUT_HEAD], ids=["garbage", "cut"])
def test_a_first_that_answers_badly_leaves_it_to_the_second(stubs: Stubs, said: bytes) -> None:
    before = errors(stubs)

    def badly(play: Play, connection: StubConnection) -> None:
        assert play.second_asked.wait(WITHIN_S)
        connection.send(said)
        connection.sock.close()
        play.first_gone.set()

    def well(play: Play, connection: StubConnection) -> None:
        assert play.first_gone.wait(WITHIN_S)
        connection.send(answer(b"second"))

    Play(stubs, badly, well)
    with stubs.client() as client:
        assert client.ask(GET).body == b"second"
    counted = errors(stubs) - before
    assert counted == 1 or (counted == 0 and said is CUT_HEAD)  # the second may be heard before the first's end
    assert len(stubs.seen) == 2


@pytest.mark.parametrize("said", [GARBAGE, CUT_HEAD, b""], ids=["garbage", "cut", "nothing"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_second_that_answers_badly_changes_nothing(stubs: Stubs, said: bytes, kept: bool) -> None:
    before = errors(stubs)

    def badly(play: Play, connection: StubConnection) -> None:
        connection.send(said)
        connection.sock.close()
        play.second_gone.set()

    def well(play: Play, connection: StubConnection) -> None:
        assert play.second_gone.wait(WITHIN_S)
        connection.send(answer(b"first"))

    Play(stubs, well, badly)
    with stubs.client() as client:
        for _ in stubs.nodes if kept else []:  # of which each has a kept connection then
            client.ask(BEFORE)
        got = client.ask(GET)
    assert got.body == b"first"
    line = stubs.last_line()
    assert (line["node"], line["end"]) == (got.field("x-fairlead-node"), "ok")
    assert errors(stubs) == before + 1
    assert sum(request.line.startswith(b"GET /x") for request in stubs.seen) == 2


SHAPES: dict[str, tuple[bytes, bytes, bytes]] = {
    "head": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b""),
    "not-modified": (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", b""),
    "chunked": (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n", b"second"),
    "closes": (b"GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecond", b"second"),
    "until-close": (b"GET", b"HTTP/1.1 200 OK\r\n\r\nsecond", b"second"),
    "hint": (b"GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"second"), b"second"),
}


@pytest.mark.parametrize(("method", "raw", "body"), SHAPES.values(), ids=list(SHAPES))
def test_a_second_may_answer_in_every_shape(stubs: Stubs, method: bytes, raw: bytes, body: bytes) -> None:
    def in_two_parts(play: Play, connection: StubConnection) -> None:
        connection.send(raw[:20])
        connection.send(raw[20:])

    play = Play(stubs, first_is_silent, in_two_parts)
    with stubs.client() as client:
        got = client.ask(method + GET[3:])
        assert (got.body, got.informational) == (body, [103] if b" 103 " in raw else [])
        assert play.first_gone.wait(WITHIN_S), "the first is told to stop"
        stubs.behave(answering(answer()))
        assert client.ask(GET).body == b"ok", "the client's connection goes on"


def test_answers_in_the_same_instant(stubs: Stubs) -> None:
    """Whichever is used: one answer a request, and no request is worked on more than twice."""
    before = stubs.fleet.idle()["totals"]
    with stubs.client() as client:
        for _ in range(20):
            stubs.s1.seen.clear(), stubs.s2.seen.clear()
            Play(stubs, says_when_both_are_asked(b"one"), says(b"two"))
            assert client.ask(GET).body in (b"one", b"two")
            assert len(stubs.seen) == 2
    after = stubs.fleet.idle()["totals"]
    assert (after["requests"], after["retries"]) == (before["requests"] + 20, before["retries"] + 20)
    assert errors(stubs) == sum(node["errors"] for node in stubs.fleet.snapshot()["nodes"])


def test_both_die_and_the_third_attempt_is_the_last(stubs: Stubs) -> None:
    """`attempts` bounds executions, hedges included."""

    def dies(play: Play, connection: StubConnection) -> None:
        if play.second_asked.wait(WITHIN_S):
            connection.reset()

    play = Play(stubs, dies, dies, dies)
    with stubs.client() as client:
        got = client.ask(GET)
    assert (got.status, got.field("x-fairlead-reason")) == (502, "reset")
    assert play.second_asked.is_set()
    assert len(stubs.seen) == 3
    assert stubs.last_line()["attempts"] == 3


@pytest.fixture(scope="module")
def bound_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    """Sticky, one request at a time a node, hedging soon."""
    with two_stubs(tmp_path_factory.mktemp("bound"), {"max_in_flight": 1}, **HEDGING, sticky={}) as stubs:
        yield stubs


@pytest.fixture
def bound(bound_processes: Stubs) -> Iterator[Stubs]:
    with fresh(bound_processes) as stubs:
        yield stubs


def test_what_its_cookie_binds_to_a_node_is_not_asked_elsewhere(bound: Stubs) -> None:
    with bound.client() as client:
        play = Play(bound, late, says(b"second"))
        got = client.ask(BEFORE)
        cookie = (got.field("set-cookie") or "").partition(";")[0].encode()
        again = client.ask(GET[:-2] + b"Cookie: " + cookie + b"\r\n\r\n")
    assert again.body == b"first"
    assert again.field("x-fairlead-node") == got.field("x-fairlead-node")
    assert not again.all("set-cookie")
    assert not play.second_asked.is_set()


def test_a_node_that_has_all_it_may_is_not_asked_and_the_budget_not_touched(bound: Stubs) -> None:
    retries = bound.fleet.idle()["totals"]["retries"]
    first_answered = threading.Event()

    def holds(play: Play, connection: StubConnection) -> None:
        first_answered.wait(WITHIN_S)
        connection.send(answer(b"held"))

    play = Play(bound, holds, late)
    with bound.client() as holding, bound.client() as client:
        holding.send(POST)
        bound.fleet.until(lambda shot: sum(node["in_flight"] for node in shot["nodes"]) == 1)
        assert client.ask(GET).body == b"first"
        first_answered.set()
        assert holding.answer("POST").body == b"held"
    assert len(bound.seen) == 2
    assert play.second_asked.is_set()
    assert bound.fleet.idle()["totals"]["retries"] == retries
