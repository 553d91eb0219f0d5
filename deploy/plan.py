"""What a host is to have and to run, and what that changes. Pure: configuration and facts in, plans out."""

import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from pathlib import PurePosixPath as PosixPath
from typing import Any

from cluster.config import Fleet, Runs
from cluster.programs import LOOPBACK, Program, Role, bind_address, programs_of, reach
from deploy import render
from deploy.agent.programs import Wanted
from deploy.agent.trial import Trial
from deploy.hosts.system import HostSystem
from deploy.keeper.recipes import MODULES
from deploy.release import Release

CONF, PROGRAMS, KEEPER = "supervisord.conf", "programs.json", "keeper.json"


@dataclass(frozen=True)
class HostPlan:
    """One host's share of a release, and what it takes to bring it there."""

    key: str
    release: str
    before: str
    """Release that it has now; "" when none."""
    environments: dict[str, str]
    """Folder in the release ("" for ours) -> key of its environment."""
    files: dict[str, str]
    """The host's own files."""
    programs: list[Wanted]
    trials: list[Trial]
    ports: list[tuple[str, str, int]]
    to_restart: list[str]
    """Programs that do not run this release, or are not well."""
    to_stop: list[str]
    """Programs that the configuration no longer has."""
    changes: list[str] = field(default_factory=list)
    """For people, one a line; none when nothing changes."""
    diff: str = ""
    """Unified diff of the host's own files."""


def on_windows(fleet: Fleet, host: str) -> bool:
    """Whether a keeper keeps the host's programs."""
    return fleet.hosts[host].os == "windows"


def kept(fleet: Fleet, host: str) -> list[Program]:
    """The host's programs. A keeper needs no listener: it tells the dashboard itself."""
    return [p for p in programs_of(fleet, (host,)) if not (p.role is Role.LISTENER and on_windows(fleet, host))]


def unfit(fleet: Fleet, host: str) -> str:
    """What a host's system cannot be brought yet; "" when it can all."""
    if not on_windows(fleet, host):
        return ""
    own = [node.name for node in fleet.nodes if node.host == host and node.runs is Runs.COMMAND]
    return f"{', '.join(own)}: `fab` brings no node of runs: command to a Windows host yet" if own else ""


def wanted(fleet: Fleet, host: str) -> list[Wanted]:
    """The programs of a host in the order in which they are brought to a new release."""
    found = []
    for program in kept(fleet, host):
        ours = program.role is not Role.LISTENER
        if program.role is Role.NODE:
            ours = fleet.node(program.part).runs is Runs.SIMULATED
        in_two = program.role is Role.BALANCER and not on_windows(fleet, host)
        processes = [f"{program.name}_0", f"{program.name}_1"] if in_two else [program.name]
        found.append(
            Wanted(
                name=program.name,
                processes=[f"{program.name}:{process}" for process in processes],
                port=program.port,
                health_path=program.health_path,
                scheme=program.scheme,
                ours=ours,
            )
        )
    return found


def trials(fleet: Fleet, host: str, system: HostSystem) -> list[Trial]:
    """One boot each of what differs: of several simulated nodes, which run the same code, the first."""
    found, simulated = [], False
    python = system.python_in("{release}")
    for program in programs_of(fleet, (host,)):
        if program.role is Role.LISTENER:
            continue
        command = render.command(program, fleet, python)
        ours = not (program.role is Role.NODE and fleet.node(program.part).runs is Runs.COMMAND)
        if program.role is Role.NODE and ours:
            if simulated:
                continue
            simulated = True
        check: list[str] = []
        if on_windows(fleet, host):
            command = [python, "-m", *MODULES[program.role]]
        elif ours:
            check = [*command, "--check-config"]
            command += ["-b", f"{LOOPBACK}:{{port}}"]
            command += ["-w", "1"] if program.role is Role.BALANCER else []
        else:
            command += ["--host", LOOPBACK, "--port", "{port}"]
        values = render.environment(program, fleet, _options(fleet, host, PosixPath("{release}"), 0, system))
        del values["FAIRLEAD_STATE"]
        if on_windows(fleet, host):
            values |= {"FAIRLEAD_PORT": "{port}", "PYTHONPATH": "{release};{env}"}
        values |= {"FAIRLEAD_BIND": LOOPBACK, "FAIRLEAD_CONFIG": "{release}/config.json"}
        found.append(
            Trial(
                name=program.name, argv=command, environment=values, health_path=program.health_path,
                scheme=program.scheme, ours=ours, check=check,
            )
        )  # fmt: skip
    return found


