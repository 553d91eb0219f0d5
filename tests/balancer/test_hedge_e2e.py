"""A request whose node is late is sent to a second one; the answer that begins first is used."""

import threading
from collections.abc import Callable

import pytest

from tests.balancer.conftest import Stubs
from tests.stub_node import StubConnection, answer

pytestmark = pytest.mark.e2e

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
PUT = b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
WITHIN_S = 10.0

Part = Callable[["Play", StubConnection], None]


class Play:
    """The first node that is asked plays one part, the next another, whichever they are."""

    def __init__(self, stubs: Stubs, *parts: Part) -> None:
        self._parts = list(parts)
        self._asked = 0
        self._lock = threading.Lock()
        self.second_asked = threading.Event()
        self.first_gone = threading.Event()
        self.second_gone = threading.Event()
        stubs.behave(self._behave)

    def _behave(self, connection: StubConnection) -> None:
        while (request := connection.request()) is not None and request.line.startswith(b"GET /before"):
            connection.send(answer())
        if request is None:
            return
        with self._lock:
            part = self._parts.pop(0)
            self._asked += 1
            if self._asked == 2:
                self.second_asked.set()
        part(self, connection)


def says(body: bytes) -> Part:
    return lambda play, connection: connection.send(answer(body))


def says_when_both_are_asked(body: bytes) -> Part:
    def part(play: Play, connection: StubConnection) -> None:
        assert play.second_asked.wait(WITHIN_S)
        connection.send(answer(body))

    return part


def first_is_silent(play: Play, connection: StubConnection) -> None:
    if connection.gone():
        play.first_gone.set()


def second_is_silent(play: Play, connection: StubConnection) -> None:
    if connection.gone():
        play.second_gone.set()


def first_closes_when_both_are_asked(play: Play, connection: StubConnection) -> None:
    assert play.second_asked.wait(WITHIN_S)
    connection.sock.close()
    play.first_gone.set()


def says_when_first_is_gone(play: Play, connection: StubConnection) -> None:
    assert play.first_gone.wait(WITHIN_S)
    connection.send(answer(b"second"))


def resets(play: Play, connection: StubConnection) -> None:
    connection.reset()
    play.second_gone.set()


def says_when_second_is_gone(play: Play, connection: StubConnection) -> None:
    assert play.second_gone.wait(WITHIN_S)
    connection.send(answer(b"first"))


def late(play: Play, connection: StubConnection) -> None:
    play.second_asked.wait(1.0)  # five times as long as it takes until a second is asked
    connection.send(answer(b"first"))


@pytest.mark.parametrize("request_", [GET, PUT], ids=["get", "put"])
def test_the_second_answers_when_the_first_is_silent(stubs: Stubs, request_: bytes) -> None:
    retries = stubs.fleet.idle()["totals"]["retries"]
    play = Play(stubs, first_is_silent, says(b"second"))
    with stubs.client() as client:
        assert client.ask(request_).body == b"second"
        assert play.first_gone.wait(WITHIN_S), "the first is told to stop"
        one, other = stubs.seen
        assert one.field(b"x-request-id") == other.field(b"x-request-id")
        assert one.body == other.body
        line = stubs.last_line()
        assert (line["attempts"], line["status"], line["end"]) == (2, 200, "ok")
        assert stubs.fleet.idle()["totals"]["retries"] == retries + 1
        stubs.behave(lambda connection: connection.send(answer()) if connection.request() else None)
        assert client.ask(GET).status == 200, "the client's connection goes on"


def test_the_first_is_used_when_it_is_faster_after_all(stubs: Stubs) -> None:
    play = Play(stubs, says_when_both_are_asked(b"first"), second_is_silent)
    with stubs.client() as client:
        assert client.ask(GET).body == b"first"
        assert play.second_gone.wait(WITHIN_S), "the second is told to stop"


def test_a_first_that_gives_up_leaves_it_to_the_second(stubs: Stubs) -> None:
    Play(stubs, first_closes_when_both_are_asked, says_when_first_is_gone)
    with stubs.client() as client:
        assert client.ask(GET).body == b"second"


def test_a_second_that_fails_changes_nothing(stubs: Stubs) -> None:
    Play(stubs, says_when_second_is_gone, resets)
    with stubs.client() as client:
        assert client.ask(GET).body == b"first"


def test_a_client_that_leaves_ends_both(stubs: Stubs) -> None:
    play = Play(stubs, first_is_silent, second_is_silent)
    with stubs.client() as client:
        client.send(GET)
        assert play.second_asked.wait(WITHIN_S)
        client.reset()
    assert play.first_gone.wait(WITHIN_S)
    assert play.second_gone.wait(WITHIN_S)


def test_what_may_not_be_done_twice_is_not(stubs: Stubs) -> None:
    """RFC 9110 section 9.2.2."""
    play = Play(stubs, late, says(b"second"))
    with stubs.client() as client:
        assert client.ask(POST, "POST").body == b"first"
    assert not play.second_asked.is_set()
    assert len(stubs.seen) == 1
