"""A cable with a length and a width: frames from one TAP to the other, later and not faster than told.

Kernels without sch_netem have nothing for this, so a process does it. It stands alone (no imports of ours: started by
its path, in the switch's network namespace). Arguments: NEAR FAR SETTINGS, two TAP devices and JSON
`{"in": {"delay_ms": 40, "jitter_ms": 5, "kbytes_s": 500}, "out": {}}`; `in` is from FAR to NEAR. Prints its pid on the
machine, then runs until it is killed.
"""

import fcntl
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
QUEUE_S = 0.2  # what a home router holds back before it drops
LEAST_QUEUE_BYTES = 16 * 1514


class Way:
    """One direction: what is on its way, in order.

    A frame first waits for the width (`kbytes_s`: one after the other, each as long as it takes, at most `QUEUE_S` in
    the queue), then travels the length (`delay_ms`, evenly `jitter_ms` more or less, never past the frame before it).
    """

    def __init__(self, delay_ms: float = 0, jitter_ms: float = 0, kbytes_s: float = 0) -> None:
        self.delay_s, self.jitter_s, self.bytes_s = delay_ms / 1000, jitter_ms / 1000, kbytes_s * 1000
        self.room_bytes = max(self.bytes_s * QUEUE_S, LEAST_QUEUE_BYTES)
        self.under_way: deque[tuple[float, bytes]] = deque()
        self.free_at = 0.0
        self.last_due = 0.0

    def send(self, frame: bytes, now: float, rng: random.Random) -> None:
        """Take a frame, or drop it when the queue is full."""
        sent_at = now
        if self.bytes_s:
            begins = max(now, self.free_at)
            if (begins - now) * self.bytes_s + len(frame) > self.room_bytes:
                return
            sent_at = self.free_at = begins + len(frame) / self.bytes_s
        due = sent_at + self.delay_s + rng.uniform(-self.jitter_s, self.jitter_s)
        self.last_due = max(due, self.last_due)
        self.under_way.append((self.last_due, frame))

    def due_at(self) -> float | None:
        """When the next frame arrives."""
        return self.under_way[0][0] if self.under_way else None

    def arrived(self, now: float) -> list[bytes]:
        """The frames that have arrived."""
        frames = []
        while self.under_way and self.under_way[0][0] <= now:
            frames.append(self.under_way.popleft()[1])
        return frames


def open_tap(name: str) -> int:
    """A TAP device that exists, as a descriptor that reads and writes whole Ethernet frames."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


def carry(near: int, far: int, into: Way, out: Way) -> None:
    """Carry frames for ever."""
    rng = random.Random()
    roads = ((near, far, out), (far, near, into))
    while True:
        due = [at for _, _, way in roads if (at := way.due_at()) is not None]
        wait_s = max(0.0, min(due) - time.monotonic()) if due else None
        readable = select.select([near, far], [], [], wait_s)[0]
        for source, target, way in roads:
            if source in readable:
                _take(source, way, rng)
            for frame in way.arrived(time.monotonic()):
                try:
                    os.write(target, frame)
                except OSError:  # the device is down: what a cut cable does to a frame
                    continue


def _take(source: int, way: Way, rng: random.Random) -> None:
    for _ in range(64):  # then the other side has its turn
        try:
            frame = os.read(source, 65536)
        except OSError:
            return
        way.send(frame, time.monotonic(), rng)


def main() -> None:
    """Open both ends and carry."""
    near, far, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    ends = open_tap(near), open_tap(far)
    print(os.readlink("/proc/self"), flush=True)
    carry(*ends, Way(**settings["in"]), Way(**settings["out"]))


if __name__ == "__main__":
    main()
