"""The scoreboard: all that is known of each node, in one memory-mapped file that all processes share.

    header | one order record a node | one slot a worker: head, one record a node (with histogram), own histogram

The control process writes the header and the order records; each worker writes only its own slot; readers add up.
So nobody waits for a lock, and whatever a dead process had counted stays counted. Every word is 8 bytes, aligned,
and written whole. A worker owns a slot as long as it holds a file lock on the slot's first word: the kernel lets go
of it when the process dies, however it dies, and whoever comes next (`claim`, `reap`) clears what it had in flight.

Times are CLOCK_MONOTONIC seconds, which all processes of a host share; after a reboot they are dropped.
"""

import fcntl
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from balancer.histogram import BUCKETS
from cluster.states import READY, STATE, Admin, Health, State
from cluster.wire import NodeReport

MAGIC = 0x46414952_4C454144  # "FAIRLEAD"
VERSION = 1
_NAME_WORDS = 4

# Header words
_H_MAGIC, _H_VERSION, _H_NODES, _H_SLOTS, _H_CHECK, _H_GENERATION, _H_BOOT = range(7)
_H_ALGORITHM = 8  # 32 bytes of ASCII
_HEADER = 16

# Order record: what the control process says of a node
(_O_ADMIN, _O_HEALTH, _O_WEIGHT, _O_SLOW_FROM, _O_RIF, _O_SLOTS, _O_SERVICE_MS, _O_REPORT_AT, _O_CLEARED_AT) = range(
    _NAME_WORDS, _NAME_WORDS + 9
)
_ORDER = 16

# Slot head: one worker
(S_PID, S_GENERATION, S_CONNECTIONS, S_REQUESTS, S_PICKS, S_ERRORS, S_REJECTED, S_ABORTED, S_RETRIES, S_BYTES_IN,
 S_BYTES_OUT, S_IN_FLIGHT, S_DROPPED_LINES) = range(13)  # fmt: skip
_SLOT_HEAD = 16
COUNTERS = (S_REQUESTS, S_ERRORS, S_REJECTED, S_ABORTED, S_RETRIES, S_BYTES_IN, S_BYTES_OUT)

# Worker x node record
(N_IN_FLIGHT, N_ATTEMPTS, N_ERRORS, N_RETRIED, N_FAILURES, N_EJECTED_UNTIL, N_EJECTIONS, N_CAUSE, N_RIF, N_SLOTS,
 N_SERVICE_MS, N_REPORT_AT, N_SENT_AT_REPORT, N_LATENCY_MS, N_LATENCY_AT, N_OWN_SERVICE_MS,
 N_OWN_SERVICE_AT) = range(17)  # fmt: skip
_NODE_HEAD = 24
_NODE = _NODE_HEAD + BUCKETS

EWMA = 0.05  # share of a new sample; research of the algorithms: learned speeds cost 1-6 % against true ones


