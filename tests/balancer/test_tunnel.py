"""The tunnel alone, on sockets in one process: however a side goes away, it ends, and at once."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

import gevent
import pytest

from balancer.stream import Stream, Waits
from balancer.tunnel import tunnel


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one TCP connection (a socketpair knows no reset)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    near.setblocking(False)
    far.settimeout(5)
    return near, far


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Ends:
    """The balancer's two streams, and the far ends of both: the client's and the node's."""

    def __init__(self) -> None:
        self.waits = Waits()
        near_client, self.client = tcp_pair()
        near_node, self.node = tcp_pair()
        self.streams = (Stream(near_client, self.waits), Stream(near_node, self.waits))

    def run(self, first: bytes = b"", idle_s: float = 3600) -> tuple[int, int]:
        with gevent.Timeout(3):
            return tunnel(*self.streams, first, idle_s)

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        for sock in (self.client, self.node):
            with suppress(OSError):
                sock.close()
        self.waits.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


@pytest.mark.parametrize("who", ["client", "node"])
def test_a_side_that_is_gone_before_it_begins(ends: Ends, who: str) -> None:
    reset(getattr(ends, who))
    time.sleep(0.02)
    assert ends.run() == (0, 0)


@pytest.mark.parametrize("who", ["client", "node"])
def test_a_side_that_breaks_off_in_the_middle(ends: Ends, who: str) -> None:
    gevent.spawn_later(0.05, reset, getattr(ends, who))
    begun = time.monotonic()
    ends.run()
    assert time.monotonic() - begun < 0.5


@pytest.mark.parametrize("who", ["client", "node"])
def test_a_side_that_breaks_off_while_the_other_does_not_read(ends: Ends, who: str) -> None:
    """Both directions wait then: one to read, one to write on the same stream."""
    ends.client.setblocking(False)
    ends.node.setblocking(False)
    for sock in (ends.client, ends.node):
        with suppress(BlockingIOError):
            while True:
                sock.send(b"x" * 65536)

    def break_off() -> None:
        reset(getattr(ends, who))

    gevent.spawn_later(0.1, break_off)
    begun = time.monotonic()
    ends.run()
    assert time.monotonic() - begun < 1


def test_an_orderly_end_is_passed_on_and_the_other_way_goes_on(ends: Ends) -> None:
    ends.client.sendall(b"question")
    ends.client.shutdown(socket.SHUT_WR)

    def answer() -> None:
        ends.node.setblocking(True)
        got = b""
        while data := ends.node.recv(100):
            got += data
        ends.node.sendall(b"answer to " + got)
        ends.node.close()

    gevent.get_hub().threadpool.spawn(answer)
    assert ends.run(b"first ") == (len(b"first question"), len(b"answer to first question"))
    assert ends.client.recv(100) == b"answer to first question"
    assert ends.client.recv(100) == b""


def test_silence_ends_it(ends: Ends) -> None:
    begun = time.monotonic()
    ends.run(idle_s=0.3)
    assert 0.25 < time.monotonic() - begun < 1


def test_traffic_one_way_keeps_it(ends: Ends) -> None:
    def talk() -> None:
        for _ in range(6):
            ends.node.sendall(b"tick")
            gevent.sleep(0.15)
        ends.node.close()
        ends.client.close()

    gevent.spawn(talk)
    assert ends.run(idle_s=0.4) == (0, len(b"tick") * 6)
