"""What is deployed: the files that hosts need, named by their content.

The id is a hash over every file's path, mode and content, so the same content has the same id wherever and whenever it
is made, and a second deploy of it changes nothing. What only the operator's computer runs is no part of it.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.config import Fleet, Node
from cluster.errors import ConfigError, Problem
from cluster.paths import PROJECT

PARTS = (
    "cluster", "balancer", "node", "dashboard",
    "deploy/__init__.py", "deploy/run_node.py", "deploy/processes.py", "deploy/procfs.py", "deploy/supervisor",
    "deploy/keeper",
    "scripts/linux/fairlead", "scripts/linux/venv.sh", "requirements.lock", "LICENSE",
)  # fmt: skip
_NOT = {"__pycache__", "node_modules", "assets", ".venv", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
LOCK = "requirements.lock"
WINDOWS_LOCK = "requirements-windows.lock"
"""What that one lacks on Windows."""
ID_LENGTH = 12


@dataclass(frozen=True)
class Environment:
    """Packages that a virtual environment is made of."""

    requirements: str
    """Text of the requirements file."""

    @property
    def hashed(self) -> bool:
        """Whether pip can insist on hashes."""
        return "--hash=" in self.requirements

    def key(self, python: str, machine: str) -> str:
        """Name of this environment on a host: the same for each release that needs the same packages."""
        text = "\n".join((self.requirements, python, machine))
        return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True)
class Release:
    """One content."""

    id: str
    files: dict[str, Path | bytes]
    """Path inside the release -> where it comes from, or its content."""
    environment: Environment
    apps: dict[str, Environment]
    """Folder of a command node's app -> its packages; only those that name requirements."""

    windows: Environment | None = None
    """Ours on Windows hosts; None when the fleet has none."""

    def environment_of(self, folder: str, os: str = "linux") -> Environment:
        """The packages of an app's folder; of ours for ""."""
        if folder:
            return self.apps[folder]
        return self.windows if self.windows and os == "windows" else self.environment

    def archive(self) -> bytes:
        """A tar archive, the same bytes for the same content."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz", compresslevel=3, format=tarfile.PAX_FORMAT) as tar:
            for name, source in sorted(self.files.items()):
                data = source if isinstance(source, bytes) else source.read_bytes()
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                entry.mode = 0o755 if _executable(source) else 0o644
                # Browsers are told from time and size whether a file is another one: its time follows its content.
                entry.mtime = 1_000_000_000 + int(hashlib.sha256(data).hexdigest()[:7], 16)
                tar.addfile(entry, io.BytesIO(data))
        return content.getvalue()


def build(fleet: Fleet, config: Path, project: Path = PROJECT) -> Release:
    """The release of the project's files as they are now, with this configuration. ConfigError: an app is not there."""
    files: dict[str, Path | bytes] = {"config.json": config.read_bytes()}
    for part in PARTS:
        files.update((str(path.relative_to(project)), path) for path in _walk(project / part))
    problems = []
    apps: dict[str, Environment] = {}
    for i, node in enumerate(fleet.nodes):
        if node.app:
            found, text = _app(node, project)
            problems += [Problem(f"nodes[{i}].app.{key}", why) for key, why in text]
            files.update(found)
            if node.app.requirements and not text:
                apps[node.app.path] = Environment((project / node.app.path / node.app.requirements).read_text())
    if problems:
        raise ConfigError(config.name, problems)
    lock = (project / LOCK).read_text()
    windows = None
    if any(host.os == "windows" for host in fleet.hosts.values()):
        windows = Environment(lock + (project / WINDOWS_LOCK).read_text())
    return Release(_id(files), files, Environment(lock), apps, windows)


def _app(node: Node, project: Path) -> tuple[dict[str, Path | bytes], list[tuple[str, str]]]:
    """An app's files, and what is wrong with it."""
    assert node.app is not None
    folder = project / node.app.path
    if not folder.is_dir():
        return {}, [("path", f"there is no folder {folder}")]
    wanted = node.app.requirements
    if wanted and not (folder / wanted).is_file():
        return {}, [("requirements", f"there is no file {folder / wanted}")]
    return {str(path.relative_to(project)): path for path in _walk(folder)}, []


def _walk(top: Path) -> Iterator[Path]:
    if top.is_file():
        yield top
        return
    for path in sorted(top.iterdir()):
        if path.name in _NOT or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _id(files: dict[str, Path | bytes]) -> str:
    digest = hashlib.sha256()
    for name, source in sorted(files.items()):
        data = source if isinstance(source, bytes) else source.read_bytes()
        mode = "x" if _executable(source) else "-"
        digest.update(f"{name}\0{mode}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()[:ID_LENGTH]


def _executable(source: Path | bytes) -> bool:
    return isinstance(source, Path) and bool(source.stat().st_mode & 0o100)
