"""Taking turns: of the two gunicorn masters of a balancer one serves, the other stands by.

Supervisor starts both alike, with one listening socket (deploy/supervisor/balancer.conf.j2). Both import everything,
then ask for one lock. Who has it serves. The other one waits for it and does nothing else; meanwhile it keeps the port
open. When the first dies, the kernel frees the lock; when it is told to stop, it lets go at once and finishes what it
has in hand beside the other. So a new connection never waits for Python to start (docs/decisions/0014).
"""

import os
from collections.abc import Collection
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
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        standby = os.open(self._standby, flags, 0o600)
        pair.write_pid(standby)
        os.close(standby)
        self._lock = os.open(self._serving, flags, 0o600)
        file_lock.take(self._lock)
        pair.write_pid(self._lock)
        stop = arbiter.stop

        def pass_on_and_stop(graceful: bool = True) -> None:
            self._let_go()
            stop(graceful)

        arbiter.stop = pass_on_and_stop  # gunicorn has no hook for the beginning of a stop

    def disown(self, arbiter: Any, worker: Any) -> None:
        """gunicorn's hook `post_fork`: a worker must not go on holding the lock of a master that is dead."""
        self._let_go()

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
