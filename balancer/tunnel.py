"""After an upgrade (WebSocket): bytes both ways, until both sides have ended or one breaks off."""

from time import monotonic

import gevent

from balancer.stream import Interrupted, PeerReset, Stream, TimedOut


def tunnel(client: Stream, node: Stream, first: bytes, idle_s: float) -> tuple[int, int]:
    """Carry `first` and what follows to the node, and what it sends to the client. Returns bytes (up, down).

    An orderly end of one side is passed on as such (half-close); an error or `idle_s` of silence ends both.
    """
    moved = {"up": 0, "down": 0}
    moved_at = monotonic()

    def receive(source: Stream) -> bytes:
        """What comes next; silence this way counts only while there is silence the other way too."""
        while True:
            try:
                return source.recv(moved_at + idle_s - monotonic())
            except TimedOut:
                if monotonic() >= moved_at + idle_s:
                    raise

    def carry(source: Stream, sink: Stream, way: str) -> bool:
        """Until the source ends in order (True) or something breaks (False)."""
        nonlocal moved_at
        try:
            while data := receive(source):
                sink.send(data, idle_s)
                moved[way] += len(data)
                moved_at = monotonic()
            sink.end_sending()
        except (OSError, TimedOut, PeerReset, Interrupted):
            return False
        return True

    if first:
        node.send(first, idle_s)
        moved["up"] += len(first)
    ways = [gevent.spawn(carry, client, node, "up"), gevent.spawn(carry, node, client, "down")]
    try:
        for ended in gevent.iwait(ways):
            if not ended.value:
                break
    finally:
        gevent.killall(ways)  # whatever the other one waits for, and even if it has not begun to
    return moved["up"], moved["down"]
