"""A lock that is a file: one process at a time, let go of by the kernel when the process dies. Linux and Windows."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _take(fd: int, wait: bool) -> None:
        while True:
            os.lseek(fd, 0, os.SEEK_SET)
            try:
                msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
                return
            except OSError:  # LK_LOCK would give up after ten tries a second apart
                if not wait:
                    raise BlockingIOError("another process has the lock") from None
                time.sleep(0.01)

else:
    import fcntl

    def _take(fd: int, wait: bool) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def take(fd: int) -> None:
    """Lock an open file until it is closed; waits while another process has it."""
    _take(fd, True)


def take_at_once(fd: int) -> None:
    """Lock an open file until it is closed. BlockingIOError when another process has it."""
    _take(fd, False)


@contextlib.contextmanager
def alone(path: Path, mode: int = 0o600, wait: bool = True) -> Iterator[None]:
    """Wait until no other process is inside, then be the one. The file is made with `mode` and stays. OSError.

    `wait` False: BlockingIOError when another process is inside.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), mode)
    try:
        _take(fd, wait)
        yield
    finally:
        os.close(fd)
