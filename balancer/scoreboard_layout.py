"""The scoreboard file's format: which word means what, and making and checking such a file.

    header | one order record a node | one slot a worker: head, one record a node (with histogram), own histogram

Every word is 8 bytes; integers are signed, times and milliseconds are doubles.
"""

import struct
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from cluster.histogram import BUCKETS
from cluster.states import Admin, Health

MAGIC = 0x46414952_4C454144  # "FAIRLEAD"
VERSION = 2
NAME_WORDS = 4

# Header words
H_MAGIC, H_VERSION, H_NODES, H_SLOTS, H_CHECK, H_GENERATION, H_BOOT = range(7)
H_ALGORITHM = 8  # 32 bytes of ASCII
HEADER = 16

# Order record: what the control process says of a node
(O_ADMIN, O_HEALTH, O_WEIGHT, O_SLOW_FROM, O_RIF, O_SLOTS, O_SERVICE_MS, O_REPORT_AT, O_CLEARED_AT) = range(
    NAME_WORDS, NAME_WORDS + 9
)
ORDER = 16

# Slot head: one worker
(S_PID, S_GENERATION, S_CONNECTIONS, S_REQUESTS, S_QUEUED, S_ERRORS, S_REJECTED, S_ABORTED, S_RETRIES, S_BYTES_IN,
 S_BYTES_OUT, S_IN_FLIGHT, S_DROPPED_LINES) = range(13)  # fmt: skip
S_GROUP_PICKS = 16  # picks by route, 16 words
SLOT_HEAD = 32
COUNTERS = (S_REQUESTS, S_ERRORS, S_REJECTED, S_ABORTED, S_RETRIES, S_BYTES_IN, S_BYTES_OUT)

# Worker x node record
(N_IN_FLIGHT, N_ATTEMPTS, N_ERRORS, N_RETRIED, N_FAILURES, N_EJECTED_UNTIL, N_EJECTIONS, N_CAUSE, N_RIF, N_SLOTS,
 N_SERVICE_MS, N_REPORT_AT, N_SENT_AT_REPORT, N_LATENCY_MS, N_LATENCY_AT, N_OWN_SERVICE_MS,
 N_OWN_SERVICE_AT, N_OWN_SERVICE_COUNT, N_BAD_ANSWERS) = range(19)  # fmt: skip
NODE_HEAD = 24
NODE = NODE_HEAD + BUCKETS


def size(nodes: int, slots: int) -> int:
    """Length of the file in bytes."""
    return 8 * (HEADER + nodes * ORDER + slots * (SLOT_HEAD + nodes * NODE + BUCKETS))


def boot_id() -> int:
    """A number that is the same until the next reboot."""
    if sys.platform == "win32":  # which names no boot: the minute of it will do, and a clock that was set only costs
        return int((time.time() - time.monotonic()) / 60)  # what is known of times
    try:
        return zlib.crc32(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    except OSError:
        return 0


def _check(nodes: int, slots: int, names: bytes) -> int:
    return zlib.crc32(struct.pack("4q", MAGIC, VERSION, nodes, slots) + names)


def blank(names: Sequence[str], slots: int, boot: int) -> bytearray:
    """A fresh file, all counters 0, weights 1."""
    data = bytearray(size(len(names), slots))
    encoded = b"".join(name.encode("ascii").ljust(NAME_WORDS * 8, b"\0") for name in names)
    check = _check(len(names), slots, encoded)
    struct.pack_into("7q", data, 0, MAGIC, VERSION, len(names), slots, check, 1, boot)
    for i in range(len(names)):
        at = (HEADER + i * ORDER) * 8
        data[at : at + NAME_WORDS * 8] = encoded[i * NAME_WORDS * 8 : (i + 1) * NAME_WORDS * 8]
        struct.pack_into("q", data, at + O_WEIGHT * 8, 1)
    return data


def read_valid(path: Path) -> bytes | None:
    """The file's bytes if they are a scoreboard, whole and of this version."""
    try:
        return valid(path.read_bytes())
    except OSError:
        return None


def valid(data: bytes) -> bytes | None:
    """The bytes if they are a scoreboard, whole and of this version."""
    if len(data) < HEADER * 8:
        return None
    magic, version, nodes, slots, check = struct.unpack_from("5q", data)
    if magic != MAGIC or version != VERSION or not (0 < nodes < 100_000 and 0 < slots < 10_000):
        return None
    if len(data) != size(nodes, slots):
        return None
    raw = b"".join(data[(HEADER + i * ORDER) * 8 :][: NAME_WORDS * 8] for i in range(nodes))
    if check != _check(nodes, slots, raw):
        return None
    return data if all(_meaningful(data, i) for i in range(nodes)) else None


def _meaningful(data: bytes, node: int) -> bool:
    """Whether a node's orders are ones that somebody can have given; a worker must not fail on them again and again."""
    admin, health, weight = map(int, struct.unpack_from("3q", data, (HEADER + node * ORDER + O_ADMIN) * 8))
    return 0 <= admin < len(Admin) and 0 <= health < len(Health) and 0 <= weight <= 256


def names_of(data: bytes) -> tuple[str, ...]:
    """The node names that a valid file was made for."""
    nodes = struct.unpack_from("q", data, H_NODES * 8)[0]
    raw = (data[(HEADER + i * ORDER) * 8 :][: NAME_WORDS * 8] for i in range(nodes))
    return tuple(name.rstrip(b"\0").decode("ascii", "replace") for name in raw)
