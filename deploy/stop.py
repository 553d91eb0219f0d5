"""Stop this machine's share of the fleet: requests in hand first, then everything, leaving nothing behind."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection, Iterable

from deploy import procfs
from deploy.fleet_here import Here
from deploy.processes import STANDBY_SUFFIX, Process, Supervisor, SupervisorGone
from deploy.render import STOP_WAIT_S

MARGIN_S = 5.0
_ENDED = ("STOPPED", "EXITED", "FATAL")


def stop(here: Here) -> int:
    """The verb `stop`. 0: nothing of the fleet runs here any more. 1: something could not be stopped."""
    try:
        pid = here.supervisor.pid()
    except SupervisorGone:
        return _without_supervisor(here)
    processes = here.supervisor.processes()
    names = [p.name for p in processes if p.pid]
    try:
        _stop_in_order(here.supervisor, processes)
        here.supervisor.shutdown()
    except SupervisorGone:
        pass  # it ended meanwhile; what it left is cleared below
    if not _gone([pid], max(STOP_WAIT_S.values()) + MARGIN_S):
        _end([pid], "supervisord does not end")
    left = clear_leftovers(here)
    _remove_files(here)
    print(f"Stopped {len(names)} programs and supervisord (pid {pid}): {', '.join(names)}", file=sys.stderr)
    return 1 if left else 0


def clear_leftovers(here: Here) -> list[int]:
    """End programs whose supervisord is dead; says so. Returns the pids that would not end."""
    found = procfs.supervised(here.state)
    if not found:
        return []
    print(f"Supervisor is gone, ending {len(found)} processes that it left behind", file=sys.stderr)
    return _end(found, "")


def _without_supervisor(here: Here) -> int:
    hung = procfs.supervisord_of(here.conf)
    if hung:
        _end([hung], "supervisord does not answer")
    found = procfs.supervised(here.state)
    left = clear_leftovers(here)
    _remove_files(here)
    if not found and not hung:
        print("Nothing runs: there is nothing to stop", file=sys.stderr)
    elif not left:
        print(f"Stopped: {len(found) + bool(hung)} processes are gone", file=sys.stderr)
    return 1 if left else 0


def _stop_in_order(supervisor: Supervisor, processes: list[Process]) -> None:
    """Who would take over, then the balancers, while nodes can still finish what is in flight; then the rest."""
    standbys = [p for p in processes if p.name.endswith(STANDBY_SUFFIX)]
    balancers = [p for p in processes if p.name + STANDBY_SUFFIX in {standby.name for standby in standbys}]
    for batch in (standbys, balancers, [p for p in processes if p not in standbys and p not in balancers]):
        for process in batch:
            supervisor.stop(process.id)
        ids = {process.id for process in batch}
        said = False
        deadline = time.monotonic() + max(STOP_WAIT_S.values()) + MARGIN_S
        while time.monotonic() < deadline:
            running = [p.name for p in supervisor.processes() if p.id in ids and p.state not in _ENDED]
            if not running:
                break
            if not said and time.monotonic() > deadline - max(STOP_WAIT_S.values()) - MARGIN_S + 3:
                said = True
                print(f"Waiting for {', '.join(running)} to finish what is in hand", file=sys.stderr)
            time.sleep(0.1)


def _end(pids: Iterable[int], why: str) -> list[int]:
    """TERM, then after a while KILL. Returns those that are still there."""
    pids = list(pids)
    if why:
        print(f"{why} (pid {', '.join(map(str, pids))}): ending it", file=sys.stderr)
    for how, wait_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, how)
        _gone(pids, wait_s)
        pids = [pid for pid in pids if procfs.alive(pid)]
        if not pids:
            return []
    print(f"Could not end pid {', '.join(map(str, pids))}: another user's, or stuck in the kernel", file=sys.stderr)
    return pids


def _gone(pids: Collection[int], within_s: float) -> bool:
    """Wait for processes to end; whether they did."""
    deadline = time.monotonic() + within_s
    while any(map(procfs.alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _remove_files(here: Here) -> None:
    for name in ("supervisor.sock", "supervisord.pid", "started.json"):
        (here.state / name).unlink(missing_ok=True)
