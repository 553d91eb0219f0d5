"""The fleet's share of this machine: its folders, its Supervisor, what was started and how."""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cluster import file_lock, load, paths
from cluster.config import Fleet
from cluster.errors import ConfigError, Problem, StartError
from cluster.programs import Program, Role, local_hosts, programs_of
from deploy.processes import Process, Supervisor, SupervisorGone
from deploy.render import Options


@dataclass(frozen=True, slots=True)
class Started:
    """How the running fleet was started; kept in `.run/started.json`."""

    config: str
    config_sha256: str
    lan: bool
    at: float
    """Seconds since the epoch."""

    @property
    def config_changed(self) -> bool:
        """Whether config.json holds something else now (or cannot be read)."""
        return digest(Path(self.config)) != self.config_sha256


@dataclass(frozen=True)
class Here:
    """Everything a verb needs to know of this machine."""

    state: Path = field(default_factory=paths.state_dir)
    logs: Path = field(default_factory=paths.log_dir)
    project: Path = paths.PROJECT

    @property
    def supervisor(self) -> Supervisor:
        """The supervisord of this state folder, running or not."""
        return Supervisor(self.state / "supervisor.sock")

    @property
    def conf(self) -> Path:
        """The generated supervisord.conf."""
        return self.state / "supervisord.conf"

    def processes(self) -> list[Process] | None:
        """What Supervisor says; None when there is no Supervisor."""
        try:
            return self.supervisor.processes()
        except SupervisorGone:
            return None

    def options(self, config: Path, fleet: Fleet, lan: bool) -> Options:
        """What the generated files need to know."""
        import resource  # which Windows lacks; there nobody asks

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Options(
            config=config,
            state=self.state,
            logs=self.logs,
            project=self.project,
            python=sys.executable,
            hosts=local_hosts(fleet),
            lan=lan,
            release=paths.release(),
            max_open_files=1 << 20 if hard == resource.RLIM_INFINITY else hard,
        )

    def started(self) -> Started | None:
        """How it was started; None when nothing is written down."""
        try:
            return Started(**json.loads((self.state / "started.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write_started(self, started: Started) -> None:
        """Write down how it was started."""
        (self.state / "started.json").write_text(json.dumps(asdict(started), indent=2) + "\n")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Only one start or stop at a time; a second one waits for the first."""
        lock = self.state / "start.lock"
        with contextlib.ExitStack() as held:
            try:
                self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    held.enter_context(file_lock.alone(lock, wait=False))
                except BlockingIOError:
                    print("another start or stop is under way; waiting for it", file=sys.stderr)
                    held.enter_context(file_lock.alone(lock))
            except OSError as error:
                raise StartError(
                    f"{self.state} cannot be written ({error.strerror}); set FAIRLEAD_STATE to a folder of yours"
                ) from None
            yield


def script(name: str) -> str:
    """The script of this system that people call."""
    return f"scripts\\windows\\{name}.bat" if sys.platform == "win32" else f"scripts/linux/{name}.sh"


def digest(config: Path) -> str:
    """SHA-256 of a configuration file; "" when it cannot be read."""
    try:
        return hashlib.sha256(config.read_bytes()).hexdigest()
    except OSError:
        return ""


def read_fleet(config: Path) -> tuple[Fleet, list[Program]]:
    """The fleet and its programs on this machine. ConfigError, also when it has none here."""
    fleet = load.load(config)
    programs = programs_of(fleet, local_hosts(fleet))
    if not any(p.role is not Role.LISTENER for p in programs):
        text = 'none of them is this machine: give the host that this is "connection": "local"'
        raise ConfigError(config.name, [Problem("hosts", text)])
    return fleet, programs
