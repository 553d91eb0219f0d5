"""How each balancer is configured and started. A new one is one function and one entry in `BALANCERS`.

Each gets the work that ours does: round robin over kept connections to the nodes, X-Forwarded-For, -Host and -Proto, a
request id for node and client, the node's name for the client, an access log in a file, and probes once a second where
it has them. Beyond that their settings are the ones that suit them best; docs/performance.md gives the reasons.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.bench.processes import Command
from lab.bench.scenarios import ANSWERS, Setup

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
HEALTH = "/health"
MANY = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where one balancer works in a run."""

    folder: Path
    """Its own: configuration, logs, state."""
    port: int
    """Traffic."""
    control_port: int
    """Free for whatever else it listens on."""
    nodes: Sequence[int]
    """Ports of the nodes, on loopback."""
    setup: Setup


@dataclass(frozen=True, slots=True)
class Balancer:
    """One that is measured."""

    key: str
    commands: Callable[[Place], list[Command]]
    """Writes its configuration and says what to start: first what carries the traffic, then its control, if any."""
    programs: tuple[str, ...] = ()
    """What must be installed for it."""
    version: tuple[str, ...] = ()
    """Prints its version."""
    modules: tuple[str, ...] = ()
    """Python modules that must be there."""


def find(program: str) -> str | None:
    """Where a program is; also where only root has it on the path."""
    return shutil.which(program, path=SEARCH)


def fairlead(place: Place) -> list[Command]:
    """Ours: the traffic program and its control, each as in production, every setting at its default."""
    config = {
        "fleet": "bench",
        "balancers": [
            {
                "name": "b1", "port": place.port, "control_port": place.control_port,
                "workers": place.setup.workers, "algorithm": place.setup.algorithm,
            }
        ],
        "nodes": [
            {"name": f"l{i}", "runs": "external", "address": "127.0.0.1", "port": port, "probe": {"path": HEALTH}}
            for i, port in enumerate(place.nodes, 1)
        ],
    }  # fmt: skip
    (place.folder / "config.json").write_text(json.dumps(config, indent=1))
    environment = {
        "FAIRLEAD_CONFIG": str(place.folder / "config.json"),
        "FAIRLEAD_STATE": str(place.folder / "state"),
    }
    gunicorn = [sys.executable, "-m", "gunicorn", "-c"]
    traffic = [*gunicorn, "python:balancer.gunicorn_conf", "balancer.worker:application"]
    control = [*gunicorn, "python:balancer.control_conf", "balancer.control:create()"]
    return [
        Command(traffic, place.folder / "traffic.log", environment),
        Command(control, place.folder / "control.log", environment),
    ]


def haproxy(place: Place) -> list[Command]:
    """HAProxy logs to its standard output, one write a line: no syslog daemon shares the work."""
    balance = {"least_connections": "leastconn"}.get(place.setup.algorithm, "roundrobin")
    servers = "\n".join(f"    server l{i} 127.0.0.1:{port}" for i, port in enumerate(place.nodes, 1))
    (place.folder / "haproxy.cfg").write_text(f"""\
global
    nbthread {place.setup.workers}
    log stdout format raw local0 info
defaults
    mode http
    log global
    option httplog
    option forwardfor
    option redispatch
    timeout connect 1s
    timeout client 65s
    timeout server 30s
frontend traffic
    bind 127.0.0.1:{place.port}
    unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
    unique-id-header X-Request-Id
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Proto http
    http-response set-header X-Request-Id %[unique-id]
    http-response set-header X-Node %s
    default_backend nodes
backend nodes
    balance {balance}
    http-reuse always
    option httpchk GET {HEALTH}
    default-server check inter 1s rise 2 fall 3
{servers}
""")
    argv = [find("haproxy") or "haproxy", "-db", "-f", str(place.folder / "haproxy.cfg")]
    return [Command(argv, place.folder / "access.log")]


def nginx(place: Place) -> list[Command]:
    """nginx buffers its access log, as ours does; it has no active probes in the free edition."""
    servers = "\n".join(f"        server 127.0.0.1:{port};" for port in place.nodes)
    method = "least_conn;" if place.setup.algorithm == "least_connections" else ""
    return [
        nginx_command(
            place.folder,
            place.setup.workers,
            f"""\
    access_log {place.folder}/access.log combined buffer=64k flush=1s;
    upstream nodes {{
        {method}
{servers}
        keepalive 256;
        keepalive_requests {MANY};
    }}
    server {{
        listen 127.0.0.1:{place.port} backlog=2048;
        keepalive_requests {MANY};
        client_max_body_size 0;
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-Id $request_id;
            add_header X-Request-Id $request_id;
            add_header X-Node $upstream_addr;
        }}
    }}
""",
        )
    ]


def naive(place: Place) -> list[Command]:
    """lab/bench/naive.py: one gevent worker as a beginner would start it, with gunicorn's own access log."""
    argv = [
        sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", str(place.setup.workers),
        "-b", f"127.0.0.1:{place.port}", "--access-logfile", str(place.folder / "access.log"),
        "--no-control-socket", "lab.bench.naive:application",
    ]  # fmt: skip
    environment = {"NAIVE_NODES": ",".join(f"127.0.0.1:{port}" for port in place.nodes)}
    return [Command(argv, place.folder / "naive.log", environment)]


def nodes(folder: Path, ports: Sequence[int]) -> Command:
    """All nodes: one nginx that listens on every node's port and answers at once, without a log."""
    files = folder / "files"
    files.mkdir()
    for path, size in ANSWERS.items():
        (files / path[1:]).write_bytes(b"x" * size)
    files.chmod(0o755)
    listen = "\n".join(f"        listen 127.0.0.1:{port} backlog=2048;" for port in ports)
    small = "x" * ANSWERS["/small"]
    return nginx_command(
        folder,
        1,
        f"""\
    access_log off;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=10 inactive=1h;
    server {{
{listen}
        keepalive_requests {MANY};
        client_max_body_size 0;
        root {files};
        default_type application/octet-stream;
        location = {HEALTH} {{ return 200 "ok"; }}
        location = /small {{ return 200 "{small}"; }}
    }}
""",
    )


def nginx_command(folder: Path, workers: int, http: str) -> Command:
    """nginx in the foreground, with everything that it writes under `folder`."""
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers may not read the folder
    paths = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""\
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes {workers};
events {{ worker_connections 8192; }}
http {{
{paths}
    keepalive_timeout 65s;
{http}}}
""")
    argv = [find("nginx") or "nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return Command(argv, folder / "nginx.log")


_PYTHON = (sys.executable, "--version")

BALANCERS = {
    balancer.key: balancer
    for balancer in (
        Balancer("fairlead", fairlead, version=_PYTHON),
        Balancer("haproxy", haproxy, programs=("haproxy",), version=("haproxy", "-v")),
        Balancer("nginx", nginx, programs=("nginx",), version=("nginx", "-v")),
        Balancer("naive", naive, version=_PYTHON, modules=("requests",)),
    )
}
