"""WebSocket through the balancer, to a real echo server; other upgrades are not passed on."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from tests.balancer.conftest import Stubs
from tests.balancer.requests_table import get
from tests.fleet import RunningFleet, fleet_config, running
from tests.stub_node import StubConnection, answer

UPGRADE = get(
    b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


class EchoServer:
    """A websocket server in a thread of its own; a node as any other to the balancer."""

    def __init__(self) -> None:
        self.port = 0
        self.closed_with: list[int | None] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    async def _serve(self) -> None:
        async with serve(self._echo, "127.0.0.1", 0, max_size=1 << 25, compression=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._stop.wait()

    async def _echo(self, connection: ServerConnection) -> None:
        with suppress(ConnectionClosedError):  # by any code but 1000
            async for message in connection:
                if message == "close me":
                    await connection.close(4001, "as you wish")
                    break
                await connection.send(message)
        self.closed_with.append(connection.close_code)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningFleet, EchoServer]]:
    server = EchoServer()
    node = {"name": "ws", "runs": "external", "address": "127.0.0.1", "port": server.port, "probe": {"enabled": False}}
    config = fleet_config([node], workers=1, timeouts={"idle_s": 1, "whole_s": 2, "keep_alive_s": 1})
    with running(tmp_path_factory.mktemp("echo"), config) as fleet:
        yield fleet, server
    server.close()


def talk(fleet: RunningFleet, conversation: Any) -> Any:
    """In a thread of its own: Playwright leaves a running loop in the one of the tests."""

    async def run() -> Any:
        async with connect(f"ws://127.0.0.1:{fleet.port}/chat", max_size=1 << 25, compression=None) as socket:
            return await conversation(socket)

    async def within_limit() -> Any:
        return await asyncio.wait_for(run(), 30)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(within_limit())).result()


@pytest.mark.e2e
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 1_000_000, 8_000_000])
def test_messages_of_every_size_come_back(echoing: tuple[RunningFleet, EchoServer], size: int) -> None:
    """RFC 9110 section 7.8, RFC 6455 section 5."""

    async def conversation(socket: Any) -> None:
        data = bytes(i % 251 for i in range(min(size, 251))) * (size // 251 + 1)
        await socket.send(data[:size])
        assert await socket.recv() == data[:size]
        await socket.send("ä" * 10)
        assert await socket.recv() == "ä" * 10

    talk(echoing[0], conversation)


@pytest.mark.e2e
def test_fragments_pings_and_many_messages_in_flight(echoing: tuple[RunningFleet, EchoServer]) -> None:
    async def conversation(socket: Any) -> None:
        await socket.send([b"a", b"b", b"c"])
        assert await socket.recv() == b"abc"
        await (await socket.ping())
        for n in range(300):
            await socket.send(str(n))
        assert [await socket.recv() for _ in range(300)] == [str(n) for n in range(300)]

    talk(echoing[0], conversation)


@pytest.mark.e2e
def test_silence_longer_than_any_other_time_limit_and_a_switch_do_not_end_it(
    echoing: tuple[RunningFleet, EchoServer],
) -> None:
    fleet, _ = echoing

    async def conversation(socket: Any) -> None:
        await socket.send("before")
        assert await socket.recv() == "before"
        await asyncio.sleep(2.3)  # longer than whole_s, idle_s and keep_alive_s
        await asyncio.to_thread(fleet.switch, "least_connections")
        await socket.send("after")
        assert await socket.recv() == "after"
        shot = await asyncio.to_thread(fleet.snapshot)
        assert shot["totals"]["in_flight"] == 1, "a tunnel is a request in flight"

    talk(fleet, conversation)
    fleet.idle()


@pytest.mark.e2e
def test_each_sides_close_reaches_the_other(echoing: tuple[RunningFleet, EchoServer]) -> None:
    """RFC 6455 section 7."""
    fleet, server = echoing

    async def server_closes(socket: Any) -> None:
        await socket.send("close me")
        with pytest.raises(ConnectionClosedError) as caught:
            await socket.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as you wish")

    async def client_closes(socket: Any) -> None:
        await socket.send("x")
        await socket.recv()
        await socket.close(4002, "enough")
        with pytest.raises((ConnectionClosedOK, ConnectionClosedError)):
            await socket.recv()

    talk(fleet, server_closes)
    talk(fleet, client_closes)
    for _ in range(100):
        if 4002 in server.closed_with:
            break
        time.sleep(0.02)
    assert {4001, 4002} <= set(server.closed_with)
    fleet.idle()


def test_what_a_client_sends_right_behind_its_upgrade_is_not_lost(stub_fleet: Stubs) -> None:
    def shouts(connection: StubConnection) -> None:
        head = connection.head()
        assert head is not None
        assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in head
        raw = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\n"
        connection.send(raw + b"first words")
        data = connection.buffer
        while data != b"early bird":
            data += connection.sock.recv(100)
        connection.send(b"heard " + data)

    stub_fleet.behave(shouts)
    with stub_fleet.client() as client:
        client.send(UPGRADE + b"early bird")
        _, status, fields = client.head()
        assert status == 101
        assert ("Connection", "Upgrade") in fields
        assert ("Upgrade", "websocket") in fields
        assert ("X-Own", "1") in fields
        assert client.buffer + client.rest() == b"first words" + b"heard early bird"
    line = stub_fleet.last_line()
    assert (line["status"], line["end"], line["bytes_in"]) == (101, "ok", len(b"early bird"))


def test_an_upgrade_that_the_node_refuses_is_an_ordinary_answer(stub_fleet: Stubs) -> None:
    def refuses(connection: StubConnection) -> None:
        connection.request()
        connection.send(answer(b"no", b"403 Forbidden"))

    stub_fleet.behave(refuses)
    with stub_fleet.client() as client:
        reply = client.ask(UPGRADE)
        assert (reply.status, reply.body, reply.field("connection")) == (403, b"no", "close")
        assert client.is_closed()


@pytest.mark.e2e
def test_no_node_for_an_upgrade_is_an_ordinary_503(echoing: tuple[RunningFleet, EchoServer]) -> None:
    fleet, _ = echoing
    fleet.order("ws", admin="maintenance")
    try:
        with pytest.raises(InvalidStatus) as caught:
            talk(fleet, None)
        assert caught.value.response.status_code == 503
    finally:
        fleet.order("ws", admin="enabled")


def test_a_tunnel_whose_client_breaks_off_is_taken_down(stub_fleet: Stubs) -> None:
    ended: list[bool] = []

    def waits(connection: StubConnection) -> None:
        connection.head()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        ended.append(connection.gone(5))

    stub_fleet.behave(waits)
    with stub_fleet.client() as client:
        client.send(UPGRADE)
        assert client.head()[1] == 101
        client.reset()
    stub_fleet.fleet.idle(within_s=2)
    for _ in range(100):
        if ended:
            break
        time.sleep(0.02)
    assert ended == [True]
