"""Linux, seen from the operator: how the agent is started over SSH, and where things lie."""

import shlex
from typing import ClassVar

from deploy.hosts.system import NO_PYTHON

# From the wire into memory: nothing is left on the host's disk, and a full disk is no obstacle.
_LOADER = """
import sys
if sys.version_info < (3, 11):
    sys.exit({no_python})
import os
held = os.memfd_create("fairlead-agent")
os.write(held, sys.stdin.buffer.read({size}))
sys.path.insert(0, "/proc/self/fd/%d" % held)
from deploy.agent.__main__ import main
main({root!r})
"""


class Linux:
    """See system.HostSystem."""

    root: ClassVar[str] = "/opt/fairlead"
    account: ClassVar[str] = "fairlead"

    def start_agent(self, size: int, as_root: bool) -> str:
        """See HostSystem. With `as_root` an account that is not root needs sudo without a password."""
        loader = shlex.quote(_LOADER.format(no_python=NO_PYTHON, size=size, root=self.root))
        script = (
            "for python in python3 python3.14 python3.13 python3.12 python3.11; do"
            " command -v $python >/dev/null 2>&1 || continue;"
            f" $python -I -c {loader}; status=$?; [ $status = {NO_PYTHON} ] || exit $status; done; exit {NO_PYTHON}"
        )
        if not as_root:
            return f"sh -c {shlex.quote(script)}"
        by_sudo = f'sudo -n env SSH_CONNECTION="$SSH_CONNECTION" sh -c {shlex.quote(script)}'
        return f'if [ "$(id -u)" = 0 ]; then exec sh -c {shlex.quote(script)}; else exec {by_sudo}; fi'

    def preamble(self, size: int) -> bytes:
        """See HostSystem."""
        return b""

    def why_it_ended(self, status: int) -> str:
        """See HostSystem."""
        hint = "it has no Python 3.11 or newer; on Debian 12, Ubuntu 24.04 and later: sudo apt install python3"
        return hint if status == NO_PYTHON else ""

    def upload_path(self, path: str) -> str:
        """See HostSystem."""
        return path

    def python_in(self, folder: str) -> str:
        """See HostSystem."""
        return f"{folder}/.venv/bin/python"
