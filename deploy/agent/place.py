"""Where things lie on a host. The same names on every operating system; what differs is in `machine`."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any


class Refused(Exception):
    """A request that cannot be carried out, for a reason that a person can act on.

    `kind`: gate (the release is not good), locked, setup (run `fab setup`), room (disk), missing, failed.
    `log`: the last lines of whoever failed.
    """

    def __init__(self, kind: str, text: str, log: list[str] | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.log = log or []


class Place:
    """The folder of a fleet on a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.releases = root / "releases"
        self.envs = root / "envs"
        self.incoming = root / "incoming"
        self.current = root / "current"
        self.shared = root / "shared"
        self.state = self.shared / "run"
        """FAIRLEAD_STATE of every program: sockets, token, scoreboards, orders."""
        self.logs = self.shared / "logs"

    @property
    def conf(self) -> Path:
        """supervisord.conf, through `current`: switching the release switches it."""
        return self.current / "host" / "supervisord.conf"

    @property
    def socket(self) -> Path:
        """Supervisor's."""
        return self.state / "supervisor.sock"

    def release(self) -> str:
        """Id of the release that `current` leads to; "" when there is none."""
        try:
            if self.current.is_file():  # where there are no symlinks it holds the name
                return self.current.read_text().strip()
            return self.current.resolve(strict=True).name
        except OSError:
            return ""

    def folder(self, release: str) -> Path:
        """Where a release lies. Refused when its name is none."""
        if not release.isalnum():
            raise Refused("missing", f"{release!r} is not the id of a release")
        return self.releases / release

    def complete(self) -> list[str]:
        """Ids of the releases that are whole, newest arrival first."""
        found = [path.parent for path in self.releases.glob("*/RELEASE") if not path.parent.name.startswith(".")]
        return [path.name for path in sorted(found, key=lambda path: (path / "host").stat().st_mtime, reverse=True)]

    def memory(self) -> dict[str, Any]:
        """The state file: fleet, previous, switching, firewall; {} before the first set-up."""
        try:
            value = json.loads((self.shared / "deployed.json").read_text())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def remember(self, **values: Any) -> None:
        """Change some of the state file's values; None removes one."""
        merged = {key: value for key, value in {**self.memory(), **values}.items() if value is not None}
        write(self.shared / "deployed.json", json.dumps(merged, indent=1) + "\n")

    def audit(self, **fields: Any) -> None:
        """One line in the host's audit log."""
        line = json.dumps({"at": round(time.time(), 3), **fields}, ensure_ascii=False)
        with (self.shared / "audit.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file whole: readers see the old or the new, never half."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(fresh, mode)  # whatever the umask
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def room(path: Path) -> int:
    """Free bytes on the disk of `path`, or of the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def tail(path: Path, lines: int, after: int = 0) -> list[str]:
    """The last lines of a text file, of what follows byte `after`; none when it cannot be read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - 65536, after if after <= size else 0))  # smaller than it was: rotated meanwhile
            return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()][-lines:]
    except OSError:
        return []
