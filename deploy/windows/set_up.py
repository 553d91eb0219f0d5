"""Whether .venv is set up for the lock files of now: `python -m deploy.windows.set_up`; with --done it is from now on.

Called by scripts/windows/set_up.bat before any package is there, so: standard library only.
"""

import hashlib
import sys
from pathlib import Path

LOCKS = ("requirements.lock", "requirements-windows.lock")


def main(argv: list[str], project: Path = Path(__file__).parents[2]) -> int:
    """0: it is · 1: it is not."""
    mark = project / ".venv" / "set_up.txt"
    locks = b"".join((project / name).read_bytes() for name in LOCKS)
    wanted = f"{sys.version.split()[0]} {hashlib.sha256(locks).hexdigest()}"
    if argv == ["--done"]:
        mark.write_text(wanted)
    return int(not mark.is_file() or mark.read_text() != wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
