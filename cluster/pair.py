"""The two processes of one balancer under Supervisor: one serves, the other stands by.

Here is how the rest of their host knows which is which: by the pids that they leave in two files of the state folder.
"""

import contextlib
import os
from pathlib import Path


def serving_file(state: Path, program: str) -> Path:
    """The lock that the one that serves holds, and its pid. `program`: Supervisor's name of the balancer."""
    return state / f"{program}.serving"


def standby_file(state: Path, program: str) -> Path:
    """The pid of the one that waits for the lock, with everything imported."""
    return state / f"{program}.standby"


def write_pid(fd: int) -> None:
    """Make an open file hold the pid of this process and nothing else; on a full disk it may not."""
    pid = b"%-20d" % os.getpid()
    with contextlib.suppress(OSError):
        os.pwrite(fd, pid, 0)  # before anything is cut off: a full disk takes what lies on a block that the file has
        os.ftruncate(fd, len(pid))


def read_pid(path: Path) -> int:
    """The pid that a file holds; 0 when there is none. The process may have ended since."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
