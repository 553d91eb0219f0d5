"""One deploy at a time on a host. The kernel holds the lock for the process, so no crash can leave it behind.

The file beside it is for people: who holds it, from where, since when, and until when it holds without another sign of
life. When the operator falls silent the connection ends after `session.SILENCE_S`, and the lock with it.
"""

import json
import os
import time
from typing import Any

from cluster.file_lock import take_at_once
from deploy.agent.place import Refused, write
from deploy.agent.session import SILENCE_S, Session

_HELD: list[int] = []


def take(session: Session, owner: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """Take the lock; waits up to `wait_s` for it. Refused("locked") says who has it."""
    shared = session.place.shared
    fd = os.open(shared / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o640)
    until = time.monotonic() + session.left_s(wait_s)
    while True:
        try:
            take_at_once(fd)
            break
        except BlockingIOError:
            if time.monotonic() >= until:
                os.close(fd)
                raise Refused("locked", _who(session)) from None
        time.sleep(0.2)
    _HELD.append(fd)
    write(shared / "lock.json", json.dumps({**owner, "since": round(time.time(), 3), "pid_here": os.getpid()}) + "\n")
    session.hold("lock", lambda: free(session))
    return {}


def free(session: Session) -> dict[str, Any]:
    """Give it back."""
    session.release("lock")
    while _HELD:
        (session.place.shared / "lock.json").unlink(missing_ok=True)
        os.close(_HELD.pop())
    return {}


def holder(session: Session) -> str:
    """Who has it now, for people; "" when nobody has."""
    try:
        fd = os.open(session.place.shared / "lock", os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return ""
    try:
        take_at_once(fd)
        return ""
    except BlockingIOError:
        return _who(session)
    finally:
        os.close(fd)


def _who(session: Session) -> str:
    try:
        owner = json.loads((session.place.shared / "lock.json").read_text())
    except (OSError, ValueError):
        return "somebody deploys just now"
    since = time.strftime("%H:%M:%S", time.localtime(owner["since"]))
    return (
        f"{owner['who']} (pid {owner['pid']} on {owner['host']}) has it since {since}; it is freed at the latest"
        f" {SILENCE_S:g} s after that computer falls silent"
    )
