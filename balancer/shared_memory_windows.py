"""The scoreboard's memory on Windows: what shared_memory.py is on Linux, with the same functions.

Windows neither cuts a file short nor deletes it while somebody has it mapped, so an ordinary file does what a sealed
memfd does elsewhere. Which one it is, stands in the file of the holders. It is joined whether somebody lives or not:
what dead workers left in it is cleared by whoever takes their slots.
"""

import contextlib
import msvcrt
import os
import secrets
import sys
from pathlib import Path

assert sys.platform == "win32"  # so that mypy reads the rest only for there

_BEYOND = 1 << 40  # locks lie behind the content: a locked byte could not be read through the descriptor by others
_OPEN = os.O_RDWR | os.O_BINARY | os.O_NOINHERIT


def make(holders: Path, content: bytes | bytearray) -> int:
    """New memory with this content; its descriptor. Nobody finds it until `announce`."""
    path = holders.with_name(f"{holders.name}.{secrets.token_hex(6)}")
    fd = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, content)
    _paths[fd] = path
    return fd


def read(fd: int) -> bytes:
    """All of it."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", closefd=False) as file:
        return file.read()


def join(holders: Path) -> int | None:
    """A descriptor of the memory that was announced last; None when there is none."""
    with contextlib.suppress(OSError):
        path = holders.with_name(holders.read_text("ascii").strip())
        if path.name.startswith(holders.name + "."):
            fd = os.open(path, _OPEN)
            _paths[fd] = path
            return fd
    return None


def announce(holders: Path, fd: int) -> None:
    """Make this the one that others join; those that nobody has mapped any more are deleted."""
    fresh = holders.with_name(holders.name + "-new")
    fresh.write_text(_paths[fd].name, "ascii")
    fresh.replace(holders)
    for other in holders.parent.glob(f"{holders.name}.*"):
        if other != _paths[fd]:
            with contextlib.suppress(OSError):
                other.unlink()


def is_announced(holders: Path, fd: int) -> bool | None:
    """Whether others join this memory; None: nobody can join any."""
    try:
        return holders.read_text("ascii").strip() == _paths[fd].name
    except (OSError, ValueError):
        return None


def lock(fd: int, at: int) -> bool:
    """Take the word at this byte, unless another process has it: True when it is ours now. It ends with the process."""
    if (fd, at) in _locked:
        return True
    os.lseek(fd, _BEYOND + at, os.SEEK_SET)
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 8)
    except OSError:
        return False
    _locked.add((fd, at))
    return True


def unlock(fd: int, at: int) -> None:
    """Give a word back."""
    _locked.discard((fd, at))
    os.lseek(fd, _BEYOND + at, os.SEEK_SET)
    msvcrt.locking(fd, msvcrt.LK_UNLCK, 8)


_paths: dict[int, Path] = {}
_locked: set[tuple[int, int]] = set()  # Windows refuses a second lock of one process, which elsewhere is granted
