"""gunicorn's settings for the traffic port: `gunicorn -c python:balancer.gunicorn_conf balancer.worker:application`."""

import os

from balancer.algorithms import check_algorithm
from balancer.standby import PAIR, Turn
from cluster import paths
from cluster.fleet import this_balancer

_fleet, _balancer = this_balancer()
check_algorithm(_balancer)

bind = (
    "fd://0"
    if os.environ.get("FAIRLEAD_INHERIT")
    else f"{os.environ.get('FAIRLEAD_BIND', '127.0.0.1')}:{_balancer.port}"
)
if _program := os.environ.get(PAIR):
    _turn = Turn(paths.state_dir(), _program)
    on_starting, post_fork = _turn.wait, _turn.disown
workers = _balancer.workers
worker_class = "balancer.worker.BalancerWorker"
worker_connections = _balancer.limits.connections
backlog = 2048
timeout = 30  # a worker whose loop stands still for so long is replaced
graceful_timeout = 30
if _balancer.tls is not None:
    certfile = str(paths.PROJECT / _balancer.tls.certificate)
    keyfile = str(paths.PROJECT / _balancer.tls.key)
proc_name = f"fairlead-{_balancer.name}"
control_socket_disable = True
