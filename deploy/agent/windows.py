"""Windows: a pointer file for `current`, packages in a folder, the keeper in Supervisor's place, netsh and schtasks."""

import ctypes
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from deploy.agent import windows_network
from deploy.agent.place import Place, Refused, tail, write
from deploy.agent.windows_keeper import KeeperOfHost
from deploy.processes import SupervisorGone

TASK = "Fairlead"
WITHIN_S = 30.0
STOP_S = 100.0
_NOT_INHERITED = ("FAIRLEAD_", "PYTHON", "PIP_", "SSH_")


class Windows:
    """See `machine.Machine`."""

    boot_s = 60.0
    """Each file of a new release is looked at by Windows' virus scanner when it is first read."""

    def __init__(self, root: str) -> None:
        self.root = root

    def facts(self) -> dict[str, Any]:
        """See `machine.Machine`."""
        return {
            "os": "windows",
            "system": f"Windows {platform.version()}",
            "machine": platform.machine(),
            "libc": "windows",
            "python": platform.python_version(),
            "user": os.environ.get("USERNAME", ""),
            "root": _elevated(),
            "cpus": os.cpu_count() or 1,
            "memory_bytes": windows_network.memory_bytes(),
            "max_open_files": 0,
            "supervised_by": "keeper",
            "now": time.time(),
            **windows_network.facts(),
            "firewall_managers": ["netsh"],
        }

    # -- files -------------------------------------------------------------------------------------------------------

    def env_commands(self, env: Path, pip: list[str]) -> list[list[str]]:
        """A folder that PYTHONPATH names: Windows' smallest Python can make no virtual environment."""
        return [[sys.executable, "-I", *pip, "--target", str(env)]]

    def link(self, link: Path, relative: str) -> None:
        """A file with the path in it: links need rights that an account need not have."""
        write(link, relative)

    def target(self, link: Path) -> Path:
        """See `machine.Machine`."""
        return (link.parent / link.read_text()).resolve()

    def switch(self, link: Path, target: Path) -> None:
        """The file with the name is replaced. Windows refuses that while somebody reads it, so it is tried again."""
        for left in range(49, -1, -1):
            try:
                write(link, target.name)
                return
            except PermissionError:
                if not left:
                    raise
                time.sleep(0.02)

    def environment(self, place: Place) -> dict[str, str]:
        """See `machine.Machine`. Without SystemRoot and its like nothing starts on Windows."""
        return {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}

    def fill(self, text: str, release: Path) -> str:
        """See `machine.Machine`."""
        env = str(self.target(release / ".venv"))
        return text.replace("{release}", str(release)).replace("{env}", env).replace("{python}", sys.executable)

    # -- processes ---------------------------------------------------------------------------------------------------

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """See `machine.Machine`."""
        _run("taskkill", "/F", "/T", "/PID", str(process.pid))
        process.kill()

    def supervisor(self, place: Place) -> KeeperOfHost:
        """See `machine.Machine`."""
        return KeeperOfHost(place)

    def start_supervisor(self, place: Place) -> None:
        """Through the boot task: what this connection starts itself would end with it."""
        if _run("schtasks", "/run", "/tn", TASK):
            raise Refused("setup", f"the task {TASK} cannot be started; `fab setup` makes it")
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until:
            try:
                self.supervisor(place).pid()
                return
            except SupervisorGone:
                time.sleep(0.1)
        raise Refused(
            "gate",
            f"the keeper does not answer within {WITHIN_S:g} s of its start",
            tail(place.logs / "keeper.log", 12),
        )

    def release_of(self, pid: int, place: Place) -> str:
        """The keeper knows what it started."""
        try:
            return self.supervisor(place).releases().get(pid, "")
        except SupervisorGone:
            return ""

    def port_taken(self, address: str, port: int, place: Place) -> str:
        """Asked by trying; a port that the keeper's programs are answering for is no obstacle."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", -5), 1)
            try:
                probe.bind((address, port))
                return ""
            except OSError as error:
                return "" if port in self.supervisor(place).ports() else f"cannot be had: {error.strerror}"

    def command_line(self, pid: int) -> str:
        """See `machine.Machine`."""
        return ""

    # -- setting up and removing -------------------------------------------------------------------------------------

    def set_up(self, place: Place, account: str, files: dict[str, str], note: Callable[[str], None]) -> list[str]:
        """Folders, the launcher and the boot task. `files`: launch.py and task.xml."""
        if not _elevated():
            raise Refused("setup", "this account is no administrator of the host")
        done = []
        for folder in (place.releases, place.envs, place.incoming, place.state, place.logs):
            if not folder.is_dir():
                folder.mkdir(parents=True)
                done.append(f"folder {folder}")
        user = f"{os.environ.get('USERDOMAIN', platform.node())}\\{os.environ['USERNAME']}"
        for name, text in files.items():
            fit = escape if name.endswith(".xml") else str
            text = text.replace("{python}", fit(sys.executable)).replace("{user}", fit(user))
            path = place.shared / name if name.endswith(".xml") else place.root / name
            encoding = "utf-16" if name.endswith(".xml") else "utf-8"  # schtasks wants UTF-16
            if path.exists() and path.read_text(encoding) == text and not _run("schtasks", "/query", "/tn", TASK):
                continue
            path.write_text(text, encoding)
            if name.endswith(".xml"):
                if _run("schtasks", "/create", "/tn", TASK, "/xml", str(path), "/f"):
                    raise Refused("setup", "schtasks did not take the boot task")
                done.append(f"task {TASK}")
        return done

    def tear_down(self, place: Place, account: str, note: Callable[[str], None]) -> list[str]:
        """See `machine.Machine`."""
        done = []
        if _run("schtasks", "/delete", "/tn", TASK, "/f") == 0:
            done.append(f"task {TASK}")
        elif _run("schtasks", "/query", "/tn", TASK) == 0:
            raise Refused("failed", f"schtasks does not delete the task {TASK}, which would start the fleet again")
        keeper = self.supervisor(place)
        try:
            keeper.shutdown()
            note("stops everything")
            until = time.monotonic() + STOP_S
            while time.monotonic() < until:
                keeper.pid()
                time.sleep(0.1)
            raise Refused("failed", "the keeper does not end")
        except SupervisorGone:
            pass
        done += self.remove_firewall(place)
        if place.root.exists():
            for _ in range(50):  # what has just ended may hold a file for a moment longer
                shutil.rmtree(place.root, ignore_errors=True)
                if not place.root.exists():
                    break
                time.sleep(0.1)
            else:
                raise Refused("failed", f"{place.root} cannot be removed: something in it is in use")
            done.append(f"folder {place.root}")
        return done

    # -- firewall ----------------------------------------------------------------------------------------------------

    def firewall_state(self) -> dict[str, Any]:
        """netsh translates what it prints, so it is not asked for a list."""
        return {"manager": "netsh", "rules": []}

    def apply_firewall(self, wanted: dict[str, Any], place: Place) -> list[str]:
        """Each rule deleted and made, unless the same ones were made before and are there."""
        before = place.memory().get("netsh", [])
        there = all(_netsh("show", rule[0]) == 0 for rule in wanted["netsh"])
        if there and place.memory().get("firewall") == wanted["digest"]:
            return []
        for name in {*before, *(rule[0] for rule in wanted["netsh"])}:
            _netsh("delete", name)  # fails when there is none, which is fine
        for name, *words in wanted["netsh"]:
            if _netsh("add", name, *words):
                raise Refused("failed", f"netsh did not take the rule {name}")
        place.remember(netsh=[rule[0] for rule in wanted["netsh"]])
        return [f"netsh: {len(wanted['netsh'])} rules made"]

    def remove_firewall(self, place: Place) -> list[str]:
        """See `machine.Machine`."""
        gone = [name for name in place.memory().get("netsh", []) if _netsh("delete", name) == 0]
        return [f"netsh: {name} removed" for name in gone]


def _netsh(verb: str, name: str, *words: str) -> int:
    return _run("netsh", "advfirewall", "firewall", verb, "rule", f"name={name}", *words)


def _run(*command: str) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30).returncode


def _elevated() -> bool:
    if sys.platform == "win32":
        return bool(ctypes.windll.shell32.IsUserAnAdmin())
    return False
