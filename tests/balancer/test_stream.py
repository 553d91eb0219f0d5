"""One stream alone: who waits on it, for how long, and what ends the wait. The balancer's ends are `near`."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import gevent
import pytest

from balancer.stream import PeerReset, Stream, TimedOut, Waits
from tests.balancer.test_tunnel import reset, tcp_pair

MUCH = b"x" * 20_000_000  # more than any socket takes


class Pair:
    """A stream and the plain socket at its other end."""

    def __init__(self) -> None:
        self.waits = Waits()
        near, self.far = tcp_pair()
        self.near = Stream(near, self.waits)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    with gevent.Timeout(5):
        yield made
    made.near.close()
    made.far.close()
    made.waits.close()


def what_ends(call: object, *arguments: object) -> object:
    """What a wait raised or returned."""
    assert callable(call)
    try:
        return call(*arguments)
    except TimedOut as ended:
        return type(ended)


def test_who_reads_and_who_writes_have_a_limit_each(pair: Pair) -> None:
    reading = gevent.spawn(what_ends, pair.near.recv, 5.0)
    writing = gevent.spawn(what_ends, pair.near.send, MUCH, 0.2)
    assert writing.get() is TimedOut
    assert not reading.dead, "its own limit is longer"
    pair.far.sendall(b"at last")
    assert reading.get() == b"at last"


def test_a_reader_that_has_gone_on_leaves_the_writer_its_limit(pair: Pair) -> None:
    writing = gevent.spawn(what_ends, pair.near.send, MUCH, 0.4)
    reading = gevent.spawn(what_ends, pair.near.recv, 5.0)
    gevent.sleep(0.05)
    pair.far.sendall(b"now")
    assert reading.get() == b"now"
    assert writing.get() is TimedOut


def test_sending_stops_when_the_other_side_speaks_instead_of_reading(pair: Pair) -> None:
    gevent.spawn_later(0.1, pair.far.sendall, b"enough")
    sent = pair.near.send_until_heard(memoryview(MUCH), 5.0)
    assert 0 < sent < len(MUCH)
    assert pair.near.recv(5.0) == b"enough"


def test_what_was_said_before_does_not_stop_what_can_still_be_sent(pair: Pair) -> None:
    pair.far.sendall(b"hint")
    gevent.sleep(0.05)
    assert pair.near.send_until_heard(memoryview(b"short"), 5.0) == 5
    assert pair.far.recv(10) == b"short"


def test_all_of_it_is_sent_to_who_reads_and_says_nothing(pair: Pair) -> None:
    pair.far.setblocking(False)
    got = 0

    def read() -> None:
        nonlocal got
        while got < len(MUCH):
            with suppress(BlockingIOError):
                got += len(pair.far.recv(1 << 20))
            gevent.sleep(0)

    reading = gevent.spawn(read)
    assert pair.near.send_until_heard(memoryview(MUCH), 5.0) == len(MUCH)
    reading.get()


def test_after_a_standstill_nobody_is_late_before_what_came_meanwhile_was_looked_at(pair: Pair) -> None:
    reading = gevent.spawn(what_ends, pair.near.recv, 1.0)
    gevent.sleep(0.05)
    time.sleep(1.4)  # the whole process stands still, as under SIGSTOP
    gevent.sleep(0.25)  # it ticks again
    assert not reading.dead
    pair.far.sendall(b"was here")
    assert reading.get() == b"was here"


def test_thousands_whose_time_is_up_at_once_end_in_small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    ended, lots, tick = list[object](), list[int](), Waits._tick

    def counted(waits: Waits) -> None:
        before = len(ended)
        tick(waits)
        lots.append(len(ended) - before)

    monkeypatch.setattr("balancer.stream.AT_ONCE", 10)
    monkeypatch.setattr(Waits, "_tick", counted)
    waits, pairs = Waits(), [tcp_pair() for _ in range(100)]
    streams = [Stream(near, waits) for near, _ in pairs]
    readers = [gevent.spawn(lambda s=stream: ended.append(what_ends(s.recv, 0.2))) for stream in streams]
    with gevent.Timeout(5):
        gevent.joinall(readers)
    assert ended == [TimedOut] * 100
    assert max(lots) == 10, "everybody else waited for more of them"
    for stream, (_, far) in zip(streams, pairs, strict=True):
        stream.close()
        far.close()
    waits.close()


class UntilReset:
    """Waits on the node for a client's sake."""

    def __init__(self, client: Stream) -> None:
        self.client = client

    def reason_to_stop(self) -> Exception | None:
        return PeerReset() if self.client.was_reset() else None


@pytest.mark.parametrize("ending", ["reset", "speaks", "half-closes"])
def test_a_client_that_breaks_off_ends_at_once_what_is_done_for_it(pair: Pair, ending: str) -> None:
    client, far = tcp_pair()
    for_client = Stream(client, pair.waits)
    pair.waits._timer.stop()  # nobody looks ten times a second
    for_client.watch()
    for_client.awaits, pair.near.purpose = pair.near, UntilReset(for_client)
    waiting = gevent.spawn(pair.near.recv, 5.0)
    gevent.sleep(0.05)
    if ending == "reset":
        reset(far)
        with pytest.raises(PeerReset):
            waiting.get()
    else:
        far.sendall(b"one more") if ending == "speaks" else far.shutdown(socket.SHUT_WR)
        gevent.sleep(0.05)
        assert not waiting.dead, "it waits for its answer"
        pair.far.sendall(b"the answer")
        assert waiting.get() == b"the answer"
        far.close()
    for_client.close()


def test_hundreds_of_newcomers_do_not_keep_the_others_waiting() -> None:
    waits, order = Waits(), list[int]()
    ends = [socket.socketpair() for _ in range(301)]
    streams = [Stream(near, waits) for near, _ in ends]

    def read(number: int) -> None:
        streams[number].recv_next(5)
        order.append(number)

    try:
        for number, stream in enumerate(streams):
            stream.newcomer = number != 150
        reading = [gevent.spawn(read, number) for number in range(len(streams))]
        gevent.sleep(0)
        for _, far in ends:  # all before the loop turns; in whatever order it goes, the one is in the midst of them
            far.send(b"x")
        with gevent.Timeout(5):
            gevent.joinall(reading)
    finally:
        for stream, (_, far) in zip(streams, ends, strict=True):
            stream.close()
            far.close()
        waits.close()
    assert sorted(order) == list(range(301)), "who is not read at once is read later"
    assert order.index(150) < 100
