"""Clients as there are in the world, on plain sockets: browsers, programs, viewers who seek, and the impatient.

Needs nothing but Python's standard library, so that it also runs on a machine that has only a copy of this folder.
Each client checks what it gets; what is wrong is counted under a name in `Tally.errors`, never raised.
"""

import hashlib
import http.client
import json
import random
import socket
import struct
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Tally:
    """What clients did and got. `lost` answers are those that were neither ok nor an error: there must be none."""

    sent: int = 0
    ok: int = 0
    given_up: int = 0  # broken off on purpose
    errors: Counter[str] = field(default_factory=Counter)
    by_node: Counter[str] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)  # ids of the POSTs that were answered
    unchecked: int = 0  # answers of programs that are not ours: complete, but with a content we cannot judge

    @property
    def lost(self) -> int:
        return self.sent - self.ok - self.given_up - sum(self.errors.values())

    def add(self, other: "Tally") -> None:
        self.sent += other.sent
        self.ok += other.ok
        self.given_up += other.given_up
        self.errors += other.errors
        self.by_node += other.by_node
        self.times_ms += other.times_ms
        self.posted += other.posted
        self.unchecked += other.unchecked

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.times_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def lines(self) -> list[str]:
        """A report for people."""
        shares = ", ".join(f"{node} {count}" for node, count in sorted(self.by_node.items())) or "no node named itself"
        out = [
            f"sent {self.sent}, ok {self.ok}, given up on purpose {self.given_up}, "
            f"errors {sum(self.errors.values())}, lost {self.lost}",
            f"p50 {self.percentile_ms(0.5):.1f} ms, p99 {self.percentile_ms(0.99):.1f} ms",
            f"answered by: {shares}",
        ]
        out += [f"  {count} x {what}" for what, count in self.errors.most_common()]
        if self.unchecked:
            out.append(f"  {self.unchecked} answers came from programs whose content cannot be judged from outside")
        return out


class Wrong(Exception):
    """An answer is not what it has to be."""


@dataclass
class Got:
    """One whole answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def ours(self) -> bool:
        """Whether it comes from a simulated node, whose content is known beforehand."""
        return "X-Node" in self.headers

    @property
    def node(self) -> str | None:
        return self.headers.get("X-Fairlead-Node")


class Visitor:
    """One client with one kept connection. `rng` makes its choices repeatable."""

    def __init__(self, url: str, rng: random.Random, timeout_s: float = 30) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.rng = rng
        self.tally = Tally()
        self.timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Got | None:
        """Send a request and read the whole answer; None when it failed, which is counted. The caller counts `ok`."""
        self.tally.sent += 1
        begun = time.monotonic()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self.address, timeout=self.timeout_s)
                self._connection.connect()
                self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
            got = Got(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException) as error:
            self.leave()
            self.tally.errors[f"{method}: {type(error).__name__}"] += 1
            return None
        self.tally.times_ms.append((time.monotonic() - begun) * 1e3)
        if got.status >= 400:
            self.tally.errors[f"{method}: status {got.status} {got.headers.get('X-Fairlead-Reason', '')}".strip()] += 1
            return None
        if got.node:
            self.tally.by_node[got.node] += 1
        return got

    def check(self, got: Got | None, judge: Callable[[Got], None]) -> None:
        """Count an answer as ok, or as what is wrong with it."""
        if got is None:
            return
        if not got.ours:
            self.tally.ok += 1
            self.tally.unchecked += 1
            return
        try:
            judge(got)
        except Wrong as wrong:
            self.tally.errors[f"content: {wrong}"] += 1
        else:
            self.tally.ok += 1

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def must(true: bool, what: str) -> None:
    if not true:
        raise Wrong(what)


# -- what each kind of client does -----------------------------------------------------------------------------------


def fetch(visitor: Visitor, path: str = "/?service_ms=2") -> None:
    """One page."""
    visitor.check(visitor.ask(path), _page)


def _page(got: Got) -> None:
    must(got.status == 200, f"status {got.status}")
    must(got.body.rstrip().endswith(b"</html>"), "a page without its end")
    name = got.headers["X-Node"]
    must(f"<h1>{name}</h1>".encode() in got.body, "a page of another node than the head says")
    must(got.node in (None, name), "X-Fairlead-Node names another node than the one that answered")


def browse(visitor: Visitor) -> None:
    """A browser: a page, then its images over four connections at once, all kept for the next page."""
    fetch(visitor)
    helpers = _helpers_of(visitor)

    def images(helper: Visitor) -> None:
        for n in range(2):
            size = helper.rng.choice((16, 64, 200))
            path = f"/image/{n}.png?service_ms=4&width={size}&height={size}"
            helper.check(helper.ask(path), lambda got, size=size: _image(got, size))  # type: ignore[misc]

    threads = [threading.Thread(target=images, args=(helper,)) for helper in helpers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for helper in helpers:
        visitor.tally.add(helper.tally)
        helper.tally = Tally()


def _helpers_of(visitor: Visitor) -> list[Visitor]:
    helpers: list[Visitor] | None = getattr(visitor, "helpers", None)
    if helpers is None:
        url = f"http://{visitor.address[0]}:{visitor.address[1]}"
        helpers = [Visitor(url, random.Random(visitor.rng.random())) for _ in range(4)]
        visitor.helpers = helpers  # type: ignore[attr-defined]
    return helpers


def _image(got: Got, size: int) -> None:
    must(got.headers["Content-Type"] == "image/png", "an image that is not said to be one")
    must(got.body.startswith(b"\x89PNG\r\n\x1a\n") and got.body.endswith(b"IEND\xaeB`\x82"), "half an image")
    must(struct.unpack(">II", got.body[16:24]) == (size, size), "another image than was asked for")


def call(visitor: Visitor) -> None:
    """A program: posts JSON of any size, counted or chunked, and reads back what the node says it got."""
    body = json.dumps({"numbers": [visitor.rng.random() for _ in range(visitor.rng.choice((1, 50, 3000)))]}).encode()
    identity = str(uuid.UUID(int=visitor.rng.getrandbits(128)))
    headers = {"Content-Type": "application/json", "X-Request-Id": identity}
    got = visitor.ask("/api/orders?service_ms=3", "POST", body, headers)

    def judge(got: Got) -> None:
        said = json.loads(got.body)
        must(said["method"] == "POST", "another method arrived")
        must(said["body"] == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}, "another body arrived")
        must(said["request_id"] == identity == got.headers["X-Request-Id"], "another request's answer")
        must(said["node"] == got.node, "another node than the head says")

    visitor.check(got, judge)
    if got is not None:
        visitor.tally.posted.append(identity)


VIDEO_BYTES = 300_000


def watch(visitor: Visitor) -> None:
    """A viewer: begins a video, then seeks; every byte must be the one that belongs there, whichever node sends it."""
    film = f"/video/film-{visitor.rng.randrange(3)}"
    for n in range(3):
        start = 0 if n == 0 else visitor.rng.randrange(VIDEO_BYTES - 1)
        stop = min(VIDEO_BYTES, start + visitor.rng.choice((1, 1000, 100_000)))
        got = visitor.ask(f"{film}?service_ms=5&bytes={VIDEO_BYTES}", headers={"Range": f"bytes={start}-{stop - 1}"})
        visitor.check(got, lambda got, start=start, stop=stop: part_of_film(got, film, start, stop))  # type: ignore[misc]


def part_of_film(got: Got, film: str, start: int, stop: int) -> None:
    must(got.status == 206, f"status {got.status} to a range")
    must(got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{VIDEO_BYTES}", "another range")
    must(got.body == film_bytes(film, start, stop), "other bytes than belong there")


def film_bytes(film: str, start: int, stop: int) -> bytes:
    """What a simulated node's video holds there: blocks of 32 KiB, each its number and then noise of the path."""
    block = 32 * 1024
    noise = hashlib.shake_128(film.encode()).digest(block - 8)
    first, last = start // block, (stop - 1) // block
    whole = b"".join(number.to_bytes(8, "big") + noise for number in range(first, last + 1))
    return whole[start - first * block : stop - first * block]


