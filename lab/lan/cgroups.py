"""The cgroups of hosts that boot systemd: it manages its services in one of its own, and will not start without.

The only thing of a LAN that the kernel does not take back by itself when the keeper dies: `down`, or the next `up` in
the same folder, removes it. Hosts without systemd have none.
"""

import hashlib
import os
import time
from pathlib import Path

from lab.lan.errors import LanError

SYSTEMD = Path("/lib/systemd/systemd")
GONE_WITHIN_S = 5.0


def place(state: Path) -> Path | None:
    """Where the cgroups of the LAN in this folder are, or would be; None on a machine where none can be made."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(folder) / f"fairlead-lan-{hashlib.sha256(bytes(state)).hexdigest()[:12]}"
    return None


def check(state: Path) -> None:
    """Raises LanError on a machine where no host can boot systemd."""
    if not SYSTEMD.exists():
        raise LanError("no systemd on this machine for the hosts to boot: sudo apt install systemd dbus")
    if place(state) is None:
        raise LanError("systemd needs a cgroup2 file system that can be written (a container's often cannot)")


def remove(state: Path) -> None:
    """Remove the LAN's cgroups; its processes have ended, or are about to. LanError when one stays in use."""
    top = place(state)
    limit = time.monotonic() + GONE_WITHIN_S
    while top is not None and top.exists():
        try:
            for folder, _, _ in os.walk(top, topdown=False):
                os.rmdir(folder)
        except OSError as error:
            if time.monotonic() > limit:
                raise LanError(f"cgroup {error.filename} cannot be removed: {error.strerror}") from None
            time.sleep(0.02)
