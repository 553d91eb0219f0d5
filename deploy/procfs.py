"""What /proc tells: who holds a port, and which processes a dead supervisord left behind."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_LISTEN = "0A"  # state column of /proc/net/tcp: TCP_LISTEN (include/net/tcp_states.h)


class Holder(NamedTuple):
    """The process that listens on a port."""

    pid: int
    program: str
    """Its command line, shortened; for a program of a fleet its name and the fleet's state folder."""


def bind_error(address: str, port: int) -> OSError | None:
    """Why `address:port` cannot be listened on; None when it can. The truth is asked of the kernel, by trying."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as all our programs do: TIME_WAIT is no obstacle
        try:
            probe.bind((address, port))
            probe.listen(1)  # with SO_REUSEADDR two may bind; only one may listen
        except OSError as error:
            return error
    return None


def why(error: OSError, port: int) -> str:
    """A sentence on a `bind_error`, with the holder's pid and program when they can be found out."""
    if error.errno == errno.EACCES:
        return "needs root (ports below 1024 do)"
    if error.errno != errno.EADDRINUSE:
        return error.strerror or str(error)
    found = holder(port)
    if found:
        return f"is used by pid {found.pid} ({found.program})"
    return f"is used by another user's program (sudo ss -ltnp 'sport = {port}' names it)"


def holder(port: int) -> Holder | None:
    """Who listens on a TCP port, whatever the address. None: nobody, or a process of another user."""
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in _pids():
        with contextlib.suppress(OSError):
            for fd in (PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(fd) in wanted:
                        return Holder(pid, _who(pid))
    return None


def _who(pid: int) -> str:
    env = environment(pid)
    if env.get("SUPERVISOR_ENABLED") == "1" and "FAIRLEAD_STATE" in env:
        return f"{env['SUPERVISOR_PROCESS_NAME']} of the fleet in {env['FAIRLEAD_STATE']}"
    return command_line(pid)


def command_line(pid: int, width: int = 80) -> str:
    """A process's command line without the program's folder, at most `width` characters; its name when it has none."""
    with contextlib.suppress(OSError):
        program, *arguments = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        words = " ".join([program.rpartition("/")[2], *arguments]).strip()
        line = words or (PROC / str(pid) / "comm").read_text().strip()
        return line if len(line) <= width else line[: width - 1] + "…"
    return "?"


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty when it may not be read."""
    with contextlib.suppress(OSError):
        block = (PROC / str(pid) / "environ").read_bytes().decode(errors="surrogateescape")
        return dict(pair.split("=", 1) for pair in block.split("\0") if "=" in pair)
    return {}


def supervised(state: Path) -> list[int]:
    """Processes that a supervisord with this state folder started, theirs included, as their environment says."""
    found = []
    for pid in _pids():
        env = environment(pid)
        if env.get("SUPERVISOR_ENABLED") == "1" and env.get("FAIRLEAD_STATE") == str(state) and not _zombie(pid):
            found.append(pid)
    return found


def supervisord_of(conf: Path) -> int | None:
    """The supervisord that runs with this configuration file, also when its socket and pid file are lost."""
    wanted = ["supervisor.supervisord", "-c", str(conf)]
    for pid in _pids():
        with contextlib.suppress(OSError):
            words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
            if words[-4:-1] == wanted and not _zombie(pid):
                return pid
    return None


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    return (PROC / str(pid)).exists() and not _zombie(pid)


def _zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(") ")[2][:1] == "Z"
    return True


def _pids() -> Iterator[int]:
    yield from (int(entry) for entry in os.listdir(PROC) if entry.isdigit())


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                column = line.split()
                if column[3] == _LISTEN and int(column[1].rpartition(":")[2], 16) == port:
                    inodes.add(column[9])
    return inodes
