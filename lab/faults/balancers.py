"""How each balancer is set up for the fault table, and how an operator reloads or restarts it.

All three look at each node's health twice a second (nginx cannot), give a node 1 s to accept and 3 s to begin its
answer, a client 10 s for its head, keep connections on both sides, and try again elsewhere what may be tried again.
Beyond that each has the settings that suit it best.
"""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

from lab.bench.peers import nginx_command
from lab.bench.place import HEALTH, Place, find
from lab.bench.processes import Command

PROGRAM = "balancer"  # what Supervisor calls ours
CONNECT_S, FIRST_BYTE_S, HEAD_S, PROBE_S = 1.0, 3.0, 10.0, 0.5


@dataclass(frozen=True, slots=True)
class Balancer:
    """One that is put to the test."""

    key: str
    commands: Callable[[Place, int], list[Command]]
    """Writes its configuration; takes a listening socket that it may use. First the traffic, then its control, then who
    stands by."""
    reload: int
    """The signal that makes it read its configuration again."""
    stop: int
    """The signal that ends it in good order."""
    program: str = ""
    """What must be installed for it."""
    inherits: bool = False
    """Whether it listens on a socket that is held for it."""


def fairlead(place: Place, listener: int) -> list[Command]:
    """Ours as under Supervisor: two of it, of which one stands by, with one socket that is held for them."""
    config = {
        "fleet": "faults",
        "balancers": [
            {
                "name": "b1", "port": place.port, "control_port": place.control_port,
                "workers": place.setup.workers, "algorithm": place.setup.algorithm,
                "timeouts": {"connect_s": CONNECT_S, "first_byte_s": FIRST_BYTE_S, "head_s": HEAD_S},
            }
        ],
        "nodes": [
            {"name": f"l{i}", "runs": "external", "address": "127.0.0.1", "port": port, "probe": {"path": HEALTH}}
            for i, port in enumerate(place.nodes, 1)
        ],
        "health": {"probe": {"interval_s": PROBE_S, "timeout_s": PROBE_S}},
    }  # fmt: skip
    (place.folder / "config.json").write_text(json.dumps(config, indent=1))
    environment = {
        "FAIRLEAD_CONFIG": str(place.folder / "config.json"),
        "FAIRLEAD_STATE": str(place.folder / "state"),
    }
    of_two = {"FAIRLEAD_INHERIT": "1", "FAIRLEAD_PAIR": PROGRAM}
    gunicorn = [sys.executable, "-m", "gunicorn", "-c"]
    traffic = [*gunicorn, "python:balancer.gunicorn_conf", "balancer.worker:application"]
    control = [*gunicorn, "python:balancer.control_conf", "balancer.control:create()"]
    return [
        Command(traffic, place.folder / "traffic.log", environment | of_two, listener),
        Command(control, place.folder / "control.log", environment),
        Command(traffic, place.folder / "standby.log", environment | of_two, listener),
    ]


def haproxy(place: Place, listener: int) -> list[Command]:
    """HAProxy as master and worker, so that it can be reloaded."""
    balance = "leastconn" if place.setup.algorithm == "dynamic" else "roundrobin"
    servers = "\n".join(f"    server l{i} 127.0.0.1:{port}" for i, port in enumerate(place.nodes, 1))
    (place.folder / "haproxy.cfg").write_text(f"""\
global
    nbthread {place.setup.workers}
    log stdout format raw local0 info
defaults
    mode http
    log global
    option httplog
    option redispatch 1
    retries 2
    retry-on conn-failure empty-response junk-response response-timeout
    timeout connect {CONNECT_S:g}s
    timeout server {FIRST_BYTE_S:g}s
    timeout http-request {HEAD_S:g}s
    timeout client 65s
    timeout queue 2s
frontend traffic
    bind 127.0.0.1:{place.port}
    default_backend nodes
backend nodes
    balance {balance}
    option httpchk GET {HEALTH}
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS PUT DELETE }}
    default-server check inter {PROBE_S * 1000:g}ms fastinter 100ms rise 2 fall 3
{servers}
""")
    argv = [find("haproxy") or "haproxy", "-W", "-db", "-f", str(place.folder / "haproxy.cfg")]
    return [Command(argv, place.folder / "logs" / "access.log")]


def nginx(place: Place, listener: int) -> list[Command]:
    """nginx; the free edition has no active checks."""
    servers = "\n".join(f"        server 127.0.0.1:{port} max_fails=3 fail_timeout=2s;" for port in place.nodes)
    method = "least_conn;" if place.setup.algorithm == "dynamic" else ""
    return [
        nginx_command(
            place.folder,
            place.setup.workers,
            f"""\
    access_log {place.folder}/logs/access.log combined;
    client_header_timeout {HEAD_S:g}s;
    upstream nodes {{
        {method}
        zone nodes 256k;
{servers}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{place.port} backlog=2048;
        keepalive_requests 1000000;
        client_max_body_size 0;
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_connect_timeout {CONNECT_S:g}s;
            proxy_read_timeout {FIRST_BYTE_S:g}s;
            proxy_next_upstream error timeout invalid_header;
            proxy_next_upstream_tries 3;
        }}
    }}
""",
        )
    ]


BALANCERS = {
    balancer.key: balancer
    for balancer in (
        Balancer("fairlead", fairlead, signal.SIGHUP, signal.SIGTERM, inherits=True),
        Balancer("haproxy", haproxy, signal.SIGUSR2, signal.SIGUSR1, "haproxy"),
        Balancer("nginx", nginx, signal.SIGHUP, signal.SIGQUIT, "nginx"),
    )
}
