"""gunicorn's settings for the control API: `gunicorn -c python:balancer.control_conf 'balancer.control:create()'`.

One worker: there is one control, and it must not answer from two memories.
"""

import os

from balancer.algorithms import check_algorithm
from cluster.fleet import this_balancer

_fleet, _balancer = this_balancer()
check_algorithm(_balancer)

bind = f"{os.environ.get('FAIRLEAD_BIND', '127.0.0.1')}:{_balancer.control_port}"
workers = 1
worker_class = "cluster.serving.worker.PromptWorker"
worker_connections = 5000  # idle ones count too for `keepalive` seconds; they must not lock the operator out
timeout = 30
graceful_timeout = 1  # requests take milliseconds, but for those of dashboards that wait for events
keepalive = 30
proc_name = f"fairlead-{_balancer.name}-control"
control_socket_disable = True
