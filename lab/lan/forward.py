"""A port of the LAN on the machine's own loopback, for a browser: one listening socket here, connections made there.

Nothing of the LAN reaches further: it listens on 127.0.0.1 only, and only while this process runs.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from lab.lan.errors import LanError
from lab.lan.host import Host
from lab.lan.lan import Lan
from lab.lan.namespaces import socket_in

CONNECT_S = 5.0
CHUNK_BYTES = 65536


def forward(lan: Lan, host: Host, port: int, *, listen: int, ready: Callable[[int], None]) -> None:
    """Carry connections from 127.0.0.1:`listen` (0: any free port) to `port` of `host` until cancelled or the LAN ends.

    ready: called with the port once it listens. Raises LanError when the port here is taken.
    """
    if not lan.is_up:
        raise LanError(f"the LAN in {lan.state} has ended")
    asyncio.run(_forward(lan, (host.address, port), listen, ready))


async def _forward(lan: Lan, target: tuple[str, int], listen: int, ready: Callable[[int], None]) -> None:
    carrying: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        try:
            await _carry(lan, target, reader, writer)
        finally:
            carrying.discard(task)

    try:
        server = await asyncio.start_server(accept, "127.0.0.1", listen)
    except OSError as error:
        raise LanError(f"port {listen} of this machine: {error.strerror}; say another with --listen") from None
    ended = asyncio.Event()
    keeper = os.pidfd_open(lan.keeper_pid)
    asyncio.get_running_loop().add_reader(keeper, ended.set)
    try:
        ready(server.sockets[0].getsockname()[1])
        await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(keeper)
        os.close(keeper)
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _carry(lan: Lan, target: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: both ways at once, until both are at their end."""
    there = None
    try:
        inside = socket_in(lan.operator.pid, socket.AF_INET, socket.SOCK_STREAM)
        inside.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(inside, target)
        except BaseException:
            inside.close()
            raise
        answers, there = await asyncio.open_connection(sock=inside)
        await asyncio.gather(_pump(reader, there), _pump(answers, writer))
    except (OSError, TimeoutError):
        pass  # what a browser sees of a host that does not answer: its connection is closed
    finally:
        for end in filter(None, (writer, there)):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK_BYTES):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()
