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

from lab.lan.errors import LanError
from lab.lan.host import OPERATOR, Host, write_json
from lab.lan.namespaces import check_machine, entering, powerless, started
from lab.lan.sshd import write_files

HERE = Path(__file__).resolve().parent
NETWORK = "10.77.0"  # the same in every LAN: they cannot see each other
BITS = 24
MOST_HOSTS = 200
UP_WITHIN_S = 30.0
RESERVED = (OPERATOR, "localhost", "keeper")
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
KEEPER_SPACES = ("mount", "uts", "ipc", "net", "pid")
UNSHARE = ["setsid", "--fork", "unshare", "--mount", "--uts", "--ipc", "--net"]
FIRST = ["--pid", "--fork", "--kill-child"]  # the first process of a pid namespace; all of it ends with it


@dataclass
class Lan:
    """A LAN that is up. `hosts` in the order given; `operator` is one more place on it, which reaches them all."""

    state: Path
    hosts: list[Host]
    operator: Host
    disk_mb: int = 1024
    share: list[str] = field(default_factory=list)
    keeper_pid: int = 0
    keeper_started: int = 0
    _leash: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def up(
        cls,
        hosts: int = 5,
        *,
        names: Sequence[str] | None = None,
        state: Path,
        share: Sequence[Path] = (),
        shells: Mapping[str, str] | None = None,
        disk_mb: int = 1024,
        stays: bool = False,
    ) -> Self:
        """Set up a LAN and return when every sshd answers (about a second).

        hosts: how many, named host1, host2 ...; or `names`, lower-case host names of your own.
        state: its folder (made; mode 0700): keys, known_hosts, ssh_config, lan.json. One LAN a folder.
        share: folders of the machine that every host sees at the same path, read-only (else /usr and /etc alone).
        shells: for a host, the program that its sshd hands every command to, for example {"win1": "/srv/winsh"}.
        disk_mb: how much a host can write, all of it in memory.
        stays: outlive this process. Else the LAN ends with it, however it ends.

        Raises LanError: not root, a Debian package missing, a bad name, a LAN already there, a host does not come up.
        """
        check_machine()
        names = [f"host{number}" for number in range(1, hosts + 1)] if names is None else list(names)
        shells = dict(shells or {})
        _check(names, shells, share)
        state = state.absolute()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(state):
            if (state / "lan.json").exists():
                if cls.load(state).is_up:
                    raise LanError(f"a LAN is up in {state}: python -m lab.lan down, or another --state")
                _sweep(state)
            lan = cls(
                state,
                [
                    Host(name, f"{NETWORK}.{number + 10}", f"port{number}", state, shell=shells.get(name))
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
        raise LanError(
            f"no host {name!r} in this LAN; there are {', '.join(h.name for h in [*self.hosts, self.operator])}"
        )

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
        }

    def down(self) -> None:
        """End everything in it and remove its files. Nothing happens to a LAN that is down."""
        with _locked(self.state):
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def switch(self, argv: Sequence[str], *, input: str | None = None) -> str:
        """Run a program in the network namespace that holds the switch (`ip`, `nft`); returns what it prints."""
        done = subprocess.run(
            entering(self.keeper_pid, ["net"], argv), input=input, capture_output=True, text=True, timeout=30
        )
        if done.returncode != 0:
            raise LanError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _start(self, stays: bool) -> None:
        write_files(self.state, self.hosts, self.operator)
        disks = self.state / "disks"
        disks.mkdir()
        script = [*UNSHARE, *FIRST, "bash", str(HERE / "keeper.sh"), str(disks), str(self.disk_mb)]
        self._leash = self._spawn(powerless([*script, *(host.name for host in self.hosts)]), "keeper")
        limit = time.monotonic() + UP_WITHIN_S
        self.keeper_pid = int(self._line(self._leash, limit, "the LAN's keeper"))
        self.keeper_started = started(self.keeper_pid) or 0
        self._save()
        self.boot([*self.hosts, self.operator], limit)
        if stays:
            _tell(self._leash, "stay")

    def boot(self, hosts: Sequence[Host], limit: float) -> None:
        """Start hosts, all at once; returns when each one's sshd answers. `limit`: when to give up (time.monotonic)."""
        boots = {host.name: self._spawn(self._boot_command(host), host.name) for host in hosts}
        cables = []
        for host in hosts:
            host.pid = int(self._line(boots[host.name], limit, f"host {host.name}"))
            host.started = started(host.pid) or 0
            mac = f"02:4c:41:4e:00:{int(host.address.rpartition('.')[2]):02x}"
            peer = f"peer name eth0 address {mac} netns {host.pid}"
            cables += [f"link add {host.port_name} type veth {peer}", f"link set {host.port_name} master lan0 up"]
        self._save()
        self.switch(["ip", "-batch", "-"], input="\n".join(cables) + "\n")
        for host in hosts:
            _tell(boots[host.name], "plugged in")
        for host in hosts:
            self._line(boots[host.name], limit, f"host {host.name}")
            _leave(boots[host.name])

    def _boot_command(self, host: Host) -> list[str]:
        address = f"{host.address}/{BITS}"
        if host.name == OPERATOR:
            script = [*UNSHARE, "bash", str(HERE / "operator.sh"), address, str(host.files)]
        else:
            disk = self.state / "disks" / host.name
            script = [*UNSHARE, *FIRST, "bash", str(HERE / "boot.sh")]
            script += [host.name, address, str(disk), str(host.files), *self.share]
        return powerless(["nsenter", f"--target={self.keeper_pid}", *(f"--{s}" for s in KEEPER_SPACES), "--", *script])

    def _spawn(self, argv: list[str], name: str) -> "subprocess.Popen[bytes]":
        with (self.state / f"{name}.log").open("ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0)

    def _line(self, process: "subprocess.Popen[bytes]", limit: float, who: str) -> str:
        """The next line that a starting process prints. LanError with the end of its log when it does not."""
        assert process.stdout is not None
        if select.select([process.stdout], [], [], max(0.0, limit - time.monotonic()))[0]:
            line: bytes = process.stdout.readline()
            if line.endswith(b"\n"):
                return line.decode().strip()
        said = (self.state / f"{who.split()[-1]}.log").read_text(errors="replace").strip().splitlines()[-5:]
        raise LanError(f"{who} did not come up: {' | '.join(said) or 'it said nothing'}")

    def _save(self) -> None:
        write_json(self.state / "lan.json", self.to_json())

    def _end(self) -> None:
        if self.is_up:
            _end_guests(self.operator)
            keeper = os.pidfd_open(self.keeper_pid)
            try:
                signal.pidfd_send_signal(keeper, signal.SIGKILL)
                # The kernel ends a pid namespace before its first process: when the keeper is gone, all are.
                if not select.select([keeper], [], [], 10)[0]:
                    raise LanError(f"the LAN's keeper, process {self.keeper_pid}, does not end: look at ps, state D")
            finally:
                os.close(keeper)
        if self._leash is not None:
            _leave(self._leash)
        _sweep(self.state)


def _tell(process: "subprocess.Popen[bytes]", word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word.encode() + b"\n")


def _leave(process: "subprocess.Popen[bytes]") -> None:
    """Close the pipes to what a process, which itself has ended, left running."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    process.wait()


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """One `up` or `down` at a time in a folder."""
    try:
        handle = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise LanError(f"no LAN in {state}: python -m lab.lan up, or say --state") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _check(names: Sequence[str], shells: Mapping[str, str], share: Sequence[Path]) -> None:
    if not 1 <= len(names) <= MOST_HOSTS:
        raise LanError(f"{len(names)} hosts: a LAN has 1 to {MOST_HOSTS}")
    for name in names:
        if not NAME.fullmatch(name) or name in RESERVED:
            raise LanError(f"host name {name!r}: say a-z, 0-9 and '-', a letter first, not {', '.join(RESERVED)}")
    if twice := {name for name in names if names.count(name) > 1}:
        raise LanError(f"host name {', '.join(sorted(twice))} is given twice")
    if unknown := set(shells) - set(names):
        raise LanError(f"shell for {', '.join(sorted(unknown))}: no such host in {', '.join(names)}")
    for folder in share:
        if not folder.is_dir():
            raise LanError(f"share {folder}: no such folder on this machine")


def _end_guests(operator: Host) -> None:
    """End what runs at the operator's place: its processes are the machine's, so they do not end with the keeper."""
    if not operator.is_on:
        return
    network = os.readlink(f"/proc/{operator.pid}/ns/net")
    if os.readlink("/proc/self/ns/net") == network:
        raise LanError("this is inside the LAN, which cannot end itself: leave the shell first")
    while guests := [pid for pid in _running() if pid != operator.pid and _network(pid) == network]:
        for pid in guests:
            try:
                guest = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            with os.fdopen(guest):
                if _network(pid) == network:  # still the one that was seen
                    signal.pidfd_send_signal(guest, signal.SIGKILL)
                    select.select([guest], [], [], 5)


def _running() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and started(int(entry)) is not None]


def _network(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it has ended
        return None


def _sweep(state: Path) -> None:
    """Remove what a LAN wrote into its folder; the folder, too, when nothing else is in it."""
    for name in ("hosts", "disks"):
        shutil.rmtree(state / name, ignore_errors=True)
    for path in [
        *state.glob("*.log"),
        *state.glob("id_ed25519*"),
        *(state / n for n in ("known_hosts", "ssh_config", "lan.json")),
    ]:
        path.unlink(missing_ok=True)
    if not any(state.iterdir()):
        state.rmdir()
