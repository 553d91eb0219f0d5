"""Faults of clients: too many, too slow, too big, gone."""

import contextlib
import resource
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.faults.stage import Stage

HERE = "127.0.0.1"
SLOW_HEADS = 5000
HEADS_WITHIN_S = 14.0
FLOOD, FLOOD_S = 3000, 2.0
BIG_BYTES = 1 << 30
REFUSED, REFUSED_BYTES = 10, 64 * 1024 * 1024
SETTLES_S = 10.0  # until then a young process grows by the load alone
STALLED = 20
BIG_WITHIN_S = 60.0
PIECE = 1 << 20
READ_PAUSE_S = 0.02  # after each MiB: at most 50 MiB/s
ABORTS = 10  # clients for each stage at which one can go
AFTER_S = 1.5


def slow_heads(stage: "Stage") -> None:
    """5,000 connections that send a byte of their head now and then and never end it (slowloris)."""
    wanted = min(SLOW_HEADS, _most_files() - 200)
    stage.breaks()
    with ExitStack() as held:
        connected = _connect(stage, wanted, held)
        begun, gone = time.monotonic(), 0
        ends = selectors.DefaultSelector()
        held.callback(ends.close)
        for sock in connected:
            with contextlib.suppress(OSError):
                sock.send(b"GET /w/slow HTTP/1.1\r\nHost: slow\r\nX-Slow: ")
            ends.register(sock, selectors.EVENT_READ)
        opened_s = time.monotonic() - begun
        next_byte, last_gone = begun + 2, 0.0
        while gone < len(connected) and time.monotonic() - begun < HEADS_WITHIN_S:
            stage.wait(0.02)
            for key, _ in ends.select(0):
                if isinstance(key.fileobj, socket.socket) and _is_over(key.fileobj):
                    ends.unregister(key.fileobj)
                    gone, last_gone = gone + 1, time.monotonic() - begun
            if time.monotonic() > next_byte:
                next_byte += 2
                for sock in connected:
                    with contextlib.suppress(OSError):
                        sock.send(b"x")
        stage.measured |= {
            "slow_heads": float(len(connected)),
            "left": float(len(connected) - gone),
            "last_gone_s": round(last_gone + opened_s, 1),
        }
    stage.is_whole()
    stage.wait(AFTER_S)


def flood(stage: "Stage") -> None:
    """3,000 connections within two seconds, none of which says a word; then all are closed at once."""
    wanted = min(FLOOD, _most_files() - 200)
    stage.breaks()
    with ExitStack() as held:
        stage.measured["connects"] = float(len(_connect(stage, wanted, held, FLOOD_S)))
        stage.wait(1)
    stage.is_whole()
    stage.wait(AFTER_S)


def big_download(stage: "Stage") -> None:
    """One client takes 1 GiB slowly while 20 others have asked for as much and do not read at all."""
    with _memory_growth(stage), ExitStack() as held:
        stage.breaks()
        for _ in range(STALLED):
            _ask(stage, held, b"GET /bytes/%d HTTP/1.1\r\nHost: big\r\n\r\n" % BIG_BYTES)
        reader = _ask(stage, held, b"GET /bytes/%d HTTP/1.1\r\nHost: big\r\n\r\n" % BIG_BYTES)
        begun, got, pause_at = time.monotonic(), 0, PIECE
        with contextlib.suppress(OSError):
            while got < BIG_BYTES and time.monotonic() - begun < BIG_WITHIN_S and (data := reader.recv(262144)):
                got += len(data)
                if got > pause_at:
                    pause_at += PIECE
                    stage.wait(READ_PAUSE_S)
        stage.measured |= {
            "moved_mib": float(got >> 20),
            "missing_mib": float(max(0, BIG_BYTES - got) >> 20),
            "took_s": round(time.monotonic() - begun, 1),
        }
    stage.is_whole()
    stage.wait(AFTER_S)


def big_upload(stage: "Stage") -> None:
    """A client sends 1 GiB to a node that reads slowly."""
    with _memory_growth(stage), ExitStack() as held:
        stage.breaks()
        head = b"POST /up/big HTTP/1.1\r\nHost: big\r\nContent-Length: %d\r\n\r\n" % BIG_BYTES
        sender = _ask(stage, held, head)
        begun, sent, piece = time.monotonic(), 0, b"x" * PIECE
        answer = b""
        with contextlib.suppress(OSError):
            while sent < BIG_BYTES and time.monotonic() - begun < BIG_WITHIN_S:
                sender.sendall(piece)
                sent += len(piece)
            answer = sender.recv(65536)
        stage.measured |= {
            "moved_mib": float(sent >> 20),
            "missing_mib": 0.0 if answer.startswith(b"HTTP/1.1 200") else float(BIG_BYTES >> 20),
            "took_s": round(time.monotonic() - begun, 1),
        }
    stage.is_whole()
    stage.wait(AFTER_S)


