"""Linux: symlinks, /proc, systemd where it runs, accounts by the system's own tools."""

import contextlib
import os
import platform
import pwd
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy import procfs
from deploy.agent import linux_firewall, linux_network, linux_setup
from deploy.agent.place import Place, Refused, tail
from deploy.processes import Supervisor, SupervisorGone

WITHIN_S = 15.0


class Linux:
    """See `machine.Machine`."""

    boot_s = 20.0

    def __init__(self, root: str) -> None:
        self.root = root

    # -- looking -----------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """See `machine.Machine`."""
        memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
        return {
            "os": "linux",
            "system": _pretty_name(),
            "machine": platform.machine(),
            "libc": "-".join(platform.libc_ver()),
            "python": platform.python_version(),
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "root": os.geteuid() == 0,
            "cpus": os.cpu_count() or 1,
            "memory_bytes": int(memory[1]) * 1024 if memory else 0,
            "max_open_files": _hard_limit(),
            "supervised_by": linux_setup.keeper(),
            "now": time.time(),
            **linux_network.facts(),
            "firewall_managers": linux_firewall.managers(),
        }

    def env_commands(self, env: Path, pip: list[str]) -> list[list[str]]:
        """See `machine.Machine`."""
        made = [sys.executable, "-I", "-m", "venv", "--without-pip", str(env)]
        return [made, [str(env / "bin" / "python"), "-I", *pip]]

    def environment(self, place: Place) -> dict[str, str]:
        """See `machine.Machine`."""
        kept = ("PATH", "LANG", "LC_ALL", "TZ")
        return {"HOME": str(place.root)} | {key: os.environ[key] for key in kept if key in os.environ}

    def fill(self, text: str, release: Path) -> str:
        """See `machine.Machine`."""
        return text.replace("{release}", str(release))

    def end(self, process: "subprocess.Popen[bytes]") -> None:
        """See `machine.Machine`."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def supervisor(self, place: Place) -> Supervisor:
        """See `machine.Machine`."""
        return Supervisor(place.socket)

    def link(self, link: Path, relative: str) -> None:
        """See `machine.Machine`."""
        os.symlink(relative, link)

    def target(self, link: Path) -> Path:
        """See `machine.Machine`."""
        return link.resolve()

    def release_of(self, pid: int, place: Place) -> str:
        """What run_node put into its environment, or the folder in which the process was started."""
        told = procfs.environment(pid).get("FAIRLEAD_RELEASE")
        if told:
            return told
        with contextlib.suppress(OSError):
            folder = Path(os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)"))
            if folder.is_relative_to(place.releases.resolve()):
                return folder.relative_to(place.releases.resolve()).parts[0]
        return ""

    def port_taken(self, address: str, port: int, place: Place) -> str:
        """See `machine.Machine`."""
        error = procfs.bind_error(address, port)
        if error is None:
            return ""
        found = procfs.holder(port)
        ours = {*procfs.supervised(place.state), procfs.supervisord_of(place.conf)}  # it holds a balancer's port
        if found and found.pid in ours:
            return ""
        return procfs.why(error, port)

    def command_line(self, pid: int) -> str:
        """See `machine.Machine`."""
        return procfs.command_line(pid)

    # -- running -----------------------------------------------------------------------------------------------------

    def switch(self, link: Path, target: Path) -> None:
        """A symlink beside it, then a rename over it: nobody ever finds none."""
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        os.symlink(os.path.relpath(target, link.parent), fresh)
        os.replace(fresh, link)

    def start_supervisor(self, place: Place) -> None:
        """The unit does it by itself as soon as there is a release; without systemd we do, detached from here."""
        hung = procfs.supervisord_of(place.conf)
        if hung and not _answers(place, WITHIN_S):
            raise Refused("failed", f"supervisord (pid {hung}) does not answer; end it, then deploy again")
        if not hung and linux_setup.keeper() != "systemd":
            linux_setup.end(procfs.supervised(place.state))  # what a dead supervisord left would hold its ports
            python = place.current / ".venv" / "bin" / "python"
            subprocess.Popen(
                [str(python), "-m", "supervisor.supervisord", "-c", str(place.conf)],
                cwd=place.current, start_new_session=True, env=environment(place),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        if not _answers(place, WITHIN_S):
            log = tail(place.logs / "supervisord.log", 12)
            raise Refused("gate", f"Supervisor does not answer within {WITHIN_S:g} s of its start", log)

    # -- setting up and removing, as root: linux_setup --------------------------------------------------------------

    def set_up(self, place: Place, account: str, files: dict[str, str], note: Callable[[str], None]) -> list[str]:
        """See `machine.Machine`. `files`: the unit."""
        return linux_setup.set_up(place, account, files, note)

    def tear_down(self, place: Place, account: str, note: Callable[[str], None]) -> list[str]:
        """See `machine.Machine`."""
        return linux_setup.tear_down(place, account, note)

    # -- firewall ----------------------------------------------------------------------------------------------------

    def firewall_state(self) -> dict[str, Any]:
        """See `machine.Machine`."""
        return linux_firewall.state()

    def apply_firewall(self, wanted: dict[str, Any], place: Place) -> list[str]:
        """See `machine.Machine`."""
        return linux_firewall.apply(wanted)

    def remove_firewall(self, place: Place) -> list[str]:
        """See `machine.Machine`."""
        return linux_firewall.remove()


def environment(place: Place) -> dict[str, str]:
    """What supervisord is started with; its programs inherit it."""
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    kept = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TZ") if key in os.environ}
    return {"PATH": path, "HOME": str(place.root), **kept}


def _answers(place: Place, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            Supervisor(place.socket, timeout_s=2.0).pid()
            return True
        except SupervisorGone:
            time.sleep(0.05)
    return False


def _hard_limit() -> int:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


def _pretty_name() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r'^PRETTY_NAME="?([^"\n]+)', Path("/etc/os-release").read_text(), re.M)
        if found:
            return found[1]
    return sys.platform
