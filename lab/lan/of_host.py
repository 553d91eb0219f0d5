"""Faults of a host: frozen, disk full, no power; brought about, proven, and taken back."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.lan.errors import LanError
from lab.lan.fault import Fault
from lab.lan.host import Host
from lab.lan.lan import UP_WITHIN_S, Lan
from lab.lan.namespaces import entering
from lab.lan.of_network import arrange

FREEZE_WITHIN_S = 5.0
FULL = "No space left on device"


def freeze(lan: Lan, fault: Fault) -> None:
    """Stop every process of a host (SIGSTOP; cgroups would leave traces on the machine, and are not everywhere)."""
    host = _on(lan, fault)
    _signal_all(host, signal.SIGSTOP, lambda state: state in "TtZX")


def thaw(lan: Lan, fault: Fault) -> None:
    """Let them go on."""
    host = lan.host(fault.host)
    if host.is_on:
        _signal_all(host, signal.SIGCONT, lambda state: state != "T")


def prove_freeze(lan: Lan, fault: Fault) -> str:
    """All its processes are stopped."""
    states = list(_states(lan.host(fault.host)).values())
    if moving := [state for state in states if state not in "TtZX"]:
        raise LanError(f"freeze of {fault.host} is not in force: {len(moving)} of {len(states)} processes run")
    return f"{len(states)} processes stopped"


def fill(lan: Lan, fault: Fault) -> None:
    """Shrink the disk to what is on it (and `leave_kb`): no memory is spent on a full disk."""
    _on(lan, fault)
    for attempt in range(5):
        disk = os.statvfs(_disk_seen_from_here(lan, fault.host))
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        try:
            _resize(lan, fault.host, f"{used // 1024 + round(fault.leave_kb or 0)}k")
            return
        except LanError:  # something was written in between
            if attempt == 4:
                raise


def empty(lan: Lan, fault: Fault) -> None:
    """Give the disk its size back."""
    _resize(lan, fault.host, f"{lan.disk_mb}m")


def prove_full(lan: Lan, fault: Fault) -> str:
    """A file larger than what is left cannot be written in the host."""
    host = lan.host(fault.host)
    left_kb = round(fault.leave_kb or 0)
    path = "/var/tmp/.is-it-full"
    done = host.run(["dd", "if=/dev/zero", f"of={path}", "bs=1k", f"count={left_kb + 64}"], check=False)
    host.run(["rm", "-f", path], check=False)
    if done.returncode == 0 or FULL not in done.stderr:
        raise LanError(f"disk-full of {fault.host} is not in force: {done.stderr.strip()}")
    return f"writing {left_kb + 64} kB says: {FULL}"


def cut_power(lan: Lan, fault: Fault) -> None:
    """Kill the host's first process: the kernel ends all others at once. Its cable is pulled, its disk stays."""
    host = lan.host(fault.host)
    if host is lan.operator:
        raise LanError("the operator's place is not a host: it cannot be killed")
    if host.is_on:
        handle = os.pidfd_open(host.pid)
        with os.fdopen(handle):
            if host.is_on:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not select.select([handle], [], [], 10)[0]:
                raise LanError(f"{host.name}'s processes do not end: look at ps, state D")
    # With its namespace the port would go by itself, but a little later, and a boot wants the name now.
    names = lan.at_switch(["ip", "-brief", "link", "show", "type", "veth"])
    if f"{host.port_name}@" in names:
        _gone_or(lambda: lan.at_switch(["ip", "link", "del", host.port_name]))


def boot(lan: Lan, fault: Fault) -> None:
    """Turn it on again, with the disk it had and the faults of its network that are still in force."""
    host = lan.host(fault.host)
    if not host.is_on:
        cut_power(lan, fault)  # whatever ended it, the port may still be there
        lan.boot([host], time.monotonic() + UP_WITHIN_S)
        arrange(lan)


def prove_off(lan: Lan, fault: Fault) -> str:
    """It has no process."""
    host = lan.host(fault.host)
    if host.is_on or _states(host):
        raise LanError(f"kill of {host.name} is not in force: process {host.pid} lives")
    return "no process is left"


def _on(lan: Lan, fault: Fault) -> Host:
    host = lan.host(fault.host)
    if host is lan.operator:
        raise LanError(f"{fault.kind}: the operator's place has this machine's processes and files")
    if not host.is_on:
        raise LanError(f"{fault.kind}: host {host.name} is off")
    return host


def _states(host: Host) -> dict[int, str]:
    """The state (proc(5)) of each process of a host: those of its pid namespace, and all that descend from them."""
    if not host.is_on:
        return {}
    space = os.readlink(f"/proc/{host.pid}/ns/pid")
    states, parents, members = dict[int, str](), dict[int, int](), set[int]()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(") ")[2].split()
                states[int(entry)], parents[int(entry)] = fields[0], int(fields[1])
                if os.readlink(f"/proc/{entry}/ns/pid") == space:
                    members.add(int(entry))
            except OSError:  # it has ended
                continue
    while more := {pid for pid, parent in parents.items() if parent in members} - members:
        members |= more
    return {pid: states[pid] for pid in members}


def _signal_all(host: Host, number: int, done: Callable[[str], bool]) -> None:
    """Send it until two looks in a row find no process that needs it: one may have been forking."""
    limit = time.monotonic() + FREEZE_WITHIN_S
    quiet = 0
    while quiet < 2:
        wanting = [pid for pid, state in _states(host).items() if not done(state)]
        quiet = 0 if wanting else quiet + 1
        _send(wanting, number)
        if time.monotonic() > limit:
            raise LanError(f"{host.name}: processes {wanting} do not obey signal {number}")


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _resize(lan: Lan, host: str, size: str) -> None:
    argv = ["mount", "-o", f"remount,size={size}", str(lan.state / "disks" / host)]
    done = subprocess.run(entering(lan.keeper_pid, ["mount"], argv), capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise LanError(f"the disk of {host} cannot be made {size}: {done.stderr.strip()}")


def _disk_seen_from_here(lan: Lan, host: str) -> Path:
    return Path(f"/proc/{lan.keeper_pid}/root{lan.state}/disks/{host}")


def _gone_or(remove: Callable[[], object]) -> None:
    try:
        remove()
    except LanError as error:
        if "Cannot find device" not in str(error):
            raise
