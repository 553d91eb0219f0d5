"""Supervisor's configuration out of a fleet: text in, text out, nothing touched."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import jinja2

from cluster import paths
from cluster.config import Fleet, Runs
from cluster.errors import StartError
from cluster.programs import Program, Role, bind_address, programs_of, reach

TEMPLATES = Path(__file__).parent / "supervisor"

STOP_WAIT_S = {Role.BALANCER: 40, Role.NODE: 40, Role.CONTROL: 15, Role.DASHBOARD: 15, Role.LISTENER: 5}
"""How long a program may finish what it has in hand. Longer than its own graceful timeout: gunicorn must be the one
who ends the wait, because a master that is killed leaves its workers' requests cut off."""

_PRIORITY = {role: 100 * place for place, role in enumerate(Role, start=1)} | {Role.LISTENER: 10}
_GUNICORN = {
    Role.NODE: ("node.gunicorn_conf", "node.app:application"),
    Role.CONTROL: ("balancer.control_conf", "balancer.control:create()"),
    Role.BALANCER: ("balancer.gunicorn_conf", "balancer.worker:application"),
    Role.DASHBOARD: ("dashboard.gunicorn_conf", "dashboard.app:application"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a start decides beside config.json. All paths are absolute."""

    config: Path
    state: Path
    logs: Path
    project: Path
    python: str
    """The interpreter of the virtual environment."""
    hosts: tuple[str, ...]
    """Keys of the hosts whose programs this Supervisor runs."""
    lan: bool = False
    """Listen on all interfaces where others need it; else on loopback only."""
    release: str | None = "dev"
    """None: each program finds out by itself, from the folder that it was started in."""
    foreground: bool = False
    """supervisord stays in the foreground, under a service manager."""
    max_open_files: int = 65536
    """The hard limit of this machine (RLIMIT_NOFILE)."""

    @property
    def socket(self) -> Path:
        """Supervisor's control socket."""
        return self.state / "supervisor.sock"


def supervisord_conf(fleet: Fleet, options: Options) -> str:
    """The whole of supervisord.conf. StartError when a path cannot be written into such a file."""
    if len(str(options.socket)) > paths.MAX_SOCKET_PATH:
        raise StartError(
            f"{options.socket}: the path of a socket may have {paths.MAX_SOCKET_PATH} characters, this one has"
            f" {len(str(options.socket))}. Set FAIRLEAD_STATE to a shorter folder, such as /tmp/fairlead/run"
        )
    connections = max(2 * b.limits.connections for b in fleet.balancers)
    engine = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    engine.filters.update(ini=ini, log=_log_file, env=_environment_line, argv=lambda words: " ".join(map(_word, words)))
    return engine.get_template("supervisord.conf.j2").render(
        options=options,
        programs=programs_of(fleet, options.hosts),
        open_files=min(connections + 1024, options.max_open_files),
        bind=lambda program: bind_address(program, fleet, options.lan),
        command=lambda program: command(program, fleet, options.python),
        environment=lambda program: environment(program, fleet, options) | _of_supervisor(program),
        priority=lambda program: _PRIORITY[program.role],
        stop_wait_s=lambda program: STOP_WAIT_S[program.role],
    )


def command(program: Program, fleet: Fleet, python: str) -> list[str]:
    """A program's command line."""
    if program.role is Role.LISTENER:
        return [python, "-m", "deploy.supervisor.listener"]
    if program.role is Role.NODE and fleet.node(program.part).runs is Runs.COMMAND:
        # The user's own words never enter the generated file, whose quoting could not carry all of them.
        return [python, "-m", "deploy.run_node", program.part]
    conf, application = _GUNICORN[program.role]
    return [python, "-m", "gunicorn", "-c", f"python:{conf}", application]


def environment(program: Program, fleet: Fleet, options: Options) -> dict[str, str]:
    """A program's environment, beside what supervisord itself was started with."""
    values = {
        "FAIRLEAD_CONFIG": str(options.config),
        "FAIRLEAD_STATE": str(options.state),
        "PYTHONUNBUFFERED": "1",
    }
    if options.release is not None:
        values["FAIRLEAD_RELEASE"] = options.release
    if program.port is not None:
        values["FAIRLEAD_BIND"] = bind_address(program, fleet, options.lan)
    if program.role in (Role.BALANCER, Role.CONTROL):
        values["FAIRLEAD_BALANCER"] = program.part
    if program.role is Role.NODE:
        values["FAIRLEAD_NODE"] = program.part
    if program.role is Role.LISTENER and fleet.dashboard:
        address = reach(fleet.hosts[fleet.dashboard.host])
        values["FAIRLEAD_DASHBOARD"] = f"http://{address}:{fleet.dashboard.port}"
        values["FAIRLEAD_HOST"] = program.host
    return values


def _of_supervisor(program: Program) -> dict[str, str]:
    """What is true of a program under Supervisor only: a balancer is two processes with one socket."""
    return {"FAIRLEAD_INHERIT": "1", "FAIRLEAD_PAIR": program.name} if program.role is Role.BALANCER else {}


def ini(value: object) -> str:
    """A value that Supervisor reads back as it is. StartError when its file format has no way to write it."""
    text = str(value)
    if (
        any(c in text for c in "\r\n\"'`$\\")
        or any(mark in text for mark in (" ;", " #", "%("))
        or text != text.strip()
    ):
        raise StartError(
            f"{text}: Supervisor's configuration cannot hold a path with quotes, backslashes, $, line breaks, %(, or"
            " ; or # after a space. Rename the folder, or set FAIRLEAD_STATE to another"
        )
    return text.replace("%", "%%")


def _log_file(path: Path) -> str:
    """Supervisor fills in a program's log file names twice, so a % in them must survive two rounds."""
    return ini(path).replace("%%", "%%%%")


def _word(word: str) -> str:
    return shlex.quote(ini(word))


def _environment_line(values: dict[str, str]) -> str:
    return ",".join(f'{key}="{ini(value)}"' for key, value in values.items())
