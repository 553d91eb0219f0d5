"""Put the front-end files into dashboard/static/vendor: `python dashboard/assets/install.py`.

Two files and their licence, by `npm ci` from package-lock.json (integrity hashes, no scripts run). A machine
without npm gets one from the wheel in requirements-assets.lock, in a throw-away virtual environment. Does nothing
when the files are there and made from this lock file. Needs only the standard library; exit 1 with the reason when
it fails. `--check` only says whether the files are there (exit 0 or 1). `--tests` also puts axe-core, with which the
tests look for barriers, into tests/browser/vendor.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ASSETS = Path(__file__).resolve().parent
VENDOR = ASSETS.parent / "static" / "vendor"
PROJECT = ASSETS.parent.parent
TESTS = PROJECT / "tests" / "browser" / "vendor"

FILES = {
    "uplot/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css": "uPlot.min.css",
    "uplot/LICENSE": "uPlot-LICENSE.txt",
}
TEST_FILES = {"axe-core/axe.min.js": "axe.min.js", "axe-core/LICENSE": "axe-LICENSE.txt"}


def lock_hash() -> str:
    """What the installed files were made from: the lock file and the lists above."""
    files = sorted([*FILES.items(), *TEST_FILES.items()])
    wanted = (ASSETS / "package-lock.json").read_bytes() + repr(files).encode()
    return hashlib.sha256(wanted).hexdigest()


def up_to_date(vendor: Path = VENDOR, files: dict[str, str] = FILES) -> bool:
    """Whether every file is there and made from the present lock file."""
    stamp = vendor / ".lock-hash"
    complete = all((vendor / name).is_file() for name in files.values())
    return complete and stamp.is_file() and stamp.read_text() == lock_hash()


def install(vendor: Path = VENDOR, files: dict[str, str] = FILES) -> None:
    """Fetch and copy. subprocess.CalledProcessError when npm or pip fails."""
    omit = [] if files is TEST_FILES else ["--omit=dev"]
    with tempfile.TemporaryDirectory(prefix="fairlead-assets-") as name:
        work = Path(name)
        npm = shutil.which("npm") or _npm_from_wheel(work / "venv")
        for file in ("package.json", "package-lock.json"):
            shutil.copy(ASSETS / file, work)
        _run([npm, "ci", *omit, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], work)
        vendor.mkdir(parents=True, exist_ok=True)
        for source, target in files.items():
            shutil.copyfile(work / "node_modules" / source, vendor / target)
        (vendor / ".lock-hash").write_text(lock_hash())  # last: an interrupted copy is not up to date


def _npm_from_wheel(folder: Path) -> str:
    print("npm is not installed: using the one in requirements-assets.lock (about 60 MB, this once)", flush=True)
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    lock = PROJECT / "requirements-assets.lock"
    _run([str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)], folder)
    npm = shutil.which("npm", path=str(python.parent))
    if npm is None:
        raise FileNotFoundError(f"no npm in {python.parent} after installing requirements-assets.lock")
    return npm


def _run(command: list[str], folder: Path) -> None:
    # npm starts `node` by name: the wheel's own must be found first.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    subprocess.run(command, cwd=folder, env=environment, check=True)


def main() -> int:
    wanted = [(VENDOR, FILES)] + ([(TESTS, TEST_FILES)] if "--tests" in sys.argv[1:] else [])
    missing = [(folder, files) for folder, files in wanted if not up_to_date(folder, files)]
    if not missing:
        print("front-end files: up to date")
        return 0
    if "--check" in sys.argv[1:]:
        print("front-end files: missing or old; run: python dashboard/assets/install.py")
        return 1
    try:
        for folder, files in missing:
            install(folder, files)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"front-end files could not be installed: {error}", file=sys.stderr)
        print(
            "The dashboard works without them, as a plain table. Try again when the network is there.", file=sys.stderr
        )
        return 1
    for folder, files in missing:
        print(f"front-end files: {len(files)} files in {folder.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
