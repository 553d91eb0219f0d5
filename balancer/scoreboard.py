"""The scoreboard: all that is known of each node, in memory that all processes of a balancer share.

    header | one order record a node | one slot a worker: head, one record a node (with histogram), own histogram

The control process writes the header and the order records; each worker writes only its own slot; readers add up.
So nobody waits for a lock, and whatever a dead process had counted stays counted. Every word is 8 bytes, aligned,
and written whole. A worker owns a slot as long as it holds a file lock on the slot's first word: the kernel lets go
of it when the process dies, however it dies, and whoever comes next (`claim`, `reap`) clears what it had in flight.

The memory has no name (shared_memory.py); a copy is saved to a file now and then, and when a worker ends.
Times are CLOCK_MONOTONIC seconds, which all processes of a host share; after a reboot they are dropped.
"""

import contextlib
import errno
import mmap
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from balancer.node_record import NodeRecord
from balancer.scoreboard_layout import (
    COUNTERS,
    H_ALGORITHM,
    H_BOOT,
    H_GENERATION,
    H_SLOTS,
    HEADER,
    N_ATTEMPTS,
    N_BAD_ANSWERS,
    N_EJECTIONS,
    N_ERRORS,
    N_IN_FLIGHT,
    N_RETRIED,
    NODE,
    ORDER,
    S_CONNECTIONS,
    S_IN_FLIGHT,
    S_PID,
    S_QUEUED,
    SLOT_HEAD,
    blank,
    boot_id,
    names_of,
    read_valid,
    valid,
)
from cluster import file_lock
from cluster.histogram import BUCKETS

if sys.platform == "win32":
    from balancer import shared_memory_windows as shared_memory
else:
    from balancer import shared_memory


