"""A real fleet for end-to-end tests: its own ports, state folder and logs, driven by the scripts that people use."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from deploy import procfs

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "scripts" / "linux"


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now; all held until all are found, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


class FleetProcess:
    """One fleet under a folder of its own. `close` ends everything it started, by pid."""

    def __init__(self, folder: Path, **parts: Any) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        self.state = folder / "run"
        balancer, control, n1, n2, app, dashboard = free_ports(6)
        self.balancer, self.control, self.dashboard = balancer, control, dashboard
        serve = f"{sys.executable} -m http.server {{port}} --bind 127.0.0.1 --directory {folder / 'www'}"
        self.raw: dict[str, Any] = {
            "fleet": "test",
            "balancers": [{"name": "b1", "port": balancer, "control_port": control, "workers": 1}],
            "nodes": [
                {"name": "l1", "port": n1},
                {"name": "l2", "port": n2},
                {"name": "app", "port": app, "runs": "command", "command": serve, "probe": {"path": "/"}},
            ],
            "dashboard": {"port": dashboard},
            **parts,
        }
        (folder / "www").mkdir()
        self.write_config()

    def write_config(self) -> None:
        self.config.write_text(json.dumps(self.raw))

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRLEAD_", "SUPERVISOR_", "PORT"))}
        return clean | {"FAIRLEAD_STATE": str(self.state), "CI": "true"}

    def run(self, script: str, *arguments: str, timeout_s: float = 110) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPTS / script), *arguments]
        return subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("start_all.sh", "--no-open", "--config", str(self.config), *arguments)

    def status(self) -> dict[str, Any]:
        done = self.run("status.sh", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["well"] else 3)
        return found

    def fairlead(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("fairlead", *arguments, "--config", str(self.config))

    def pids(self) -> dict[str, int]:
        return {p["name"]: p["pid"] for p in self.status()["programs"]}

    def get(self, port: int, path: str = "/", timeout_s: float = 5) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields and body; OSError when there is no answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def healthy(self, port: int, path: str = "/-/health") -> bool:
        with suppress(OSError):
            return self.get(port, path, timeout_s=2)[0] == 200
        return False

    def running(self) -> list[int]:
        """Everything that runs with this state folder in its environment: supervisord and all programs."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and procfs.environment(int(entry)).get("FAIRLEAD_STATE") == str(self.state):
                found.append(int(entry))
        return [pid for pid in found if procfs.alive(pid)]

    def close(self) -> None:
        self.run("stop_all.sh")
        for pid in self.running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def until(true: Callable[[], object], within_s: float = 20.0) -> float:
    """Wait until `true()`; the seconds it took. Fails when it takes too long."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"not within {within_s} s"
        time.sleep(0.05)
    return time.monotonic() - began