def trials_by_host(fleet: Fleet, plans: dict[str, HostPlan], envs: dict[str, list[str]]) -> dict[str, list[Trial]]:
    """Which of their trials hosts carry out: the same program in the same environment is booted once, by the first.

    An environment is the same packages, Python and processor. `envs`: keys of those that each host had before; what
    is built only now is tried where it is.
    """
    tried: set[str] = set()
    found: dict[str, list[Trial]] = {}
    for host, made in plans.items():
        found[host] = []
        proven = all(key in envs[host] for key in made.environments.values())
        for trial in made.trials:
            values = {key: value for key, value in trial["environment"].items() if key != "FAIRLEAD_NODE"}
            alike = {**trial, "name": "", "environment": values}
            mark = json.dumps([fleet.hosts[host].os, made.environments, alike], sort_keys=True)
            if not (proven and mark in tried):
                found[host].append(trial)
            tried.add(mark)
    return found


def host_files(fleet: Fleet, host: str, max_open_files: int, system: HostSystem) -> dict[str, str]:
    """The files that are made for one host: Supervisor's configuration, and the list of its programs."""
    programs = json.dumps(wanted(fleet, host), indent=1) + "\n"
    if on_windows(fleet, host):
        return {KEEPER: _keeper_json(fleet, host, system), PROGRAMS: programs}
    current = PosixPath(system.root) / "current"
    options = _options(fleet, host, current, max_open_files, system)
    return {
        CONF: render.supervisord_conf(fleet, options),
        PROGRAMS: programs,
    }


def _keeper_json(fleet: Fleet, host: str, system: HostSystem) -> str:
    """What `deploy.keeper.deployed` reads; the host fills in {python}, {release} and {env}."""
    options = _options(fleet, host, PosixPath("{release}"), 0, system)
    programs = []
    for program in kept(fleet, host):
        values = render.environment(program, fleet, options)
        values |= {"FAIRLEAD_KEPT": "1", "PYTHONPATH": "{release};{env}"}
        argv = [options.python, "-m", *MODULES[program.role]]
        wait_s = render.STOP_WAIT_S[program.role]
        programs.append({"name": program.name, "argv": argv, "environment": values, "stop_wait_s": wait_s})
    dashboard = fleet.dashboard and f"http://{reach(fleet.hosts[fleet.dashboard.host])}:{fleet.dashboard.port}"
    return json.dumps({"host": host, "dashboard": dashboard, "programs": programs}, indent=1) + "\n"


def _options(fleet: Fleet, host: str, project: PosixPath, max_open_files: int, system: HostSystem) -> render.Options:
    root = PosixPath(system.root)
    return render.Options(
        config=Path(project / "config.json"),
        state=Path(root / "shared" / "run"),
        logs=Path(root / "shared" / "logs"),
        project=Path(project),
        python=system.python_in(str(project)),
        hosts=(host,),
        lan=True,
        release=None,
        foreground=True,
        max_open_files=max_open_files or 65536,
    )


def ports(fleet: Fleet, host: str) -> list[tuple[str, str, int]]:
    """(program, address, port) that must be free or ours."""
    return [(p.name, bind_address(p, fleet, True), p.port) for p in programs_of(fleet, (host,)) if p.port is not None]


def make(
    fleet: Fleet,
    host: str,
    release: Release,
    system: HostSystem,
    machine: dict[str, Any],
    deployed: dict[str, Any],
    states: dict[str, Any],
    present: dict[str, str],
) -> HostPlan:
    """The plan of one host. `machine`, `deployed`, `states`, `present` (its own files of now) are what it told."""
    programs = wanted(fleet, host)
    files = host_files(fleet, host, machine["max_open_files"], system)
    envs = {"": release.environment_of("", fleet.hosts[host].os).key(machine["python"], machine["machine"])}
    here = {node.app.path for node in fleet.nodes if node.host == host and node.app}
    envs |= {p: e.key(machine["python"], machine["machine"]) for p, e in release.apps.items() if p in here}
    before = deployed["current"]
    switches = before != release.id or bool(deployed.get("switching"))
    rewrites = [name for name, text in files.items() if present.get(name) != text]
    rows = {row["name"]: row for row in states["programs"]}
    to_restart = [
        p["name"]
        for p in programs
        if switches or rewrites or not rows[p["name"]]["well"] or rows[p["name"]]["release"] != release.id
    ]
    changes = []
    if switches:
        changes.append(f"release {before or 'none'} -> {release.id}")
    changes += [f"new environment {key}" for key in envs.values() if key not in deployed["envs"]]
    changes += [f"{name} is written anew" for name in rewrites if not switches]
    if to_restart:
        verb = "restart" if before else "start"
        changes.append(f"{verb} {', '.join(to_restart)}")
    if states["others"]:
        changes.append(f"stop {', '.join(states['others'])}")
    diff = "".join(
        line
        for name, text in files.items()
        for line in difflib.unified_diff(
            present.get(name, "").splitlines(True), text.splitlines(True), f"{host}/{name} now", f"{host}/{name} then"
        )
    )
    return HostPlan(
        host, release.id, before, envs, files, programs, trials(fleet, host, system), ports(fleet, host), to_restart,
        states["others"], changes, diff,
    )  # fmt: skip
