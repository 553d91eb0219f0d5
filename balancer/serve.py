"""The balancer's two programs without gunicorn: `python -m balancer.serve traffic`, `python -m balancer.serve control`.

For Windows, where gunicorn does not run, with the same connection handler: one process, so one worker, which
deploy/keeper revives when it dies. FAIRLEAD_BALANCER names the balancer, FAIRLEAD_BIND the address.
"""

from gevent import monkey

monkey.patch_all()

import os
import ssl
import sys

from gevent import socket

from balancer.algorithms import check_algorithm
from balancer.datapath import DataPath, open_scoreboard
from balancer.listening import Listener, finish
from cluster import paths
from cluster.config import Balancer
from cluster.errors import FairleadError
from cluster.fleet import this_balancer
from cluster.logs import LineLog
from cluster.serving import stopping, wsgi

GRACE_S = 30.0
CONTROL_GRACE_S = 1.0  # requests take milliseconds, but for those of dashboards that wait for events
BACKLOG = 2048


def traffic() -> None:
    """The traffic port."""
    fleet, balancer = this_balancer()
    check_algorithm(balancer)
    board = open_scoreboard(fleet, balancer)
    board.claim()
    path = DataPath(fleet, balancer, board, LineLog(paths.log_dir() / "access.jsonl"))
    server = Listener(_listening_socket(balancer.port), path, balancer.limits.connections, _context(balancer))
    server.start()
    stopping.wait_until_told()
    finish(path, [server], GRACE_S, beat=lambda: None)
    server.stop(timeout=0.5)
    path.close()


def control() -> None:
    """The control API."""
    from balancer.control import create

    _, balancer = this_balancer()
    check_algorithm(balancer)
    wsgi.serve(create(), balancer.control_port, CONTROL_GRACE_S)


def _listening_socket(port: int) -> socket.socket:
    address = os.environ.get("FAIRLEAD_BIND") or "127.0.0.1"
    listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if sys.platform == "win32":  # where SO_REUSEADDR lets two programs have one port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((address, int(os.environ.get("FAIRLEAD_PORT") or port)))  # another on trial
    listening.listen(BACKLOG)
    return listening


def _context(balancer: Balancer) -> ssl.SSLContext | None:
    if balancer.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(paths.PROJECT / balancer.tls.certificate, paths.PROJECT / balancer.tls.key)
    return context


if __name__ == "__main__":
    programs = {"traffic": traffic, "control": control}
    if len(sys.argv) != 2 or sys.argv[1] not in programs:
        sys.exit("usage: python -m balancer.serve traffic | control")
    try:
        programs[sys.argv[1]]()
    except FairleadError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
