"""How gunicorn serves a node: `FAIRLEAD_NODE=l1 python -m gunicorn -c python:node.gunicorn_conf node.app:application`.

gunicorn takes the names below that are settings of its own and silently ignores all others.
"""

import os
import resource
import sys

from cluster.errors import FairleadError
from node import settings

try:
    _node = settings.this_node()
except FairleadError as error:
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_code) from None

_inherited = os.environ.get("FAIRLEAD_INHERIT") == "1"
_address = os.environ.get("FAIRLEAD_BIND") or "127.0.0.1"
bind = "fd://0" if _inherited else f"[{_address}]:{_node.port}" if ":" in _address else f"{_address}:{_node.port}"

proc_name = f"node-{_node.name}"
worker_class = "cluster.serving.worker.PromptWorker"
workers = 1  # slots, queue and counters are one node's, so they live in one process
worker_connections = 20_000  # idle kept-alive connections count too, and must never keep a probe out
keepalive = 30  # longer than a balancer keeps idle connections (node_keep_alive_s), so that it is the one to close
graceful_timeout = 10
accesslog = None
errorlog = "-"
control_socket_disable = True  # on by default, at one path a user: two nodes would steal it from each other

# A balancer has checked the sizes by its own limits and then adds fields: the node must not be the stricter one.
limit_request_line = 0
limit_request_fields = 1100
limit_request_field_size = 65536


def on_starting(server: object) -> None:
    """A full queue alone needs more files than the usual soft limit of 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