def give_up(visitor: Visitor) -> None:
    """The impatient: breaks off before the answer, in the middle of it, or in the middle of an upload."""
    visitor.tally.sent += 1
    host = f"Host: {visitor.address[0]}\r\n"
    raw, read = visitor.rng.choice(
        (
            (f"GET /?service_ms=200 HTTP/1.1\r\n{host}\r\n", 0),
            (f"GET /video/long?service_ms=300&bytes=3000000 HTTP/1.1\r\n{host}\r\n", 2000),
            (f"POST /api/x HTTP/1.1\r\n{host}Content-Length: 100000\r\n\r\n" + "x" * 500, 0),
            (f"GET /half-a-head HTTP/1.1\r\n{host}", 0),
        )
    )
    try:
        with socket.create_connection(visitor.address, timeout=visitor.timeout_s) as sock:
            sock.sendall(raw.encode())
            while read > 0:
                data = sock.recv(read)
                if not data:
                    break
                read -= len(data)
            if not read:
                time.sleep(visitor.rng.random() * 0.05)
            # RST, as when a program is killed with unread data
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        visitor.tally.given_up += 1
    except OSError as error:
        visitor.tally.errors[f"give up: {type(error).__name__}"] += 1


# -- many at once ----------------------------------------------------------------------------------------------------


def crowd(url: str, task: Callable[[Visitor], None], clients: int, rounds: int, seed: int = 1) -> Tally:
    """So many clients at once, each doing `task` so many times on its own connection."""
    visitors = [Visitor(url, random.Random(seed * 1000 + n)) for n in range(clients)]

    def run(visitor: Visitor) -> None:
        for _ in range(rounds):
            task(visitor)
        visitor.leave()
        for helper in getattr(visitor, "helpers", ()):
            helper.leave()

    return _together(visitors, run)


class Stream:
    """A crowd that goes on until it is told to stop, for tests that do something to the fleet meanwhile."""

    def __init__(self, url: str, task: Callable[[Visitor], None], clients: int) -> None:
        self._visitors = [Visitor(url, random.Random(n)) for n in range(clients)]
        self._stop = threading.Event()
        self._tally = Tally()

        def run(visitor: Visitor) -> None:
            while not self._stop.is_set():
                task(visitor)
            visitor.leave()

        self._thread = threading.Thread(target=lambda: self._tally.add(_together(self._visitors, run)), daemon=True)
        self._thread.start()

    @property
    def sent(self) -> int:
        """Requests so far."""
        return sum(visitor.tally.sent for visitor in self._visitors)

    def stop(self) -> Tally:
        self._stop.set()
        self._thread.join(60)
        return self._tally


def _together(visitors: list[Visitor], run: Callable[[Visitor], None]) -> Tally:
    threads = [threading.Thread(target=run, args=(visitor,), daemon=True) for visitor in visitors]
    for thread in threads:
        thread.start()
    total = Tally()
    for thread, visitor in zip(threads, visitors, strict=True):
        thread.join(120)
        total.add(visitor.tally)
    return total
