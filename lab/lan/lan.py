"""The LAN: `Lan.up`, `Lan.load`, `lan.down`.

One process, the keeper, holds everything: a pid namespace in which all hosts' processes are, a network namespace with
the switch, a mount namespace with the hosts' disks. So `down` is one signal, nothing of a LAN can be seen on the
machine besides its processes, several LANs never meet, and a LAN whose maker dies in mid-work vanishes with it: until
it is up, the keeper lives on the maker's pipe.
"""

import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lab.lan import cgroups
from lab.lan.errors import LanError
from lab.lan.fault import Fault
from lab.lan.host import OPERATOR, Host, write_json
from lab.lan.namespaces import check_machine, end_sharing_network, entering, powerless, started
from lab.lan.sshd import write_files
from lab.lan.starting import Starting

HERE = Path(__file__).resolve().parent
NETWORK = "10.77.0"  # the same in every LAN: they cannot see each other
BITS = 24
FOLDERS = ("hosts", "disks", "logs", "cables")
FILES = ("lan.json", "lan.new", "id_ed25519", "id_ed25519.pub", "known_hosts", "ssh_config")
MOST_HOSTS = 200
UP_WITHIN_S = 30.0
RESERVED = (OPERATOR, "localhost", "keeper")
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
KEEPER_SPACES = ("mount", "uts", "ipc", "net", "pid")
UNSHARE = ["setsid", "--fork", "unshare", "--mount", "--uts", "--ipc", "--net"]
# Into a cgroup of its own, and then a cgroup namespace in which that one is the top.
IN_CGROUP = ["sh", "-c", 'mkdir -p "$0" && echo 0 >"$0/cgroup.procs" && exec unshare --cgroup "$@"']
FIRST = ["--pid", "--fork", "--kill-child"]  # the first process of a pid namespace; all of it ends with it


