"""A lock that is a file: one process at a time, let go of by the kernel when the process dies. Linux and Windows."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _take(fd: int) -> None:
        while True:
            os.lseek(fd, 0, os.SEEK_SET)
            try:
                msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
                return
            except OSError:  # LK_LOCK would give up after ten tries a second apart
                time.sleep(0.01)

else:
    import fcntl

    def _take(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX)


@contextlib.contextmanager
def alone(path: Path, mode: int = 0o600) -> Iterator[None]:
    """Wait until no other process is inside, then be the one. The file is made with `mode` and stays. OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), mode)
    try:
        _take(fd)
        yield
    finally:
        os.close(fd)
