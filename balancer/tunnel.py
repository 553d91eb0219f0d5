"""After an upgrade (WebSocket): bytes both ways, until both sides have ended or one breaks off."""

import gevent

from balancer.stream import Interrupted, PeerReset, Stream, TimedOut


def tunnel(client: Stream, node: Stream, first: bytes, idle_s: float) -> tuple[int, int]:
    """Carry `first` and what follows to the node, and what it sends to the client. Returns bytes (up, down).

    An orderly end of one side is passed on as such (half-close); an error or `idle_s` of silence ends both.
    """
    moved = {"up": 0, "down": 0}

    def carry(source: Stream, sink: Stream, way: str) -> None:
        try:
            while data := source.recv(idle_s):
                sink.send(data, idle_s)
                moved[way] += len(data)
            sink.end_sending()
        except (OSError, TimedOut, PeerReset):
            source.interrupt()
            sink.interrupt()
        except Interrupted:
            sink.interrupt()

    if first:
        node.send(first, idle_s)
        moved["up"] += len(first)
    down = gevent.spawn(carry, node, client, "down")
    try:
        carry(client, node, "up")
        down.join()
    finally:
        down.kill()
    return moved["up"], moved["down"]