class Scoreboard:
    """Shared counters of `len(names)` nodes and `slots` workers over `buffer` (a memory map, or plain memory)."""

    def __init__(self, buffer: mmap.mmap | bytearray, names: Sequence[str], slots: int, fd: int = -1) -> None:
        view = memoryview(buffer)
        self.q = view.cast("q")
        self.d = view.cast("d")
        self.names = tuple(names)
        self.slots = slots
        self._fd = fd
        self._path: Path | None = None  # of the saved copy
        self._bytes = view
        self._slot_words = SLOT_HEAD + len(names) * NODE + BUCKETS
        self.live: tuple[int, ...] = tuple(range(slots))
        self.slot = 0  # mine, after claim()
        self.own = 0  # where it begins, in words: `q[own + S_...]`
        self.own_histogram = 0  # where my histogram of whole requests begins, in words
        self.nodes = [NodeRecord(self, i, name) for i, name in enumerate(names)]
        self.use_slot(0)
        self.refresh_live()

    # -- making and opening ------------------------------------------------------------------------------------------

    @classmethod
    def in_memory(cls, names: Sequence[str], slots: int = 1) -> "Scoreboard":
        """One that nobody shares: for tests and the simulator."""
        board = cls(blank(names, slots, boot=0), names, slots)
        board.live = tuple(range(slots))
        for node in board.nodes:
            node.refresh()
        return board

    @classmethod
    def open(cls, path: Path, names: Sequence[str], slots: int) -> "Scoreboard":
        """Join the memory that other processes hold, or make it from the saved copy at `path`, or anew when that is
        missing or damaged. When it is of another fleet, what can be carried over (counters and orders of nodes that
        have the same name) is. Safe when several processes open at once."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _guard(path):
            fd = shared_memory.join(_holders(path))
            old = read_valid(path) if fd is None else valid(shared_memory.read(fd))
            fits = old is not None and (names_of(old), _slots_of(old)) == (tuple(names), slots)
            joined = fd is not None and fits
            if fd is None or not fits:
                if fd is not None:
                    os.close(fd)
                fresh = bytearray(old) if old is not None and fits else blank(names, slots, boot_id())
                if old is not None and not fits:
                    _carry_over(old, fresh)
                fd = shared_memory.make(_holders(path), fresh)
            try:
                shared_memory.announce(_holders(path), fd)
            except OSError:  # a full disk
                if not joined:
                    raise  # others would not find this memory; who joined is announced later, by is_current
            board = cls(mmap.mmap(fd, 0), names, slots, fd)
            board._path = path
            board._forget_other_boot()
            if not joined:
                try:
                    board._write()
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            return board

    def save(self) -> None:
        """Write a copy to the disk, for the day when no process lives. A full disk keeps the copy before."""
        if self._path is not None and self.is_current():
            with contextlib.suppress(OSError), _guard(self._path):
                self._write()

    def _write(self) -> None:
        assert self._path is not None
        partial = self._path.with_name(self._path.name + ".new")
        partial.write_bytes(self._bytes)
        partial.chmod(0o600)
        partial.replace(self._path)

    def is_current(self) -> bool:
        """Whether this memory is still the one that newcomers join; when they would not find it, they will now."""
        if self._path is None:
            return True
        holders = _holders(self._path)
        said = shared_memory.is_announced(holders, self._fd)
        if said is None:
            with contextlib.suppress(OSError), _guard(self._path):
                said = shared_memory.is_announced(holders, self._fd)
                if said is None:
                    shared_memory.announce(holders, self._fd)
        return said is not False

    def _forget_other_boot(self) -> None:
        """Monotonic times of another boot mean nothing."""
        if self.q[H_BOOT] == boot_id():
            return
        self.q[H_BOOT] = boot_id()
        for node in self.nodes:
            node.forget_times()

    # -- slots -------------------------------------------------------------------------------------------------------

    def claim(self) -> int:
        """Take a free worker slot; its counters go on, its gauges start at 0. RuntimeError when all are taken."""
        self.reap()
        for slot in range(self.slots):
            if self._lock(slot):
                self.use_slot(slot)
                self.q[self.slot_at(slot) + S_PID] = os.getpid()
                self._clear_gauges(slot)
                self.refresh_live()
                return slot
        raise RuntimeError(f"all {self.slots} worker slots of the scoreboard are taken")

    def reap(self) -> int:
        """Clear what dead workers had in flight; returns how many died since the last call."""
        died = 0
        for slot in range(self.slots):
            at = self.slot_at(slot)
            if self.q[at + S_PID] and self.q[at + S_PID] != os.getpid() and self._lock(slot):
                self._clear_gauges(slot)
                self.q[at + S_PID] = 0
                self._unlock(slot)
                died += 1
        if died:
            self.refresh_live()
        return died

    def pids(self) -> set[int]:
        """Process ids of the workers that have a slot."""
        return {self.q[self.slot_at(slot) + S_PID] for slot in range(self.slots)} - {0}

    def refresh_live(self) -> None:
        """Learn which slots have a worker; call it a few times a second."""
        live = tuple(s for s in range(self.slots) if self.q[self.slot_at(s) + S_PID]) or (self.slot,)
        if live != self.live:
            self.live = live
            for node in self.nodes:
                node.refresh()

    def slot_at(self, slot: int) -> int:
        """Where a slot begins, in words."""
        return HEADER + len(self.names) * ORDER + slot * self._slot_words

    def use_slot(self, slot: int) -> None:
        """Write to this slot from now on; `claim` finds a free one."""
        self.slot = slot
        self.own = self.slot_at(slot)
        self.own_histogram = self.own + self._slot_words - BUCKETS
        for node in self.nodes:
            node.own = node.own_words()[slot]

    def _clear_gauges(self, slot: int) -> None:
        at = self.slot_at(slot)
        self.q[at + S_CONNECTIONS] = self.q[at + S_IN_FLIGHT] = self.q[at + S_QUEUED] = 0
        for i in range(len(self.names)):
            self.q[at + SLOT_HEAD + i * NODE + N_IN_FLIGHT] = 0

    def _lock(self, slot: int) -> bool:
        return self._fd < 0 or shared_memory.lock(self._fd, self.slot_at(slot) * 8)

    def _unlock(self, slot: int) -> None:
        if self._fd >= 0:
            shared_memory.unlock(self._fd, self.slot_at(slot) * 8)

    # -- what the control process orders -----------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Grows with every order, so that a worker sees with one read that there is a new one."""
        return self.q[H_GENERATION]

    @property
    def algorithm(self) -> str:
        """Key of the algorithm in force; "" before the first order."""
        raw = bytes(self._bytes[H_ALGORITHM * 8 : H_ALGORITHM * 8 + 32])
        return raw.rstrip(b"\0").decode("ascii", "replace")

    def order_algorithm(self, key: str) -> None:
        """Switch; every worker follows at its next pick."""
        self._bytes[H_ALGORITHM * 8 : H_ALGORITHM * 8 + 32] = key.encode("ascii").ljust(32, b"\0")
        self.changed()

    def changed(self) -> None:
        """Tell the workers that an order record was written."""
        self.q[H_GENERATION] += 1

    # -- adding up ---------------------------------------------------------------------------------------------------

    def add(self, counter: int, amount: int = 1) -> None:
        """Add to one of my slot's counters (S_...)."""
        self.q[self.slot_at(self.slot) + counter] += amount

    def total(self, counter: int) -> int:
        """A counter (S_...) over all slots, dead workers' included."""
        return sum(self.q[self.slot_at(s) + counter] for s in range(self.slots))

    def worker(self, slot: int, counter: int) -> int:
        """A counter of one slot."""
        return self.q[self.slot_at(slot) + counter]

    def histogram(self) -> list[int]:
        """Whole requests over all slots."""
        return self.add_up([self.slot_at(s) + self._slot_words - BUCKETS for s in range(self.slots)])

    def add_up(self, starts: list[int]) -> list[int]:
        """The sum of the histograms that begin at these words."""
        used = [self.q[at : at + BUCKETS].tolist() for at in starts]
        return [sum(column) for column in zip(*used, strict=True)] if len(used) > 1 else used[0]


def _guard(path: Path) -> contextlib.AbstractContextManager[None]:
    """One process at a time."""
    return file_lock.alone(path.with_name(path.name + ".lock"))


def _holders(path: Path) -> Path:
    return path.with_name(path.name + ".holders")


def _slots_of(data: bytes | bytearray) -> int:
    return int(struct.unpack_from("q", data, H_SLOTS * 8)[0])


def _carry_over(old: bytes, fresh: bytearray) -> None:
    """Copy orders and counters of nodes that both have, summed into the fresh board's first slot."""
    names_old, names_new = names_of(old), names_of(bytes(fresh))
    before = Scoreboard(bytearray(old), names_old, _slots_of(old))
    after = Scoreboard(fresh, names_new, _slots_of(fresh))
    if before.algorithm:
        after.order_algorithm(before.algorithm)
    for counter in COUNTERS:
        after.add(counter, before.total(counter))
    for record in after.nodes:
        if record.name not in names_old:
            continue
        known = before.nodes[names_old.index(record.name)]
        record.order(admin=known.admin, weight=known.weight)
        for counter in (N_ATTEMPTS, N_ERRORS, N_BAD_ANSWERS, N_RETRIED, N_EJECTIONS):
            after.q[record.own + counter] = known.count(counter)