class Scoreboard:
    """Shared counters of `len(names)` nodes and `slots` workers over `buffer` (a memory map, or plain memory)."""

    def __init__(self, buffer: mmap.mmap | bytearray, names: Sequence[str], slots: int, fd: int = -1) -> None:
        view = memoryview(buffer)
        self.q = view.cast("q")
        self.d = view.cast("d")
        self.names = tuple(names)
        self.slots = slots
        self.slot = 0  # mine, after claim()
        self._fd = fd
        self._bytes = view
        self._slot_words = _SLOT_HEAD + len(names) * _NODE + BUCKETS
        self.live: tuple[int, ...] = tuple(range(slots))
        self.nodes = [NodeRecord(self, i, name) for i, name in enumerate(names)]
        self.refresh_live()

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def in_memory(cls, names: Sequence[str], slots: int = 1) -> "Scoreboard":
        """One that nobody shares: for tests and the simulator."""
        board = cls(_blank(names, slots, boot=0), names, slots)
        board.live = tuple(range(slots))
        for node in board.nodes:
            node.refresh()
        return board

    @classmethod
    def open(cls, path: Path, names: Sequence[str], slots: int) -> "Scoreboard":
        """Map the file, making it anew when it is missing, damaged, or of another fleet; then what can be carried over
        (counters and orders of nodes that have the same name) is. Safe when several processes open at once."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        guard = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            old = _read_valid(path)
            if old is None or _names_of(old) != tuple(names) or struct.unpack_from("q", old, _H_SLOTS * 8)[0] != slots:
                fresh = _blank(names, slots, _boot_id())
                if old is not None:
                    _carry_over(old, fresh)
                partial = path.with_name(path.name + ".new")
                partial.write_bytes(fresh)
                partial.chmod(0o600)
                partial.rename(path)
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            board = cls(mmap.mmap(fd, 0), names, slots, fd)
            board._forget_other_boot()
            return board
        finally:
            os.close(guard)

    def _forget_other_boot(self) -> None:
        """Monotonic times of another boot mean nothing."""
        if self.q[_H_BOOT] == _boot_id():
            return
        self.q[_H_BOOT] = _boot_id()
        for node in self.nodes:
            node.forget_times()

    def is_current(self, path: Path) -> bool:
        """Whether `path` still names the file that is mapped here."""
        try:
            now, mine = os.stat(path), os.fstat(self._fd)
        except OSError:
            return False
        return (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)

    # -- slots -------------------------------------------------------------------------------------------------------

    def claim(self) -> int:
        """Take a free worker slot; its counters go on, its gauges start at 0. RuntimeError when all are taken."""
        self.reap()
        for slot in range(self.slots):
            if self._lock(slot):
                self.slot = slot
                self.q[self._slot_at(slot) + S_PID] = os.getpid()
                self._clear_gauges(slot)
                self.refresh_live()
                return slot
        raise RuntimeError(f"all {self.slots} worker slots of the scoreboard are taken")

    def reap(self) -> int:
        """Clear what dead workers had in flight; returns how many died since the last call."""
        died = 0
        for slot in range(self.slots):
            at = self._slot_at(slot)
            if self.q[at + S_PID] and self.q[at + S_PID] != os.getpid() and self._lock(slot):
                self._clear_gauges(slot)
                self.q[at + S_PID] = 0
                self._unlock(slot)
                died += 1
        if died:
            self.refresh_live()
        return died

    def refresh_live(self) -> None:
        """Learn which slots have a worker; call it a few times a second."""
        live = tuple(s for s in range(self.slots) if self.q[self._slot_at(s) + S_PID]) or (self.slot,)
        if live != self.live:
            self.live = live
            for node in self.nodes:
                node.refresh()

    def _slot_at(self, slot: int) -> int:
        return _HEADER + len(self.names) * _ORDER + slot * self._slot_words

    def _clear_gauges(self, slot: int) -> None:
        at = self._slot_at(slot)
        self.q[at + S_CONNECTIONS] = self.q[at + S_IN_FLIGHT] = 0
        for i in range(len(self.names)):
            self.q[at + _SLOT_HEAD + i * _NODE + N_IN_FLIGHT] = 0

    def _lock(self, slot: int) -> bool:
        if self._fd < 0:
            return True
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 8, self._slot_at(slot) * 8)
        except OSError:
            return False
        return True

    def _unlock(self, slot: int) -> None:
        if self._fd >= 0:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 8, self._slot_at(slot) * 8)

    # -- what the control process orders -----------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Grows with every order, so that a worker sees with one read that there is a new one."""
        return self.q[_H_GENERATION]

    @property
    def algorithm(self) -> str:
        """Key of the algorithm in force; "" before the first order."""
        raw = bytes(self._bytes[_H_ALGORITHM * 8 : _H_ALGORITHM * 8 + 32])
        return raw.rstrip(b"\0").decode("ascii", "replace")

    def order_algorithm(self, key: str) -> None:
        """Switch; every worker follows at its next pick."""
        self._bytes[_H_ALGORITHM * 8 : _H_ALGORITHM * 8 + 32] = key.encode("ascii").ljust(32, b"\0")
        self.changed()

    def changed(self) -> None:
        """Tell the workers that an order record was written."""
        self.q[_H_GENERATION] += 1

    # -- adding up ---------------------------------------------------------------------------------------------------

    def add(self, counter: int, amount: int = 1) -> None:
        """Add to one of my slot's counters (S_...)."""
        self.q[self._slot_at(self.slot) + counter] += amount

    def total(self, counter: int) -> int:
        """A counter (S_...) over all slots, dead workers' included."""
        return sum(self.q[self._slot_at(s) + counter] for s in range(self.slots))

    def worker(self, slot: int, counter: int) -> int:
        """A counter of one slot."""
        return self.q[self._slot_at(slot) + counter]

    @property
    def own(self) -> int:
        """Where my slot begins, in words: `q[own + S_...]`."""
        return self._slot_at(self.slot)

    @property
    def own_histogram(self) -> int:
        """Where my histogram of whole requests begins, in words."""
        return self._slot_at(self.slot) + self._slot_words - BUCKETS

    def histogram(self) -> list[int]:
        """Whole requests over all slots."""
        return self._sum([self._slot_at(s) + self._slot_words - BUCKETS for s in range(self.slots)])

    def _sum(self, starts: list[int]) -> list[int]:
        used = [self.q[at : at + BUCKETS].tolist() for at in starts]
        return [sum(column) for column in zip(*used, strict=True)] if len(used) > 1 else used[0]


