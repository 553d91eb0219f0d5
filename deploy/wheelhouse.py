"""Wheels for hosts without internet: fetched once for each kind of host, kept by the operator, sent by hash."""

import hashlib
import importlib.metadata
import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pip

from cluster.errors import FairleadError
from deploy.release import Environment

LIMIT_S = 600.0


class NoWheels(FairleadError):
    """Packages could not be fetched for a kind of host."""


@dataclass(frozen=True)
class Target:
    """What a wheel must fit, from a host's facts."""

    python: str  # 3.11.2
    machine: str  # x86_64
    libc: str  # glibc-2.36, or windows

    @property
    def tag(self) -> str:
        """`cp311-x86_64-glibc-2.36`; the patch version of Python does not matter to wheels."""
        return f"cp{self._version.replace('.', '')}-{self.machine}-{self.libc or 'any'}"

    @property
    def _version(self) -> str:
        return ".".join(self.python.split(".")[:2])

    @classmethod
    def of_this_computer(cls, python: str = "", machine: str = "", libc: str = "") -> "Target":
        """What this computer would want; what is given counts instead."""
        own = "-".join(platform.libc_ver())
        return cls(python or platform.python_version(), machine or platform.machine(), libc or own)

    def pip_options(self) -> list[str]:
        """What makes `pip download` choose wheels for this target, whatever it runs on itself."""
        version = self._version
        abi = f"cp{version.replace('.', '')}"
        options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
        for name in (abi, "abi3", "none"):
            options += ["--abi", name]
        for name in self.platforms():
            options += ["--platform", name]
        return options

    def platforms(self) -> list[str]:
        """Platform tags, the newest first (PEP 600)."""
        if self.libc == "windows":
            return [f"win_{self.machine.lower()}"]
        found = re.fullmatch(r"glibc-2\.(\d+)", self.libc)
        newest = int(found[1]) if found else 17
        names = [f"manylinux_2_{minor}" for minor in range(newest, 4, -1)]
        return [f"{name}_{self.machine}" for name in [*names, "manylinux2014", "manylinux2010", "manylinux1", "linux"]]


def cache() -> Path:
    """Where wheels are kept between deploys."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead" / "wheels"


def archive(environment: Environment, target: Target) -> Path:
    """A tar archive with every wheel of the environment, and pip itself; made when it is not there. NoWheels."""
    text = "\n".join((environment.requirements, target.tag, _own_pip()))
    path = cache() / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}-{target.tag}.tar"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetching-") as name:
        house = Path(name) / "house"
        house.mkdir()
        requirements = Path(name) / "requirements.txt"
        requirements.write_text(environment.requirements)
        _download(environment, target, requirements, house)
        (house / "pip.zip").write_bytes(_pip_archive())
        fresh = Path(name) / "house.tar"
        with tarfile.open(fresh, "w") as tar:
            for wheel in sorted(house.iterdir()):
                tar.add(wheel, wheel.name)
        fresh.replace(path)
    return path


def _download(environment: Environment, target: Target, requirements: Path, house: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--retries",
        "1",
    ]
    command += ["--require-hashes"] if environment.hashed else []
    command += [*target.pip_options(), "--dest", str(house), "-r", str(requirements)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise NoWheels(f"pip did not fetch the packages for {target.tag} within {LIMIT_S:g} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")] or said[-1:]
        raise NoWheels(
            f"the packages for {target.tag} cannot be had: {errors[0] if errors else 'pip gave no reason'}. Without"
            " internet here: run `fab fetch` where there is some, and bring the folder " + str(cache())
        )


def _own_pip() -> str:
    return importlib.metadata.version("pip")


def _pip_archive() -> bytes:
    """Our own pip as an archive that runs on the hosts, which need none of their own."""
    top = Path(pip.__file__).parent
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as found:
        for path in sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(str(path.relative_to(top.parent)), (2020, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                found.writestr(entry, path.read_bytes())
    return content.getvalue()