@dataclass
class Lan:
    """A LAN that is up. `hosts` in the order given; `operator` is one more place on it, which reaches them all."""

    state: Path
    hosts: list[Host]
    operator: Host
    disk_mb: int = 1024
    share: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    keeper_pid: int = 0
    keeper_started: int = 0
    _leash: Starting | None = None

    @classmethod
    def up(
        cls,
        hosts: int = 5,
        *,
        names: Sequence[str] | None = None,
        state: Path,
        share: Sequence[Path] = (),
        shells: Mapping[str, str] | None = None,
        systemd: Sequence[str] = (),
        disk_mb: int = 1024,
        stays: bool = False,
    ) -> Self:
        """Set up a LAN and return when every sshd answers (about a second).

        hosts: how many, named host1, host2 ...; or `names`, lower-case host names of your own.
        state: its folder (made; mode 0700): keys, known_hosts, ssh_config, lan.json. One LAN a folder.
        share: folders of the machine that every host sees at the same path, read-only (else /usr and /etc alone).
        shells: for a host, the program that its sshd hands every command to, for example {"win1": "/srv/winsh"}.
        systemd: hosts whose first process is systemd, on machines where that works (two seconds more).
        disk_mb: how much a host can write, all of it in memory.
        stays: outlive this process. Else the LAN ends with it, however it ends.

        Raises LanError: not root, a Debian package missing, a bad name, a LAN already there, a host does not come up.
        """
        check_machine()
        names = [f"host{number}" for number in range(1, hosts + 1)] if names is None else list(names)
        shells = dict(shells or {})
        state = state.absolute()
        _check(names, shells, systemd, share)
        if systemd:
            cgroups.check(state)
        with locked(state, make=True):
            if (state / "lan.json").exists() and cls.load(state).is_up:
                raise LanError(f"a LAN is up in {state}: python -m lab.lan down, or another --state")
            _sweep(state)  # what one left behind that was killed
            lan = cls(
                state,
                [
                    Host(
                        name,
                        f"{NETWORK}.{number + 10}",
                        f"port{number}",
                        state,
                        shell=shells.get(name),
                        init="systemd" if name in systemd else "sh",
                    )
                    for number, name in enumerate(names, 1)
                ],
                Host(OPERATOR, f"{NETWORK}.2", "port0", state),
                disk_mb,
                [str(folder.resolve()) for folder in share],
            )
            try:
                lan._start(stays)
            except BaseException:
                lan._end()
                raise
        return lan

    @classmethod
    def load(cls, state: Path) -> Self:
        """The LAN that was set up in this folder. LanError when there is none; ask `is_up` whether it still lives."""
        state = state.absolute()
        try:
            saved = json.loads((state / "lan.json").read_text())
        except FileNotFoundError:
            raise LanError(f"no LAN in {state}: python -m lab.lan up, or say --state") from None
        return cls(
            state,
            [Host.from_json(entry) for entry in saved["hosts"]],
            Host.from_json(saved["operator"]),
            saved["disk_mb"],
            saved["share"],
            [Fault(**entry) for entry in saved["faults"]],
            saved["keeper_pid"],
            saved["keeper_started"],
        )

    @property
    def is_up(self) -> bool:
        """Whether its keeper lives."""
        return self.keeper_pid > 0 and started(self.keeper_pid) == self.keeper_started

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F` at the operator's place: every host by name and address, with key and known host key."""
        return self.state / "ssh_config"

    def host(self, name: str) -> Host:
        """A host by name, or the operator. LanError names those that are."""
        for host in [*self.hosts, self.operator]:
            if host.name == name:
                return host
        there = ", ".join(host.name for host in [*self.hosts, self.operator])
        raise LanError(f"no host {name!r} in this LAN; there are {there}")

    def refresh(self) -> None:
        """Read lan.json again: another process may have changed the faults, or turned a host off and on."""
        saved = type(self).load(self.state)
        self.faults = saved.faults
        for host in self.hosts:
            other = saved.host(host.name)
            host.pid, host.started = other.pid, other.started

    def to_json(self) -> dict[str, Any]:
        """What lan.json holds and `list --json` prints."""
        return {
            "state": str(self.state),
            "network": f"{NETWORK}.0/{BITS}",
            "up": self.is_up,
            "keeper_pid": self.keeper_pid,
            "keeper_started": self.keeper_started,
            "disk_mb": self.disk_mb,
            "share": self.share,
            "ssh_config": str(self.ssh_config),
            "hosts": [host.to_json() for host in self.hosts],
            "operator": self.operator.to_json(),
            "faults": [fault.to_json() for fault in self.faults],
        }

    def down(self) -> None:
        """End everything in it and remove its files. Nothing happens to a LAN that is down."""
        if self.state.exists():
            with locked(self.state):
                self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def at_switch(self, argv: Sequence[str], *, input: str | None = None) -> str:
        """Run a program in the network namespace that holds the switch (`ip`, `nft`); returns what it prints."""
        done = subprocess.run(
            entering(self.keeper_pid, ["net"], argv), input=input, capture_output=True, text=True, timeout=30
        )
        if done.returncode != 0:
            raise LanError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _start(self, stays: bool) -> None:
        for folder in FOLDERS:
            (self.state / folder).mkdir()
        write_files(self.state, self.hosts, self.operator)
        disks = self.state / "disks"
        limit = time.monotonic() + UP_WITHIN_S
        script = [*UNSHARE, *FIRST, "bash", str(HERE / "keeper.sh"), str(disks), str(self.disk_mb)]
        self._leash = self._starting(powerless([*script, *(host.name for host in self.hosts)]), "keeper")
        self.keeper_pid = int(self._leash.line(limit))
        self.keeper_started = started(self.keeper_pid) or 0
        self.save()
        self.boot([*self.hosts, self.operator], limit)
        if stays:
            self._leash.tell("stay")
            self._leash.leave()
            self._leash = None

    def boot(self, hosts: Sequence[Host], limit: float) -> None:
        """Start hosts, all at once; returns when each one's sshd answers. `limit`: when to give up (time.monotonic)."""
        boots: list[Starting] = []
        cables = []
        try:
            boots += [self._starting(self._boot_command(host), host.name) for host in hosts]
            for host, boot in zip(hosts, boots, strict=True):
                host.pid = int(boot.line(limit))
                host.started = started(host.pid) or 0
                peer = f"peer name eth0 address {host.mac} netns {host.pid}"
                cables += [f"link add {host.port_name} type veth {peer}", f"link set {host.port_name} master lan0 up"]
            self.save()
            self.at_switch(["ip", "-batch", "-"], input="\n".join(cables) + "\n")
            for boot in boots:
                boot.tell("plugged in")
            for boot in boots:
                boot.line(limit)
        finally:
            for boot in boots:
                boot.leave()

    def _boot_command(self, host: Host) -> list[str]:
        address = f"{host.address}/{BITS}"
        if host.name == OPERATOR:
            script = [*UNSHARE, "bash", str(HERE / "operator.sh"), address, str(host.files)]
        else:
            disk = self.state / "disks" / host.name
            script = [*UNSHARE, *FIRST, "bash", str(HERE / "boot.sh"), host.name, address, str(disk), str(host.files)]
            script.append(host.init)
            if host.init == "systemd":
                script = [*IN_CGROUP, f"{cgroups.place(self.state)}/{host.name}", *script]
        spaces = [f"--{space}" for space in KEEPER_SPACES]
        return powerless(["nsenter", f"--target={self.keeper_pid}", *spaces, "--", *script, *self.share])

    def _starting(self, argv: list[str], name: str) -> Starting:
        who = "the LAN's keeper" if name == "keeper" else f"host {name}"
        return Starting(argv, who, self.state / "logs" / f"{name}.log")

    def save(self) -> None:
        """Write lan.json."""
        write_json(self.state / "lan.json", self.to_json())

    def _end(self) -> None:
        if self.is_up:
            if self.operator.is_on:
                end_sharing_network(self.operator.pid)
            keeper = os.pidfd_open(self.keeper_pid)
            try:
                signal.pidfd_send_signal(keeper, signal.SIGKILL)
                # The kernel ends a pid namespace before its first process: when the keeper is gone, all are.
                if not select.select([keeper], [], [], 10)[0]:
                    raise LanError(f"the LAN's keeper, process {self.keeper_pid}, does not end: look at ps, state D")
            finally:
                os.close(keeper)
        if self._leash is not None:
            self._leash.leave()
        if not (self.state / "lan.json").exists() or type(self).load(self.state).keeper_pid == self.keeper_pid:
            _sweep(self.state)  # else somebody ended this one and set up another here
            if not any(self.state.iterdir()):
                self.state.rmdir()


@contextmanager
def locked(state: Path, make: bool = False) -> Iterator[None]:
    """One at a time sets up, ends or changes the LAN in a folder. LanError when there is none and none to `make`."""
    while True:
        if make:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            raise LanError(f"no LAN in {state}: python -m lab.lan up, or say --state") from None
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:  # else it was removed while we waited
            break
        os.close(handle)
    try:
        yield
    finally:
        os.close(handle)


def _check(names: Sequence[str], shells: Mapping[str, str], systemd: Sequence[str], share: Sequence[Path]) -> None:
    if not 1 <= len(names) <= MOST_HOSTS:
        raise LanError(f"{len(names)} hosts: a LAN has 1 to {MOST_HOSTS}")
    for name in names:
        if not NAME.fullmatch(name) or name in RESERVED:
            raise LanError(f"host name {name!r}: say a-z, 0-9 and '-', a letter first, not {', '.join(RESERVED)}")
    if unknown := set(systemd) - set(names):
        raise LanError(f"systemd for {', '.join(sorted(unknown))}: no such host in {', '.join(names)}")
    if wrong := [program for program in shells.values() if "\n" in program]:
        raise LanError(f"shell {wrong[0]!r}: say one program and its arguments, on one line")
    if twice := {name for name in names if names.count(name) > 1}:
        raise LanError(f"host name {', '.join(sorted(twice))} is given twice")
    if unknown := set(shells) - set(names):
        raise LanError(f"shell for {', '.join(sorted(unknown))}: no such host in {', '.join(names)}")
    for folder in share:
        if not folder.is_dir():
            raise LanError(f"share {folder}: no such folder on this machine")


def _sweep(state: Path) -> None:
    """Remove what a LAN wrote into its folder, and its cgroups."""
    cgroups.remove(state)
    for name in FOLDERS:
        shutil.rmtree(state / name, ignore_errors=True)
    for name in FILES:
        (state / name).unlink(missing_ok=True)
