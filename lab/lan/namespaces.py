"""Ways into a namespace, and the identity of a process.

CLOCK_REALTIME, the kernel's modules and the power switch have no namespace: who may set them in a host sets them for
the whole machine. So everything that runs in a LAN runs without those capabilities (capabilities(7)), on every way in.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lab.lan.errors import LanError

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
        raise LanError("a virtual LAN needs root, for namespaces of its own: sudo python -m lab.lan ...")
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
