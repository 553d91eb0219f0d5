"""Who a host is.

Fabric alone would take every key unseen. Here an unknown key is an error, except that `fab setup` shows its fingerprint
and asks; a changed key is always one.
"""

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import paramiko

Confirm = Callable[[str, str], bool]
"""(host, what its key is) -> whether to trust it from now on."""


class UnknownHost(paramiko.SSHException):  # type: ignore[misc]  # paramiko has no types
    """Nobody has said yet that this key belongs to this host."""


class Pinned(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]  # paramiko has no types
    """Unknown keys are refused, or pinned after `confirm`."""

    _one_question_at_a_time = threading.Lock()

    def __init__(self, pins: Path, confirm: Confirm | None) -> None:
        self._pins = pins
        self._confirm = confirm

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """paramiko's question."""
        shown = f"{key.get_name()} {fingerprint(key)}"
        if self._confirm is None:
            raise UnknownHost(f"its key ({shown}) is not known yet; `fab setup` shows it and asks")
        with self._one_question_at_a_time:
            if not self._confirm(hostname, shown):
                raise UnknownHost(f"its key ({shown}) was not accepted")
            self._pins.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._pins.open("a") as file:
                file.write(f"{hostname} {key.get_name()} {key.get_base64()}\n")


def prepare(client: paramiko.SSHClient, pins: Path, known: Sequence[Path], confirm: Confirm | None) -> None:
    """Have a client that is not yet connected check the host's key: against our pins and the user's own known_hosts."""
    for path in (*known, pins):
        if path.is_file():
            client.load_host_keys(str(path))
    client.set_missing_host_key_policy(Pinned(pins, confirm))


def fingerprint(key: paramiko.PKey) -> str:
    """As ssh-keygen -l shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