class NodeRecord:
    """One node on the scoreboard: what algorithms look at. Properties read the shared memory; nothing is cached."""

    def __init__(self, board: Scoreboard, index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.slots: int | None = None  # as configured
        self._board = board
        self._q = board.q
        self._d = board.d
        self._order = _HEADER + index * _ORDER
        self._live: tuple[int, ...] = ()
        self._all = tuple(
            board._slot_at(s) + _SLOT_HEAD + index * _NODE for s in range(board.slots)
        )  # where each slot's record of this node begins
        self.refresh()

    def refresh(self) -> None:
        """Follow a change of live workers."""
        self._live = tuple(self._all[s] for s in self._board.live)

    @property
    def own(self) -> int:
        """Where my worker's record begins, in words: `q[own + N_...]`."""
        return self._all[self._board.slot]

    @property
    def in_flight(self) -> int:
        """Requests that this balancer has at the node now, over its workers."""
        q = self._q
        return sum([q[at] for at in self._live])  # N_IN_FLIGHT is word 0

    @property
    def weight(self) -> int:
        """Relative share wanted."""
        return self._q[self._order + _O_WEIGHT]

    def count(self, counter: int) -> int:
        """A counter (N_...) over all workers, dead ones included."""
        return sum([self._q[at + counter] for at in self._all])

    def histogram(self) -> list[int]:
        """Attempts over all workers, by time to the end of the answer."""
        return self._board._sum([at + _NODE_HEAD for at in self._all])

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def admin(self) -> Admin:
        return Admin(self._q[self._order + _O_ADMIN])

    @property
    def health(self) -> Health:
        return Health(self._q[self._order + _O_HEALTH])

    def ejected_until(self) -> float:
        """Monotonic time until which some worker ejected it; ejections before the last pardon do not count."""
        until = max([self._d[at + N_EJECTED_UNTIL] for at in self._all])
        return until if until > self._d[self._order + _O_CLEARED_AT] else 0.0

    def state(self, now: float) -> State:
        """The one word."""
        return STATE[self.admin, self.health, self.ejected_until() > now]

    def ready(self, now: float) -> bool:
        """Whether it may be picked."""
        return self.state(now) in READY and self.weight > 0

    def slow_start(self, now: float, seconds: float) -> float:
        """Share of the traffic that it gets while it warms up: 0.1 growing to 1.0 over `seconds`."""
        begun = self._d[self._order + _O_SLOW_FROM]
        if not begun or seconds <= 0 or now >= begun + seconds:
            return 1.0
        return max(0.1, (now - begun) / seconds)

    # -- orders, written by the control process ------------------------------------------------------------------------

    def order(
        self,
        *,
        admin: Admin | None = None,
        health: Health | None = None,
        weight: int | None = None,
        slow_from: float | None = None,
    ) -> None:
        """Write orders; the workers see them at their next pick."""
        q, at = self._q, self._order
        if admin is not None:
            q[at + _O_ADMIN] = admin
        if health is not None:
            q[at + _O_HEALTH] = health
        if weight is not None:
            q[at + _O_WEIGHT] = weight
        if slow_from is not None:
            self._d[at + _O_SLOW_FROM] = slow_from
        self._board.changed()

    def pardon(self, now: float) -> None:
        """End its ejections (an operator enabled it)."""
        self._d[self._order + _O_CLEARED_AT] = max(now, *[self._d[at + N_EJECTED_UNTIL] for at in self._all])
        self._board.changed()

    def report_probed(self, report: NodeReport, now: float) -> None:
        """A report that a probe brought."""
        d, at = self._d, self._order
        d[at + _O_RIF], d[at + _O_SLOTS], d[at + _O_SERVICE_MS] = report["rif"], report["slots"], report["service_ms"]
        d[at + _O_REPORT_AT] = now

    # -- outcomes, written by a worker ---------------------------------------------------------------------------------

    def start(self) -> None:
        """One more in flight. Nothing may yield between the pick and this."""
        q, at = self._q, self._all[self._board.slot]
        q[at] += 1
        q[at + N_ATTEMPTS] += 1

    def end(self) -> None:
        """One less in flight, however it ended."""
        self._q[self._all[self._board.slot]] -= 1

    def answered(self, latency_ms: float, bucket: int, unqueued: bool, now: float) -> None:
        """A whole answer came. `unqueued`: it met a free slot, so its latency is a sample of pure service time."""
        q, d, at = self._q, self._d, self._all[self._board.slot]
        q[at + _NODE_HEAD + bucket] += 1
        q[at + N_FAILURES] = 0
        self._average(at + N_LATENCY_MS, latency_ms)
        d[at + N_LATENCY_AT] = now
        if unqueued:
            self._average(at + N_OWN_SERVICE_MS, latency_ms)
            d[at + N_OWN_SERVICE_AT] = now

    def _average(self, word: int, sample: float) -> None:
        old = self._d[word]
        self._d[word] = sample if old == 0.0 else old + EWMA * (sample - old)

    def reported(self, report: NodeReport, now: float) -> None:
        """A report that an answer brought."""
        d, at = self._d, self._all[self._board.slot]
        d[at + N_RIF], d[at + N_SLOTS], d[at + N_SERVICE_MS] = report["rif"], report["slots"], report["service_ms"]
        d[at + N_REPORT_AT] = now
        self._q[at + N_SENT_AT_REPORT] = self.count(N_ATTEMPTS)

    # -- what is known of its load -------------------------------------------------------------------------------------

    def newest_report(self) -> tuple[NodeReport, float, int] | None:
        """The newest report, when it came, and how many requests were sent since; None: it never reported."""
        d = self._d
        at = max(self._all, key=lambda a: d[a + N_REPORT_AT])
        heard, probed = d[at + N_REPORT_AT], d[self._order + _O_REPORT_AT]
        if not heard and not probed:
            return None
        if heard >= probed:
            sent = self.count(N_ATTEMPTS) - self._q[at + N_SENT_AT_REPORT]
            return (
                NodeReport(rif=int(d[at + N_RIF]), slots=int(d[at + N_SLOTS]), service_ms=d[at + N_SERVICE_MS]),
                heard,
                sent,
            )
        o = self._order
        report = NodeReport(rif=int(d[o + _O_RIF]), slots=int(d[o + _O_SLOTS]), service_ms=d[o + _O_SERVICE_MS])
        return report, probed, 0

    def own_service_ms(self) -> tuple[float, float]:
        """Pure service time that the workers saw, and when last; (0, 0) without a sample."""
        return self._newest(N_OWN_SERVICE_MS, N_OWN_SERVICE_AT)

    def latency_ms(self) -> tuple[float, float]:
        """Moving average of latency that the workers saw, and when last; (0, 0) without a sample."""
        return self._newest(N_LATENCY_MS, N_LATENCY_AT)

    def _newest(self, value: int, stamp: int) -> tuple[float, float]:
        at = max(self._all, key=lambda a: self._d[a + stamp])
        return self._d[at + value], self._d[at + stamp]

    def own_words(self) -> tuple[int, ...]:
        """Where each worker's record of this node begins, in words."""
        return self._all

    def forget_times(self) -> None:
        """Drop every monotonic time: the machine was rebooted."""
        for at in self._all:
            for word in (N_EJECTED_UNTIL, N_REPORT_AT, N_LATENCY_AT, N_OWN_SERVICE_AT):
                self._d[at + word] = 0.0
        for word in (_O_SLOW_FROM, _O_REPORT_AT, _O_CLEARED_AT):
            self._d[self._order + word] = 0.0
        self.order(health=Health.UNKNOWN)


# -- the file's format ---------------------------------------------------------------------------------------------


def _size(nodes: int, slots: int) -> int:
    return 8 * (_HEADER + nodes * _ORDER + slots * (_SLOT_HEAD + nodes * _NODE + BUCKETS))


def _boot_id() -> int:
    """A number that is the same until the next reboot."""
    try:
        return zlib.crc32(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    except OSError:
        return 0


def _check(nodes: int, slots: int, names: bytes) -> int:
    return zlib.crc32(struct.pack("4q", MAGIC, VERSION, nodes, slots) + names)


def _blank(names: Sequence[str], slots: int, boot: int) -> bytearray:
    data = bytearray(_size(len(names), slots))
    encoded = b"".join(name.encode("ascii").ljust(_NAME_WORDS * 8, b"\0") for name in names)
    check = _check(len(names), slots, encoded)
    struct.pack_into("7q", data, 0, MAGIC, VERSION, len(names), slots, check, 1, boot)
    for i in range(len(names)):
        at = (_HEADER + i * _ORDER) * 8
        data[at : at + _NAME_WORDS * 8] = encoded[i * _NAME_WORDS * 8 : (i + 1) * _NAME_WORDS * 8]
        struct.pack_into("q", data, at + _O_WEIGHT * 8, 1)
    return data


def _read_valid(path: Path) -> bytes | None:
    """The file's bytes if they are a scoreboard, whole and of this version."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) < _HEADER * 8:
        return None
    magic, version, nodes, slots, check = struct.unpack_from("5q", data)
    if magic != MAGIC or version != VERSION or not (0 < nodes < 100_000 and 0 < slots < 10_000):
        return None
    if len(data) != _size(nodes, slots):
        return None
    raw = b"".join(data[(_HEADER + i * _ORDER) * 8 :][: _NAME_WORDS * 8] for i in range(nodes))
    return data if check == _check(nodes, slots, raw) else None


def _names_of(data: bytes) -> tuple[str, ...]:
    nodes = struct.unpack_from("q", data, _H_NODES * 8)[0]
    raw = (data[(_HEADER + i * _ORDER) * 8 :][: _NAME_WORDS * 8] for i in range(nodes))
    return tuple(name.rstrip(b"\0").decode("ascii", "replace") for name in raw)


def _carry_over(old: bytes, fresh: bytearray) -> None:
    """Copy orders and counters of nodes that both have, summed into the fresh board's first slot."""
    names_old, names_new = _names_of(old), _names_of(bytes(fresh))
    before = Scoreboard(bytearray(old), names_old, struct.unpack_from("q", old, _H_SLOTS * 8)[0])
    after = Scoreboard(fresh, names_new, struct.unpack_from("q", fresh, _H_SLOTS * 8)[0])
    if before.algorithm:
        after.order_algorithm(before.algorithm)
    for counter in COUNTERS:
        after.add(counter, before.total(counter))
    for record in after.nodes:
        if record.name not in names_old:
            continue
        known = before.nodes[names_old.index(record.name)]
        record.order(admin=known.admin, weight=known.weight)
        for counter in (N_ATTEMPTS, N_ERRORS, N_RETRIED, N_EJECTIONS):
            after.q[record.own + counter] = known.count(counter)
