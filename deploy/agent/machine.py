"""What differs from one operating system to the other, behind one small interface. `linux.Linux` is one."""

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any, Protocol

from deploy.agent.place import Place
from deploy.processes import Process


class Supervises(Protocol):
    """What keeps a host's programs: `processes.Supervisor`, or the keeper. SupervisorGone: nobody answers."""

    def pid(self) -> int: ...
    def processes(self) -> list[Process]: ...
    def stop(self, process_id: str) -> None: ...
    def start(self, process_id: str) -> None: ...
    def reread(self) -> tuple[list[str], list[str], list[str]]: ...
    def add(self, group: str) -> None: ...
    def remove(self, group: str) -> None: ...
    def shutdown(self) -> None: ...


class Machine(Protocol):
    """A host's operating system. Methods marked (root) need the rights of an administrator."""

    root: str
    """Where everything of the fleet lies."""
    boot_s: float
    """How long a program may take to its first answer."""

    def facts(self) -> dict[str, Any]:
        """os, machine, python, user, root (whether administrator), cpus, memory_bytes, supervised_by, firewall ..."""

    def env_commands(self, env: Path, pip: list[str]) -> list[list[str]]:
        """Commands that make an environment; `pip`: how pip is started and what it shall install."""

    def environment(self, place: Place) -> dict[str, str]:
        """What programs are started with."""

    def fill(self, text: str, release: Path) -> str:
        """Fill in what only this host knows of a command or a value of its environment; {release} is a folder."""

    def end(self, process: "Popen[bytes]") -> None:
        """Kill a process that was started in a session of its own, with all that it started."""

    def supervisor(self, place: Place) -> Supervises:
        """What keeps the programs, running or not."""

    def link(self, link: Path, relative: str) -> None:
        """Make `link` lead to a folder, said relative to where it will be."""

    def target(self, link: Path) -> Path:
        """Where it leads."""

    def switch(self, link: Path, target: Path) -> None:
        """Make `link` lead to the folder `target`, in one step for whoever looks at the same time."""

    def start_supervisor(self, place: Place) -> None:
        """Bring the supervisor to life, or wait until the system's service manager has done so."""

    def release_of(self, pid: int, place: Place) -> str:
        """Which release a process runs; "" when that cannot be told."""

    def port_taken(self, address: str, port: int, place: Place) -> str:
        """Why a port cannot be had, with its holder; "" when it is free or held by one of the fleet's programs."""

    def command_line(self, pid: int) -> str:
        """For people."""

    def set_up(self, place: Place, account: str, files: dict[str, str], note: Callable[[str], None]) -> list[str]:
        """(root) Account, folders, service. Returns what was changed, one sentence each; nothing when all was there."""

    def tear_down(self, place: Place, account: str, note: Callable[[str], None]) -> list[str]:
        """(root) Remove everything that `set_up` and deploys left. Returns what was removed."""

    def firewall_state(self) -> dict[str, Any]:
        """(root) Which manager governs, whether ours is in force and what it says."""

    def apply_firewall(self, wanted: dict[str, Any], place: Place) -> list[str]:
        """(root) Bring the rules in line with `wanted` (see `deploy.firewall`). Returns what was changed."""

    def remove_firewall(self, place: Place) -> list[str]:
        """(root) Remove our rules, and only ours."""
