"""Put axe-core into tests/browser/vendor: `python tests/browser/install_axe.py`.

By `npm ci` from package-lock.json (integrity hash, no scripts run). A machine without npm gets one from the wheel in
requirements-assets.lock, in a throw-away virtual environment. Does nothing when the file is there and made from this
lock file. Needs only the standard library; exit 1 with the reason when it fails.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDOR = HERE / "vendor"
PROJECT = HERE.parent.parent
FILES = {"axe-core/axe.min.js": "axe.min.js", "axe-core/LICENSE": "axe-LICENSE.txt"}


def lock_hash() -> str:
    """What the installed files were made from."""
    return hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()


def up_to_date() -> bool:
    """Whether every file is there and made from the present lock file."""
    stamp = VENDOR / ".lock-hash"
    complete = all((VENDOR / name).is_file() for name in FILES.values())
    return complete and stamp.is_file() and stamp.read_text() == lock_hash()


def install() -> None:
    """Fetch and copy. subprocess.CalledProcessError when npm or pip fails."""
    with tempfile.TemporaryDirectory(prefix="fairlead-axe-") as name:
        work = Path(name)
        npm = shutil.which("npm") or _npm_from_wheel(work / "venv")
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / file, work)
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], work)
        VENDOR.mkdir(parents=True, exist_ok=True)
        for source, target in FILES.items():
            shutil.copyfile(work / "node_modules" / source, VENDOR / target)
        (VENDOR / ".lock-hash").write_text(lock_hash())  # last: an interrupted copy is not up to date


def _npm_from_wheel(folder: Path) -> str:
    print("npm is not installed: using the one in requirements-assets.lock (about 60 MB, this once)", flush=True)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    lock = PROJECT / "requirements-assets.lock"
    _run([str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)], folder)
    npm = shutil.which("npm", path=str(python.parent))
    if npm is None:
        raise FileNotFoundError(f"no npm in {python.parent} after installing requirements-assets.lock")
    return npm


def _run(command: list[str], folder: Path) -> None:
    # npm starts `node` by name: the wheel's own must be found first.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, check=True)


def main() -> int:
    try:
        if not up_to_date():
            install()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"axe-core could not be installed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
