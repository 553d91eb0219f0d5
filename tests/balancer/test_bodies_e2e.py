"""Large bodies in both directions: all of it arrives, and nothing is held whole."""

import hashlib
import threading
import time
from pathlib import Path

import pytest

from tests.balancer.conftest import Stubs
from tests.balancer.requests_table import get, post
from tests.stub_node import StubConnection, answer

MB = 1_000_000
BIG = 100 * MB
BLOCK = bytes(range(256)) * 400  # 102,400 bytes
SHA = hashlib.sha256(BLOCK * (BIG // len(BLOCK)) + BLOCK[: BIG % len(BLOCK)]).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"


def blocks() -> list[memoryview]:
    view = memoryview(BLOCK)
    return [view] * (BIG // len(BLOCK)) + [view[: BIG % len(BLOCK)]]


class Memory:
    """Resident memory of the balancer's worker: how far it grew above where it was."""

    def __init__(self, stubs: Stubs) -> None:
        (worker,) = stubs.fleet.snapshot()["workers"]
        self._status = Path(f"/proc/{worker['pid']}/status")
        self._before = self._now()
        self.most = self._before
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _now(self) -> int:
        line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, self._now())

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        return max(self.most, self._now()) - self._before


class Digest:
    """Count and SHA-256 of a body that is not kept."""

    def __init__(self) -> None:
        self.count = 0
        self._sha = hashlib.sha256()

    def take(self, data: bytes) -> None:
        self.count += len(data)
        self._sha.update(data)

    def __str__(self) -> str:
        return f"{self.count} {self._sha.hexdigest()}"


def sink(connection: StubConnection) -> None:
    """Read bodies without keeping them; answer with count and digest."""
    while head := connection.head():
        digest = Digest()
        if b"chunked" in head:
            while size := int(connection._line(), 16):
                digest.take(connection._exactly(size))
                connection._line()
            connection._line()
        else:
            left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while left:
                if not connection.buffer:
                    connection._more()
                data, connection.buffer = connection.buffer[:left], connection.buffer[left:]
                left -= len(data)
                digest.take(data)
        connection.send(answer(str(digest).encode()))


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
def test_100_mb_up(stub_fleet: Stubs, chunked: bool) -> None:
    stub_fleet.behave(sink)
    with Memory(stub_fleet) as memory, stub_fleet.client() as client:
        client.send(post(b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % BIG))
        for block in blocks():
            if chunked:
                client.send(b"%x\r\n%s\r\n" % (len(block), block))
            else:
                client.sock.sendall(block)
        if chunked:
            client.send(b"0\r\n\r\n")
        assert client.answer().body.decode() == f"{BIG} {SHA}"
    assert memory.grown < 8 * MB


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
def test_100_mb_down(stub_fleet: Stubs, chunked: bool) -> None:
    def source(connection: StubConnection) -> None:
        connection.request()
        connection.send(
            OK + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % BIG)
        )
        for block in blocks():
            if chunked:
                connection.send(b"%x\r\n%s\r\n" % (len(block), block))
            else:
                connection.sock.sendall(block)
        if chunked:
            connection.send(b"0\r\n\r\n")

    stub_fleet.behave(source)
    digest = Digest()
    with Memory(stub_fleet) as memory, stub_fleet.client() as client:
        client.send(get())
        client.head()
        if chunked:
            while chunk := client.chunk():
                digest.take(chunk)
        else:
            digest.take(client.buffer)
            while digest.count < BIG:
                data = client.sock.recv(1 << 20)
                assert data
                digest.take(data)
    assert str(digest) == f"{BIG} {SHA}"
    assert memory.grown < 8 * MB


def test_slow_readers_slow_their_node_and_nobody_else(stub_fleet: Stubs) -> None:
    """Ten clients stop reading in the middle of 100 MB each: the nodes stop too, memory stays, others are served."""
    sent = [0] * 20

    def source(connection: StubConnection) -> None:
        while request := connection.request():
            if request.line.startswith(b"GET /big"):
                number = int(request.line.split()[1][4:])
                connection.send(OK + b"Content-Length: %d\r\n\r\n" % BIG)
                for block in blocks():
                    connection.sock.sendall(block)
                    sent[number] += len(block)
            else:
                connection.send(answer())

    stub_fleet.behave(source)
    clients = [stub_fleet.client() for _ in range(10)]
    try:
        with Memory(stub_fleet) as memory:
            for number, client in enumerate(clients):
                client.send(get(line=b"GET /big%d HTTP/1.1" % number))
                client.head()
            time.sleep(0.4)  # within idle_s
            with stub_fleet.client() as other:
                begun = time.monotonic()
                for _ in range(20):
                    assert other.ask(get()).body == b"ok"
                assert time.monotonic() - begun < 5
            assert max(sent) < 30 * MB, "kernel buffers are full and that is all"
            assert memory.grown < 8 * MB
    finally:
        for client in clients:
            client.sock.close()
    stub_fleet.fleet.idle(within_s=5)


def test_a_reader_that_never_reads_again_is_given_up(stub_fleet: Stubs) -> None:
    def source(connection: StubConnection) -> None:
        connection.request()
        connection.send(OK + b"Content-Length: %d\r\n\r\n" % BIG)
        for block in blocks():
            connection.sock.sendall(block)

    stub_fleet.behave(source)
    before = stub_fleet.fleet.snapshot()["nodes"]
    with stub_fleet.client() as client:
        client.send(get())
        client.head()
        assert stub_fleet.last_line()["end"] == "client_stalled"
    after = stub_fleet.fleet.snapshot()["nodes"]
    assert [node["errors"] for node in after] == [node["errors"] for node in before]
