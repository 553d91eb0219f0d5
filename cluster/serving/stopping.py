"""How a program that no gunicorn serves is told to stop: by a signal, or by its keeper over standard input.

Windows has no SIGTERM. So the keeper (deploy/keeper) holds the other end of a pipe that is our standard input: when it
says something or is gone, we finish what we have in hand and end. FAIRLEAD_KEPT=1 says that there is a keeper.
"""

import os
import signal
import sys

import gevent
from gevent.event import Event


def wait_until_told() -> None:
    """Return when this program shall stop. Other greenlets run meanwhile; call it once."""
    told = Event()
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None:
            gevent.signal_handler(number, told.set)
    if os.environ.get("FAIRLEAD_KEPT"):
        gevent.spawn(_listen_to_keeper, told)
    told.wait()


def _listen_to_keeper(told: Event) -> None:
    # A pipe cannot be waited for by events on Windows. Not through sys.stdin: at the end of a process that was told
    # otherwise, Python would find its lock taken and abort.
    gevent.get_hub().threadpool.apply(os.read, (sys.stdin.fileno(), 1))
    told.set()
