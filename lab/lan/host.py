"""One host of a LAN: where it is, how to reach it, and how to run a program in it past its network."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from lab.lan.errors import LanError
from lab.lan.namespaces import ENVIRONMENT, entering, started

OPERATOR = "operator"
HOST_SPACES = ("mount", "uts", "ipc", "net", "pid", "cgroup")
# The operator sees the machine's files and processes: it is where the checkout and its .venv are, and a signal to the
# process that `popen` returns reaches the program itself.
OPERATOR_SPACES = ("mount", "uts", "net")


@dataclass
class Host:
    """A host, or the operator's place. `pid` and `started` name its first process, on the machine."""

    name: str
    address: str
    """IPv4, on the LAN only: the machine has no way to it, the operator has."""
    port_name: str
    """Its cable's end at the switch."""
    state: Path
    """The LAN's folder."""
    pid: int = 0
    started: int = 0
    shell: str | None = None
    """A program that sshd hands every command to (in SSH_ORIGINAL_COMMAND); None for the user's own shell."""
    init: str = "sh"
    """What its first process is: `sh`, a script that keeps sshd alive, or `systemd`."""
    user: str = "root"
    port: int = 22

    @property
    def key(self) -> Path:
        """Private key that its sshd takes (ed25519, the same for all hosts of a LAN)."""
        return self.state / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The keys of all sshds of the LAN, by name and address."""
        return self.state / "known_hosts"

    @property
    def files(self) -> Path:
        """What is laid over its disk at the first boot."""
        return self.state / "hosts" / self.name

    @property
    def mac(self) -> str:
        """The hardware address of its eth0: locally administered, the address's last number at the end."""
        return f"02:4c:41:4e:00:{int(self.address.rpartition('.')[2]):02x}"

    @property
    def is_on(self) -> bool:
        """Whether its first process lives."""
        return self.pid > 0 and started(self.pid) == self.started

    @property
    def root(self) -> Path:
        """Its file system, seen from the machine; for reading only."""
        return Path(f"/proc/{self.pid}/root")

    def command(self, argv: Sequence[str], *, cwd: str | Path | None = None) -> list[str]:
        """The command on the machine that runs `argv` in this host, powerless. LanError when the host is off."""
        if not self.is_on:
            raise LanError(f"host {self.name} is off; turn it on: python -m lab.lan clear --state {self.state}")
        if self.name == OPERATOR:
            return entering(self.pid, OPERATOR_SPACES, ["env", f"--chdir={cwd or os.getcwd()}", *argv])
        return entering(self.pid, HOST_SPACES, ["env", f"--chdir={cwd}", *argv] if cwd else argv)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a program in it starts with: nothing of the caller's, as over ssh; the operator has the caller's."""
        own = dict(os.environ) if self.name == OPERATOR else ENVIRONMENT | {"TERM": os.environ.get("TERM", "dumb")}
        return own | {"FAIRLEAD_LAN": str(self.state)} | dict(more or {})

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,
        timeout_s: float = 60,
        check: bool = True,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the host and wait for it. Text in and out.

        Raises LanError when it ends with another code than 0 (unless `check` is off) or takes longer than `timeout_s`;
        then it is killed.
        """
        command = self.command(argv, cwd=cwd)
        try:
            done = subprocess.run(
                command,
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                env=self.environment(env),
            )
        except subprocess.TimeoutExpired:
            raise LanError(f"{self.name}: {' '.join(argv)} took longer than {timeout_s:g} s") from None
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LanError(f"{self.name}: {' '.join(argv)} ended with {done.returncode}: {said}")
        return done

    def popen(
        self,
        argv: Sequence[str],
        *,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        **how: Any,
    ) -> "subprocess.Popen[Any]":
        """Start a program in the host; `how` goes to subprocess.Popen. Killing the process ends the program."""
        return subprocess.Popen(self.command(argv, cwd=cwd), env=self.environment(env), **how)

    def to_json(self) -> dict[str, Any]:
        """Its line in lan.json and `list --json`."""
        entry = asdict(self) | {"state": str(self.state), "key": str(self.key), "known_hosts": str(self.known_hosts)}
        return entry | {"ssh_config": str(self.state / "ssh_config"), "on": self.is_on}

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        """Read back what `to_json` wrote."""
        names = set(cls.__dataclass_fields__)
        return cls(**{name: value for name, value in entry.items() if name in names} | {"state": Path(entry["state"])})


def write_json(path: Path, value: object) -> None:
    """Write a file in one step: a reader sees the old one or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value, indent=1) + "\n")
    fresh.replace(path)
