"""How gunicorn serves the dashboard: `python -m gunicorn -c python:dashboard.gunicorn_conf dashboard.app:application`.

gunicorn takes the names below that are settings of its own and silently ignores all others.
"""

import os
import signal
import sys
from types import FrameType
from typing import Any

import gevent

from cluster import load, paths
from cluster.config import Dashboard
from cluster.errors import FairleadError

try:
    _port = (load.load(paths.config_file()).dashboard or Dashboard()).port
except FairleadError as error:
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_code) from None

_address = os.environ.get("FAIRLEAD_BIND") or "127.0.0.1"
_inherited = os.environ.get("FAIRLEAD_INHERIT") == "1"
bind = "fd://0" if _inherited else f"[{_address}]:{_port}" if ":" in _address else f"{_address}:{_port}"

proc_name = "dashboard"
worker_class = "cluster.serving.worker.PromptWorker"
workers = 1  # a Socket.IO session lives in one process, and gunicorn has no sticky sessions
worker_connections = 5000  # idle ones count too for `keepalive` seconds; they must not lock the operator out
keepalive = 15
graceful_timeout = 3
accesslog = None
errorlog = "-"
control_socket_disable = True  # on by default, at one path a user: two programs would steal it from each other


def post_worker_init(worker: Any) -> None:
    """Start the loops; on SIGTERM close the browsers' sockets, since one open tab would use up graceful_timeout."""
    from dashboard.app import dashboard  # made by its __getattr__

    dashboard.start()

    def leave(number: int, frame: FrameType | None) -> None:
        worker.handle_exit(number, frame)
        gevent.spawn(dashboard.stop)  # not here: a signal handler must not block

    signal.signal(signal.SIGTERM, leave)