def refused_uploads(stage: "Stage") -> None:
    """Ten clients send 64 MiB each to a node that says 413 at once, reads nothing more and stays open."""
    stage.breaks()
    took_ms = []
    for n in range(REFUSED):
        with ExitStack() as held:
            begun = time.monotonic()
            head = b"POST /full/%d HTTP/1.1\r\nHost: full\r\nContent-Length: %d\r\n\r\n" % (n, REFUSED_BYTES)
            if _answer_while_sending(_ask(stage, held, head)).startswith(b"HTTP/1.1 413 "):
                took_ms.append((time.monotonic() - begun) * 1e3)
        stage.supervise()
    stage.is_whole()
    stage.measured |= {
        "not_told": float(REFUSED - len(took_ms)),
        "told_after_ms": round(max(took_ms, default=0.0), 1),
    }
    stage.wait(AFTER_S)


def _answer_while_sending(sock: socket.socket) -> bytes:
    """Send a body until something comes back; what has come, or nothing."""
    piece, sent = b"x" * 65536, 0
    with contextlib.suppress(OSError):
        while sent < REFUSED_BYTES:
            can_read, can_write, _ = select.select([sock], [sock], [], 5)
            if can_read or not can_write:
                break
            sent += sock.send(piece)
        return sock.recv(65536)
    return b""


def aborts(stage: "Stage") -> None:
    """Clients break off (reset): in the head, in the body, while they wait, in the answer. Others just half-close."""
    stages = {
        "head": b"GET /wait/head-%d HTTP/1.1\r\nHost: ab",
        "body": b"POST /up/body-%d HTTP/1.1\r\nHost: abort\r\nContent-Length: 100000\r\n\r\nsome",
        "waiting": b"GET /wait/waiting-%d HTTP/1.1\r\nHost: abort\r\n\r\n",
        "answer": b"GET /stream/answer-%d HTTP/1.1\r\nHost: abort\r\n\r\n",
    }
    stage.breaks()
    broke_off: dict[str, float] = {}
    with ExitStack() as held:
        socks = [(f"{name}-{n}", _ask(stage, held, head % n)) for name, head in stages.items() for n in range(ABORTS)]
        for n in range(ABORTS):
            half = _ask(stage, held, b"GET /wait/half-%d HTTP/1.1\r\nHost: abort\r\n\r\n" % n)
            half.shutdown(socket.SHUT_WR)
            half.close()
        stage.wait(0.5)
        for key, sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            broke_off[key] = time.monotonic()
            sock.close()
    stage.wait(3)  # /wait takes two seconds, and nobody tells a half-closed client from one that has gone
    stage.is_whole()
    began = {words[1] for words in stage.journal() if words[0] == "begun"}
    gone = {words[1]: float(words[2]) for words in stage.journal() if words[0] == "gone"}
    expected = [key for key in broke_off if not key.startswith("head") and key in began]
    late = [(gone[key] - broke_off[key]) * 1e3 for key in expected if key in gone]
    stage.measured |= {
        "reached_a_node": float(len(expected)),
        "node_never_told": float(len(expected) - len(late)),
        "node_told_after_ms": round(max(late, default=0.0), 1),
    }


def _most_files() -> int:
    """How many descriptors this process may have, raised as far as that goes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _connect(stage: "Stage", count: int, held: ExitStack, seconds: float = 0.0) -> list[socket.socket]:
    """Open so many connections, evenly over that time; those that came about."""
    begun, connected = time.monotonic(), []
    for n in range(count):
        sock = held.enter_context(socket.socket())
        sock.settimeout(2)
        with contextlib.suppress(OSError):
            sock.connect((HERE, stage.port))
            sock.setblocking(False)
            connected.append(sock)
        if n % 50 == 0:
            stage.wait(max(0.0, begun + seconds * n / count - time.monotonic()))
    return connected


def _ask(stage: "Stage", held: ExitStack, data: bytes) -> socket.socket:
    sock = held.enter_context(socket.create_connection((HERE, stage.port), timeout=10))
    sock.sendall(data)
    return sock


def _is_over(sock: socket.socket) -> bool:
    """Read what is there; whether the other side has closed."""
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def _memory_growth(stage: "Stage") -> Iterator[None]:
    """Measures by how much the balancer grows meanwhile."""
    stage.wait(SETTLES_S)
    before = most = stage.memory_mb()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.2):
            most = max(most, stage.memory_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        stage.measured["grew_mb"] = round(most - before, 1)
