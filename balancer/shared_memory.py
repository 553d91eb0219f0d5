"""The scoreboard's memory: shared by the processes of a balancer, without a name by which anybody could damage it.

Whoever touches a mapped file that was cut short dies (SIGBUS), and one that was overwritten tells all workers nonsense.
So the memory is a memfd, sealed against shrinking, that lives as long as one process holds it. Newcomers find it
through /proc of a process that does. Who does, stands in a file beside the saved copy, one line `pid fd inode` each.
Living processes write their line again when it is lost, so whatever becomes of the files, they keep their memory.

Whoever joins or announces holds the scoreboard's guard, so that it is one process at a time.
"""

import contextlib
import fcntl
import os
from pathlib import Path

NAME = "fairlead-scoreboard"
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def make(holders: Path, content: bytes | bytearray) -> int:
    """New memory with this content, whose size is fixed for ever; its descriptor. Nobody finds it until `announce`."""
    fd = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(fd, "wb", closefd=False) as file:
        file.write(content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def read(fd: int) -> bytes:
    """All of it."""
    return os.pread(fd, os.fstat(fd).st_size, 0)


def join(holders: Path) -> int | None:
    """A descriptor of the memory that living processes hold; None when nobody holds any.

    Keep it: closing one descriptor costs a process all its locks on the memory, whatever others it has (fcntl(2)).
    """
    for _, place, _ in _living(holders):
        with contextlib.suppress(OSError):
            return os.open(place, os.O_RDWR | os.O_CLOEXEC)
    return None


def announce(holders: Path, fd: int) -> None:
    """Write down that this process holds this memory, and only that: holders of another are of the past."""
    inode = os.fstat(fd).st_ino
    mine = f"{os.getpid()} {fd} {inode}"
    lines = [line for line, _, other in _living(holders) if other == inode and line != mine]
    text = "\n".join([*lines, mine, ""]).encode()
    fresh = holders.with_name(holders.name + ".new")
    try:
        fresh.write_bytes(text)
        fresh.chmod(0o600)
        fresh.replace(holders)
    except OSError:  # a full disk: there is still the room that the old one takes
        with holders.open("r+b") as file:
            file.write(text)
            file.truncate()


def is_announced(holders: Path, fd: int) -> bool | None:
    """Whether this process stands there with this memory; None: nobody stands there, or only others with the same."""
    inode = os.fstat(fd).st_ino
    living = _living(holders)
    if any(other != inode for _, _, other in living):
        return False
    return True if f"{os.getpid()} {fd} {inode}" in (line for line, _, _ in living) else None


def lock(fd: int, at: int) -> bool:
    """Take the word at this byte, unless another process has it: True when it is ours now. It ends with the process."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 8, at)
    except OSError:
        return False
    return True


def unlock(fd: int, at: int) -> None:
    """Give a word back."""
    fcntl.lockf(fd, fcntl.LOCK_UN, 8, at)


def _living(holders: Path) -> list[tuple[str, str, int]]:
    """Line, path of the descriptor and inode of each process that holds what it says."""
    try:
        lines = holders.read_bytes().decode("ascii", "replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        words = line.split()
        if len(words) != 3 or not all(word.isascii() and word.isdigit() for word in words):
            continue
        pid, fd, inode = words
        place = f"/proc/{pid}/fd/{fd}"
        with contextlib.suppress(OSError):
            if os.readlink(place).startswith(f"/memfd:{NAME}") and os.stat(place).st_ino == int(inode):
                found.append((line, place, int(inode)))
    return found
