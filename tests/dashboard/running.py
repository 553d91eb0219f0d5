"""A real dashboard under gunicorn on a free port, beside a fake control API."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from cluster.auth import read_token
from tests.dashboard.fake_control import FakeControl

PROJECT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class RunningDashboard:
    """One fleet: config.json, a token, a fake control API, gunicorn. Ends only what it started."""

    command: tuple[str, ...] = (
        *(sys.executable, "-m", "gunicorn"),
        *("-c", "python:dashboard.gunicorn_conf", "dashboard.app:application"),
    )

    def __init__(
        self, folder: Path, names: tuple[str, ...] = ("l1", "l2", "l3"), rps: float = 240.0, **settings: Any
    ) -> None:
        self.folder = folder
        self.token = read_token(folder / "run" / "token")
        self.control = FakeControl(self.token, names, rps=rps).start()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "config.json").write_text(
            json.dumps(
                {
                    "balancers": [{"name": "b1", "port": free_port(), "control_port": self.control.port}],
                    "nodes": [{"name": n, "port": 2 + i} for i, n in enumerate(names)],  # nobody answers there
                    "dashboard": {"port": self.port, "lab": True, **settings},
                }
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def link(self) -> str:
        """The sign-in link."""
        return f"{self.url}/?token={self.token}"

    def start(self) -> "RunningDashboard":
        """gunicorn, until it answers."""
        environment = {
            **os.environ,
            "FAIRLEAD_CONFIG": str(self.folder / "config.json"),
            "FAIRLEAD_STATE": str(self.folder / "run"),
        }
        with (self.folder / "gunicorn.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"{self.url}/-/health", timeout=1):
                    return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"the dashboard did not start:\n{self.log()}")

    def stop(self) -> float:
        """SIGTERM, as Supervisor does; seconds until it was gone."""
        process, self.process = self.process, None
        if process is None:
            return 0.0
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return time.monotonic() - began

    def close(self) -> None:
        """End everything."""
        self.stop()
        self.control.stop()

    def log(self) -> str:
        """What gunicorn wrote."""
        return (self.folder / "gunicorn.log").read_text()

    def cookie(self) -> str:
        """Sign in; the Cookie field for further requests."""

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *args: Any) -> None:
                return None

        try:
            urllib.request.build_opener(Stay).open(self.link, timeout=5)
        except urllib.error.HTTPError as redirect:
            with redirect:
                return str(redirect.headers["Set-Cookie"]).split(";")[0]
        raise AssertionError("signing in did not redirect")

    def told(self, path: str, body: Any) -> None:
        """A tool (`/events`) or a host's listener (`/processes`) reports, with the fleet's token."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def cpu_s(self) -> float:
        """Processor time of gunicorn's master and worker so far."""
        assert self.process is not None
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ticks = 0
        for one in [str(pid), *children]:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")
