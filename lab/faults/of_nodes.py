"""Faults of nodes."""

import contextlib
import http.client
import signal
from typing import TYPE_CHECKING

from lab.faults.rows import Record

if TYPE_CHECKING:
    from lab.faults.stage import Stage

FACES_S = 3.0  # how long a misbehaving node misbehaves
AFTER_S = 2.5


def node_kill(stage: "Stage") -> None:
    """kill -9 of one of three nodes; after three seconds it is started again."""
    stage.breaks("l2")
    stage.kill_nodes("l2")
    stage.wait(3)
    stage.start_nodes("l2")
    stage.is_whole()
    stage.wait(AFTER_S)


def node_stop(stage: "Stage") -> None:
    """SIGSTOP for six seconds: it accepts, because the kernel does, and never answers."""
    stage.breaks("l2")
    stage.signal_node("l2", signal.SIGSTOP)
    stage.wait(6)
    stage.signal_node("l2", signal.SIGCONT)
    stage.is_whole()
    stage.wait(AFTER_S)


def node_partition(stage: "Stage") -> None:
    """Five seconds in which every packet to it is dropped without a sound (a socket filter in the kernel)."""
    _misbehaves(stage, "partition", 5, "l2")


def node_slow(stage: "Stage") -> None:
    """Ten times slower for seven seconds."""
    stage.breaks("l2")
    stage.tell("l2", fault="slow")
    stage.wait(7)
    stage.tell("l2", fault=None)
    stage.is_whole()
    stage.wait(6)


def shares_of_slow(records: list[Record], stage: "Stage") -> dict[str, float]:
    """The slow node's part of what would be its equal share: at the end of being slow, and at the very end."""
    assert stage.whole_at is not None
    ends = max(record.at for record in records)

    def share_pct(since: float, until: float) -> float:
        nodes = [r.node for r in records if since <= r.at < until and r.node]
        return round(100 * len(stage.nodes) * nodes.count("l2") / max(1, len(nodes)), 1)

    slow = share_pct(stage.whole_at - 2, stage.whole_at)
    return {"slow_share_pct": slow, "share_after_pct": share_pct(ends - 1.5, ends), "starved": float(not slow)}


def node_garbage(stage: "Stage") -> None:
    """It answers everything, probes too, with bytes that are not HTTP."""
    _misbehaves(stage, "garbage", FACES_S, "l2")


def node_cuts_length(stage: "Stage") -> None:
    """It closes 100 bytes before the end that it announced; its probes are fine."""
    _misbehaves(stage, "cut-length", FACES_S, "l2")


def node_cuts_chunked(stage: "Stage") -> None:
    """It closes before the last chunk; its probes are fine."""
    _misbehaves(stage, "cut-chunked", FACES_S, "l2")


def node_endless_head(stage: "Stage") -> None:
    """Its head has 2 MB of fields, for probes too."""
    _misbehaves(stage, "endless-head", FACES_S, "l2")


def node_resets(stage: "Stage") -> None:
    """It takes each request and resets the connection without a byte of an answer; its probes are fine."""
    _misbehaves(stage, "reset", FACES_S, "l2")


def node_flaps(stage: "Stage") -> None:
    """Three times kill -9, and started again 1.5 seconds later for 1.5 seconds."""
    stage.breaks("l2")
    for _ in range(3):
        stage.kill_nodes("l2")
        stage.wait(1.5)
        stage.start_nodes("l2")
        stage.wait(1.5)
    stage.is_whole()
    stage.wait(AFTER_S)


def nodes_hang_up(stage: "Stage") -> None:
    """All nodes close each kept connection 0 to 4 ms after an answer, without having said so."""
    _misbehaves(stage, "hang-up", FACES_S, "l1", "l2", "l3")


def _misbehaves(stage: "Stage", fault: str, seconds: float, *names: str) -> None:
    stage.breaks(*names)
    stage.tell(*names, fault=fault)
    stage.wait(seconds)
    stage.tell(*names, fault=None)
    stage.is_whole()
    stage.wait(AFTER_S)


def all_down(stage: "Stage") -> None:
    """kill -9 of all nodes; after four seconds they are started again."""
    stage.breaks(*stage.nodes)
    names = list(stage.nodes)
    stage.kill_nodes(*names)
    stage.wait(2)
    stage.notes.append(_what_it_says(stage))
    stage.wait(2)
    stage.start_nodes(*names)
    stage.is_whole()
    stage.wait(AFTER_S)


def _what_it_says(stage: "Stage") -> str:
    """Status, and what tells a client when to come back and why it got nothing."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stage.port, timeout=5)) as connection:
        connection.request("GET", "/w/")
        answer = connection.getresponse()
        told = [
            f"{name}: {value}" for name, value in answer.getheaders() if name in ("Retry-After", "X-Fairlead-Reason")
        ]
    return f"a client is told {answer.status}, {', '.join(told) or 'no Retry-After, no reason'}"
