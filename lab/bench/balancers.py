"""How each balancer is configured and started. A new one is one function and one entry in `BALANCERS`.

Each gets the work that ours does: round robin over kept connections to the nodes, X-Forwarded-For, -Host and -Proto, a
request id for node and client, the node's name for the client, an access log in a file, and probes once a second where
it has them. Beyond that their settings are the ones that suit them best; docs/performance.md gives the reasons.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from balancer.algorithms import ALGORITHMS
from lab.bench import peers
from lab.bench.place import HEALTH, MANY, Place, find
from lab.bench.processes import Command
from lab.bench.scenarios import ANSWERS, Setup


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
    algorithms: Mapping[str, object] = field(default_factory=dict)
    """Those of ours that it has too, by our names."""

    def can(self, setup: Setup) -> bool:
        """Whether it has what the setup asks for."""
        return setup.algorithm in self.algorithms

    @property
    def found(self) -> bool:
        """Whether its programs are on this machine."""
        return all(find(program) for program in self.programs)


def fairlead(place: Place) -> list[Command]:
    """Ours: the traffic program and its control, each as in production, every setting at its default."""
    config = {
        "fleet": "bench",
        "balancers": [
            {
                "name": "b1", "port": place.port, "control_port": place.control_port,
                "workers": place.setup.workers, "algorithm": place.setup.algorithm,
                "tls": {"certificate": str(place.certificate), "key": str(place.key)} if place.setup.tls else None,
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


def naive(place: Place) -> list[Command]:
    """lab/bench/naive.py: one gevent worker as a beginner would start it, with gunicorn's own access log."""
    argv = [
        sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", str(place.setup.workers),
        "-b", f"127.0.0.1:{place.port}", "--access-logfile", str(place.folder / "access.log"),
        "--no-control-socket", "lab.bench.naive:application",
    ]  # fmt: skip
    if place.setup.tls:
        argv += ["--certfile", str(place.certificate), "--keyfile", str(place.key)]
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
    return peers.nginx_command(
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


_PYTHON = (sys.executable, "--version")

BALANCERS = {
    balancer.key: balancer
    for balancer in (
        Balancer("fairlead", fairlead, version=_PYTHON, algorithms=ALGORITHMS),
        Balancer("haproxy", peers.haproxy, ("haproxy",), ("haproxy", "-v"), algorithms=peers.HAPROXY),
        Balancer("nginx", peers.nginx, ("nginx",), ("nginx", "-v"), algorithms=peers.NGINX),
        Balancer("envoy", peers.envoy, ("envoy",), ("envoy", "--version"), algorithms=peers.ENVOY),
        Balancer("caddy", peers.caddy, ("caddy",), ("caddy", "version"), algorithms=peers.CADDY),
        Balancer("naive", naive, version=_PYTHON, modules=("requests",), algorithms={"round_robin": ""}),
    )
}
