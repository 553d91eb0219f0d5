"""Ways into a namespace, and the identity of a process.

CLOCK_REALTIME, the kernel's modules and the power switch have no namespace: who may set them in a host sets them for
the whole machine. So everything that runs in a LAN runs without those capabilities (capabilities(7)), on every way in.
"""

import ctypes
import os
import select
import shutil
import signal
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

from lab.lan.errors import LanError

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000  # linux/sched.h

DROPPED = ("sys_time", "sys_boot", "sys_module", "sys_rawio")

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": SYSTEM_PATH, "HOME": "/root", "USER": "root", "LOGNAME": "root", "LANG": "C.UTF-8"}
"""What a program in a host starts with: nothing of the caller's, as over ssh."""

PACKAGE_OF = {
    "ip": "iproute2",
    "nft": "nftables",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}


def check_machine() -> None:
    """Raises LanError, naming all that is missing, unless this process may make a LAN on this machine."""
    if os.geteuid() != 0:
        raise LanError("a virtual LAN needs root, for namespaces of its own: sudo .venv/bin/python -m lab.lan ...")
    lacking = [program for program in PACKAGE_OF if not shutil.which(program, path=SYSTEM_PATH)]
    missing = sorted({PACKAGE_OF[program] for program in lacking})
    if missing:
        raise LanError(f"the virtual LAN needs programs of these Debian packages: sudo apt install {' '.join(missing)}")


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot (field 22 of /proc/PID/stat); None when it has ended.

    With the pid it names one process for ever: pids are used again, the pair is not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def powerless(argv: Iterable[str]) -> list[str]:
    """`argv` without the capabilities of DROPPED, for itself and all that it starts."""
    return ["setpriv", f"--bounding-set={','.join(f'-{name}' for name in DROPPED)}", "--", *argv]


def entering(pid: int, spaces: Iterable[str], argv: Iterable[str]) -> list[str]:
    """The command that runs `argv`, powerless, in those namespaces of a process (nsenter's words: mount, net, pid ...).

    Entering a pid namespace takes a fork; then the program ends when nsenter, which the caller sees, is killed.
    """
    spaces = list(spaces)
    bound = ["setpriv", "--pdeathsig=KILL", "--"] if "pid" in spaces else []
    return powerless(["nsenter", f"--target={pid}", *(f"--{space}" for space in spaces), "--", *bound, *argv])


def end_sharing_network(pid: int) -> None:
    """Kill every other process in the network namespace of this one. LanError when the caller is in it, too."""
    network = _network(pid)
    if _network(os.getpid()) == network:
        raise LanError("this is inside the LAN, which cannot end itself: leave the shell first")
    while found := [other for other in _running() if other != pid and _network(other) == network]:
        for other in found:
            try:
                handle = os.pidfd_open(other)
            except ProcessLookupError:
                continue
            with os.fdopen(handle):
                if _network(other) == network:  # still the one that was seen, not a later one of its number
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], 5)


def _running() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and started(int(entry)) is not None]


def _network(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:  # it has ended
        return None


def socket_in(pid: int, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket in the network namespace of a process; it stays there, this process stays where it is. Raises OSError.

    setns(2) moves one thread: a thread of its own, which ends with it.
    """
    made: list[socket.socket | OSError] = []

    def make() -> None:
        try:
            with open(f"/proc/{pid}/ns/net", "rb") as network:
                if LIBC.setns(network.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")
            made.append(socket.socket(family, kind, protocol))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]
