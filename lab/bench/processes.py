"""Processes of a run: started on one CPU, measured as a tree, ended by pid.

Times and sizes come from /proc (proc(5)): `stat` for user and system time, `smaps_rollup` for the proportional share of
memory, so that pages which a master shares with its workers are counted once.
"""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from cluster.paths import PROJECT

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PORTS = range(21000, 32000)
STOP_S = 5.0  # how long a process may take to end by itself


class Stat(NamedTuple):
    """What one line of /proc/PID/stat says."""

    parent: int
    cpu_s: float
    """User and system time of all its threads since it began."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a program is started. Its output goes to `log`."""

    argv: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    stdin: int = subprocess.DEVNULL
    """A descriptor that it gets as its standard input, such as a listening socket."""


class StartError(Exception):
    """A program did not come up; the message is for people."""


def parse_stat(line: str) -> Stat:
    """One /proc/PID/stat. The program's name may hold spaces and brackets, so fields count from the last bracket."""
    words = line.rpartition(") ")[2].split()
    return Stat(int(words[1]), (int(words[11]) + int(words[12])) * TICK_S)


def read_stats() -> dict[int, Stat]:
    """All processes by pid."""
    stats = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                stats[int(entry)] = parse_stat((PROC / entry / "stat").read_text())
    return stats


def tree(stats: Mapping[int, Stat], root: int) -> list[int]:
    """`root` and all its descendants, parents first; empty when there is no such process."""
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    found = [root] if root in stats else []
    for pid in found:
        found += children.get(pid, [])
    return found


def tree_cpu_s(stats: Mapping[int, Stat], root: int) -> float:
    """CPU seconds of a process and its descendants. Those that have ended are not in it."""
    return sum(stats[pid].cpu_s for pid in tree(stats, root))


def memory_mb(root: int) -> float:
    """Memory of a process tree in MB (10^6 bytes): proportional set size, or resident size where that is not told."""
    kib = 0
    for pid in tree(read_stats(), root):
        for name, key in (("smaps_rollup", "Pss"), ("status", "VmRSS")):
            with contextlib.suppress(OSError):
                match = re.search(rf"^{key}:\s+(\d+) kB", (PROC / str(pid) / name).read_text(), re.MULTILINE)
                if match:
                    kib += int(match[1])
                    break
    return kib * 1024 / 1e6


def written_mb(root: int) -> float:
    """Memory that a process tree has written and shares with nobody, in MB: grows only when it holds more itself."""
    kib = 0
    for pid in tree(read_stats(), root):
        with contextlib.suppress(OSError):
            rollup = (PROC / str(pid) / "smaps_rollup").read_text()
            kib += sum(int(size) for size in re.findall(r"^Private_Dirty:\s+(\d+) kB", rollup, re.MULTILINE))
    return kib * 1024 / 1e6


def machine_cpu_s() -> float:
    """CPU seconds that all processes of the machine, and the kernel for them, have used since it started."""
    words = (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, words[:7])
    return (user + nice + system + irq + softirq) * TICK_S


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, below those that the kernel gives to outgoing connections."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(PORTS, len(PORTS)):
            if len(ports) == count:
                return ports
            sock = held.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                ports.append(port)
    raise StartError(f"fewer than {count} free ports from {PORTS[0]} to {PORTS[-1]}")


@contextlib.contextmanager
def on_cpu(cpu: int) -> Iterator[None]:
    """Run on one CPU for a while. What is started meanwhile stays there, and so do its children."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Processes:
    """Started programs; all of them are ended when the `with` block is left, however it is left."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[subprocess.Popen[bytes], Command]] = {}

    def start(self, command: Command, cpu: int | None = None) -> int:
        """Start in the background, on that CPU if one is given, in a session of its own. Returns the pid."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FAIRLEAD_")}
        with open(command.log, "ab") as log, nullcontext() if cpu is None else on_cpu(cpu):
            process = subprocess.Popen(
                command.argv,
                stdin=command.stdin, stdout=log, stderr=log,
                cwd=PROJECT, env=kept | command.environment, start_new_session=True,
            )  # fmt: skip
        self._running[process.pid] = process, command
        return process.pid

    def ended(self, pid: int) -> bool:
        """Whether a started program has ended."""
        return pid not in self._running or self._running[pid][0].poll() is not None

    def check(self) -> None:
        """StartError when one of them has ended."""
        for process, command in self._running.values():
            if process.poll() is not None:
                told = command.log.read_text(errors="replace").strip().splitlines()[-8:]
                raise StartError(
                    f"{command.argv[0]} ended with code {process.returncode}:\n  "
                    + "\n  ".join(told or ["(no output)"])
                )

    def end(self, pid: int, signum: int = signal.SIGTERM, within_s: float = STOP_S) -> None:
        """End one of them, by force when it takes longer. With SIGKILL its children live on, as after a crash."""
        process, _ = self._running.pop(pid)
        children = tree(read_stats(), pid)
        process.send_signal(signum)
        _reap(process, children, time.monotonic() + within_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of them behind
        try:
            self._end_all()
        finally:
            signal.signal(signal.SIGINT, before)

    def _end_all(self) -> None:
        stats = read_stats()
        trees = {pid: tree(stats, pid) for pid in self._running}
        for process, _ in self._running.values():
            process.terminate()
        until = time.monotonic() + STOP_S
        for process, _ in self._running.values():
            _reap(process, trees[process.pid], until)
        self._running.clear()


def _reap(process: subprocess.Popen[bytes], pids: list[int], until: float) -> None:
    """Wait for the end of a program; when it is late, kill it and what it started."""
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
