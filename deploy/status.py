"""How this machine's share of the fleet is: what Supervisor says and what each program answers."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from rich.console import Console
from rich.table import Table

from cluster.errors import FairleadError
from cluster.programs import Program, Role
from deploy import health, procfs
from deploy.fleet_here import Here, read_fleet, script
from deploy.processes import STANDBY_SUFFIX, Process, SupervisorGone


class ProgramStatus(TypedDict):
    """One program."""

    name: str
    role: str  # node, control, balancer, dashboard, listener
    part: str  # name of the node or balancer
    state: str  # Supervisor's: RUNNING STARTING BACKOFF ...; UNKNOWN without Supervisor
    pid: int  # 0: none
    uptime_s: float
    address: str  # http://127.0.0.1:PORT, "" when it does not listen
    well: bool  # runs, and answers where it can be asked
    answer: str  # what it said when asked: "200 OK", "nothing listens", ...


class Status(TypedDict):
    """`status.sh --json`."""

    well: bool  # everything runs and answers
    running: bool  # there is a Supervisor
    fleet: str
    config: str
    config_changed: bool  # config.json is not what it was at the start
    lan: bool
    since: float | None  # `at` of the start, seconds since the epoch
    supervisor_pid: int  # 0: none
    programs: list[ProgramStatus]
    problems: list[str]  # one sentence for each thing that is not well
    notes: list[str]  # what is worth knowing and may be meant so, such as nodes that a balancer leaves out


def status(config: Path, as_json: bool) -> int:
    """The verb `status`. 0: all is well; 3: not running, or something is not well. ConfigError."""
    here = Here()
    started = here.started()
    result = look(here, Path(started.config) if started else config)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        show(result)
    return 0 if result["well"] else 3


@dataclass(frozen=True)
class Seen:
    """What the one who keeps the programs says."""

    pid: int  # its own; 0: there is none
    processes: list[Process] | None  # None: there is none
    why_not: str  # a sentence, when there is none
    listens: bool = True  # a program of its own tells the dashboard; a keeper does that itself


def look(here: Here, config: Path) -> Status:
    """Ask Supervisor and every program. ConfigError when config.json cannot be used and nothing runs."""
    try:
        return compose(here, config, Seen(here.supervisor.pid(), here.supervisor.processes(), ""))
    except SupervisorGone:
        return compose(here, config, Seen(0, None, _why_not(here)))


def _why_not(here: Here) -> str:
    left, hung = procfs.supervised(here.state), procfs.supervisord_of(here.conf)
    if hung:
        return f"supervisord (pid {hung}) does not answer: {script('stop_all')} ends it and its programs"
    if left:
        return (
            f"supervisord is gone, {len(left)} processes of it run on unwatched:"
            f" {script('stop_all')} ends them, start_all.sh starts anew"
        )
    return f"not running: {script('start_all')} starts it"


def compose(here: Here, config: Path, by: Seen) -> Status:
    """Ask every program, beside what its keeper says. ConfigError when config.json cannot be used and nothing runs."""
    processes, started = by.processes, here.started()
    fleet_name, programs, problems, notes = "", list[Program](), list[str](), list[str]()
    nodes: list[str] = []
    try:
        fleet, programs = read_fleet(config)
        fleet_name, nodes = fleet.fleet, [node.name for node in fleet.nodes]
    except FairleadError as error:
        if processes is None:
            raise
        problems.append(str(error).splitlines()[0] + "; stopping works all the same")
    seen = {process.name: process for process in processes or []}
    if not by.listens:
        programs = [program for program in programs if program.role is not Role.LISTENER]
    answers = [health.ask(program) for program in programs]
    rows = [_row(p, seen.get(p.name), answer) for p, answer in zip(programs, answers, strict=True)]
    changed = bool(started and processes is not None and started.config_changed)
    if processes is None:
        problems.append(by.why_not)
    else:
        problems += [_problem(row, seen.get(row["name"])) for row in rows if not row["well"]]
    idle = False
    for row, answer in zip(rows, answers, strict=True):
        out = [name for name in nodes if row["well"] and answer.ready is not None and name not in answer.ready]
        if out and not answer.ready:
            idle = True
            problems.append(f"{row['name']}: no node is ready; scripts/linux/fairlead status says why")
        elif out:
            notes.append(f"{row['name']}: not ready {', '.join(out)}; scripts/linux/fairlead status says why")
    notes += [
        f"{process.name}: {process.state}; nobody takes over if {process.name.removesuffix(STANDBY_SUFFIX)} dies"
        for process in seen.values()
        if process.name.endswith(STANDBY_SUFFIX) and process.state not in ("RUNNING", "STARTING")
    ]
    if changed:
        problems.append(f"{config.name} has changed since the start: {script('stop_all')}, then start_all")
    return Status(
        well=processes is not None and all(row["well"] for row in rows) and bool(rows) and not idle,
        running=processes is not None,
        fleet=fleet_name,
        config=str(config),
        config_changed=changed,
        lan=bool(started and processes is not None and started.lan),
        since=started.at if started and processes is not None else None,
        supervisor_pid=by.pid,
        programs=rows,
        problems=problems,
        notes=notes,
    )


def _problem(row: ProgramStatus, process: Process | None) -> str:
    log = f"; its log: {process.log}" if process and process.log else ""
    return f"{row['name']}: {', '.join(filter(None, (row['state'], row['answer'])))}{log}"


def _row(program: Program, process: Process | None, answer: health.Answer) -> ProgramStatus:
    state = process.state if process else "UNKNOWN"
    up = process is not None and process.pid > 0 and state in ("RUNNING", "STARTING")
    return ProgramStatus(
        name=program.name,
        role=program.role.value,
        part=program.part,
        state=state,
        pid=process.pid if process else 0,
        uptime_s=process.uptime_s if process else 0.0,
        address=program.url(),
        well=up and answer.well,
        # Of what was stopped in order, Supervisor says only when.
        answer=answer.text or (process.description if process and not up and state != "STOPPED" else ""),
    )


def show(result: Status) -> None:
    """For people."""
    # Wider than most terminals: a line that goes on below tells all of it, one that is cut off with … does not.
    console = Console(highlight=False, markup=False, soft_wrap=True, width=200)
    if result["running"]:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(result["since"] or 0))
        reach = "LAN" if result["lan"] else "this machine only"
        console.print(
            f"fleet {result['fleet']} · since {since} · kept by pid {result['supervisor_pid']} · open to: {reach}"
        )
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("program", "state", "pid", "up", "address", "answer"):
            table.add_column(column, justify="right" if column in ("pid", "up") else "left", no_wrap=True)
        for row in result["programs"]:
            style = "" if row["well"] else "red"
            up = f"{row['uptime_s']:.0f} s" if row["pid"] else "-"
            address = row["address"].removeprefix("http://")
            table.add_row(row["name"], row["state"], str(row["pid"] or "-"), up, address, row["answer"], style=style)
        console.print(table)
    for problem in result["problems"]:
        console.print(problem, style="yellow")
    for note in result["notes"]:
        console.print(note)
    if result["well"]:
        console.print("all is well")
