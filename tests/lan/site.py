"""A fleet on a virtual LAN, and an operator who deploys it with `fab` as a person would: as a process, in a checkout.

The checkout is a copy, so that a test can break the release without touching the project. A site is five hosts
(balancer, dashboard, three nodes) and a visitor who belongs to nobody.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from cluster.paths import PROJECT
from deploy import wheelhouse
from deploy.release import LOCK, WINDOWS_LOCK, Environment
from lab.lan.lan import Lan

HOSTS = ["lb", "dash", "n1", "n2", "n3"]
COPIED = ("cluster", "balancer", "node", "dashboard", "deploy", "scripts", "fabfile.py", LOCK, WINDOWS_LOCK, "LICENSE")
FULL = os.environ.get("FAIRLEAD_FULL") == "1"
"""The full-size run; else a short one that fits into CI."""


def fetch_packages() -> None:
    """What hosts need, into the operator's cache: the LAN has no uplink. Nothing to do when it is there."""
    wheelhouse.archive(Environment((PROJECT / LOCK).read_text()), wheelhouse.Target.of_this_computer())


class Site:
    """`fab` runs commands, `project` is the checkout that is deployed."""

    def __init__(self, lan: Lan, folder: Path, config: dict[str, Any] | None = None) -> None:
        self.lan = lan
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()
        not_copied = shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, self.project / name, ignore=not_copied)
            else:
                shutil.copy(source, self.project / name)
        self.config: dict[str, Any] = config or {
            "fleet": "lan",
            "hosts": {h: {"address": lan.host(h).address, "connection": "ssh", "user": "root"} for h in HOSTS},
            "balancers": [{"name": "b1", "host": "lb"}],
            "nodes": [
                {"name": "l1", "host": "n1", "port": 5001},
                {"name": "l2", "host": "n2", "port": 5002},
                {"name": "l3", "host": "n3", "port": 5003},
            ],
            "dashboard": {"host": "dash"},
        }
        self.write_config()
        self.files_before = {host: self.files(host) for host in HOSTS} if config is None else {}

    def write_config(self) -> None:
        """config.json as `config` says now."""
        (self.project / "config.json").write_text(json.dumps(self.config, indent=1))

    def change(self, what: str = "") -> None:
        """A release of another content, as good as the one before."""
        with (self.project / "node" / "kinds.py").open("a") as file:
            file.write(f"# {what or time.monotonic_ns()}\n")

    # -- the operator ------------------------------------------------------------------------------------------------

    def start_fab(self, *arguments: str) -> "subprocess.Popen[str]":
        """A `fab` that runs beside the test; a signal to the process that is returned reaches fab itself."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FAIRLEAD_")}
        environment |= {"FAIRLEAD_STATE": str(self.folder / "operator"), "PYTHONPATH": ""}
        # Who runs the tests in the background has Ctrl-C ignored, and a program inherits that for its first moments.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "fabric", "-S", str(self.lan.ssh_config)]
        operator = self.lan.operator
        return subprocess.Popen(
            operator.command([*command, *arguments], cwd=self.project), env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def fab(self, *arguments: str, expect: int | None = 0, within_s: float = 120) -> dict[str, Any]:
        """Run fab with --json to its end; its result, with `seconds` (the whole process) and `exit`."""
        began = time.monotonic()
        process = self.start_fab(*arguments, "--json")
        try:
            out, said = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, said = process.communicate()
            raise AssertionError(f"fab {arguments} took longer than {within_s:g} s:\n{said}\n{self.log()}") from None
        try:
            result: dict[str, Any] = json.loads(out or "{}")  # nothing when fab itself was used wrongly
        except ValueError:
            raise AssertionError(f"fab {' '.join(arguments)} printed more than one JSON object:\n{out}") from None
        result |= {"seconds": round(time.monotonic() - began, 2), "exit": process.returncode}
        assert expect is None or process.returncode == expect, (
            f"fab {' '.join(arguments)} ended with {process.returncode}, not {expect}:\n{said}\n{out[-6000:]}"
        )
        return result

    def token(self) -> str:
        """The fleet's, with which one signs in at the dashboard."""
        return self.on("dash", "cat /opt/fairlead/shared/run/token").strip()

    def log(self, lines: int = 40) -> str:
        """The end of the operator's log."""
        return "\n".join((self.folder / "operator" / "fab.log").read_text().splitlines()[-lines:])

    # -- looking -----------------------------------------------------------------------------------------------------

    def on(self, host: str, script: str, check: bool = True) -> str:
        """What a shell script on a host prints."""
        return self.lan.host(host).run(["sh", "-c", script], check=check).stdout

    def releases(self) -> dict[str, set[str]]:
        """Host -> the release that `current` leads to, and those that its processes run; one means: exactly one."""
        script = (
            "basename $(readlink /opt/fairlead/current);"  # what only holds a port, or supervises, serves nothing
            " for pid in $(pgrep -u fairlead -f 'gunicorn|deploy.supervisor.listener');"
            " do readlink /proc/$pid/cwd; done"
            " | grep -o 'releases/[0-9a-f]*' | cut -d/ -f2"
        )
        return {host: set(self.on(host, script, check=False).split()) for host in HOSTS}

    def processes(self, host: str) -> dict[str, int]:
        """Every process that the host's Supervisor keeps -> its pid; 0 when it does not run. And supervisord's own."""
        script = (
            "import json; from pathlib import Path; from deploy.processes import Supervisor;"
            " s = Supervisor(Path('/opt/fairlead/shared/run/supervisor.sock'));"
            " print(json.dumps({p.id: p.pid for p in s.processes()} | {'supervisord': s.pid()}))"
        )
        told: dict[str, int] = json.loads(self.on(host, f'cd /opt/fairlead/current && python3 -c "{script}"'))
        return told

    def files(self, host: str) -> set[str]:
        """Every file, folder and link on a host where something could have been left."""
        return set(self.on(host, "find /etc /opt /home /root /srv /tmp /var /run -print 2>/dev/null").splitlines())

    def locked(self) -> list[str]:
        """Hosts whose lock somebody holds."""
        script = "flock -n /opt/fairlead/shared/lock true || echo held"
        return [host for host in HOSTS if "held" in self.on(host, script, check=False)]

    def until(self, holds: Callable[[], bool], within_s: float, what: str) -> None:
        """Wait until something holds."""
        ends = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < ends, f"{what}: not within {within_s:g} s"
            time.sleep(0.2)


class Clients:
    """Clients at the operator's place, as their own process: fresh, keep-alive and slow ones together.

    They end with the `with` block, however that ends.
    """

    def __init__(self, site: Site, rate: int = 120) -> None:
        script = Path(__file__).with_name("clients_of_balancer.py")
        address = site.lan.host("lb").address
        command = site.lan.operator.command([sys.executable, str(script), address, "8080", str(rate)])
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ""}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stop(self) -> dict[str, Any]:
        """sent, failed, reasons, p99_ms, max_ms."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=60)
        result: dict[str, Any] = json.loads(out)
        return result
