"""Taking turns: of the two gunicorn masters of a balancer one serves, the other stands by.

Supervisor starts both alike, with one listening socket (deploy/supervisor/balancer.conf.j2). Both import everything,
then ask for one lock. Who has it serves. The other one waits for it and does nothing else; meanwhile it keeps the port
open. When the first dies, the kernel frees the lock; when it is told to stop, it lets go at once and finishes what it
has in hand beside the other. So a new connection never waits for Python to start (docs/decisions/0014).

The lock is on a file, which somebody may remove: who serves makes it anew, and who waits looks whether what it got is
still the lock that the others ask for.
"""

import os
import signal
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster import file_lock, pair, paths

PAIR = "FAIRLEAD_PAIR"
"""In the environment of both processes: Supervisor's name of them."""


def serving_master() -> int:
    """The pid of the master whose turn it is; 0 when this process is not one of two."""
    program = os.environ.get(PAIR)
    return pair.read_pid(pair.serving_file(paths.state_dir(), program)) if program else 0


def has_workers_to_come(master: int, claimed: Collection[int]) -> bool:
    """Whether a living master has no worker yet, or one whose pid is not among those that `claimed` their place."""
    try:
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    except OSError:
        return False
    return not children or not {int(pid) for pid in children} <= set(claimed)


class Turn:
    """One process's part in it."""

    def __init__(self, state: Path, program: str) -> None:
        """`program`: Supervisor's name, which both processes share."""
        self._serving = pair.serving_file(state, program)
        self._standby = pair.standby_file(state, program)
        self._lock = -1

    def wait(self, arbiter: Any) -> None:
        """Until it is our turn; then it is ours until `arbiter`, gunicorn's master, dies or begins to stop.

        gunicorn's hook `on_starting`. No signal handler is there yet: a master that stands by dies of any signal.
        """
        self._serving.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take()
        stop, manage_workers = arbiter.stop, arbiter.manage_workers

        def pass_on_and_stop(graceful: bool = True) -> None:
            self._let_go()
            stop(graceful)

        def hold_on_and_manage() -> None:
            self._hold_on()
            manage_workers()

        # gunicorn has no hooks for the beginning of a stop, nor for once a second
        arbiter.stop, arbiter.manage_workers = pass_on_and_stop, hold_on_and_manage

    def disown(self, arbiter: Any, worker: Any) -> None:
        """gunicorn's hook `post_fork`: a worker must not go on holding the lock of a master that is dead."""
        self._let_go()

    def _take(self) -> None:
        while not self._is_held():
            self._let_go()
            self._lock = _open(self._serving)
            try:
                file_lock.take_at_once(self._lock)
            except BlockingIOError:
                self._say_that_we_stand_by()
                file_lock.take(self._lock)
        pair.write_pid(self._lock)

    def _say_that_we_stand_by(self) -> None:
        with suppress(OSError):  # a deploy will miss it; the clients shall not
            file = _open(self._standby)
            pair.write_pid(file)
            os.close(file)

    def _is_held(self) -> bool:
        """Whether what we have is the lock that others ask for."""
        try:
            return self._lock >= 0 and os.path.samestat(os.fstat(self._lock), os.stat(self._serving))
        except OSError:
            return False

    def _hold_on(self) -> None:
        """When the file was removed, make it anew before another process does."""
        if self._lock < 0 or self._is_held():
            return
        before = self._lock
        with suppress(OSError):
            self._lock = _open(self._serving)
            try:
                file_lock.take_at_once(self._lock)
            except BlockingIOError:  # another one serves already: one is enough
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                pair.write_pid(self._lock)
            os.close(before)

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
