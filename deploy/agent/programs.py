"""The programs of a host under Supervisor: restart one and see that it is well, all of them at a glance."""

import time
from pathlib import Path
from typing import Any, TypedDict

from cluster import pair
from deploy.agent.gate import Gate, ask, until_open
from deploy.agent.machine import Supervises
from deploy.agent.place import Refused
from deploy.agent.session import Session
from deploy.processes import STANDBY_SUFFIX, Process, SupervisorGone

STOPPED = ("STOPPED", "EXITED", "FATAL")
"""Supervisor's states of a process that has ended."""
PASSES = 2
"""So many good answers in a row, by the same process, make a program well."""
SETTLED_S = 2.0
"""A program younger than that may not yet hear the signal to stop, and would have to be killed in the end."""
PASSES_WITHOUT_PORT = 6
"""The same for a program that cannot be asked: it must just live on for a while."""


class Wanted(TypedDict):
    """A program as the operator's plan describes it (`deploy.plan.wanted`)."""

    name: str  # as shown, and Supervisor's group
    processes: list[str]  # Supervisor's `group:name` of each; a balancer has two, of which one serves
    port: int | None
    health_path: str | None
    scheme: str
    ours: bool  # its health answer names the release


def supervisor(session: Session) -> Supervises:
    """The host's Supervisor, brought to life when it does not run. Refused when it cannot be."""
    found = session.machine.supervisor(session.place)
    try:
        found.pid()
    except SupervisorGone:
        session.note("starts Supervisor")
        session.machine.start_supervisor(session.place)
    return found


def restart(session: Session, programs: list[Wanted], release: str) -> dict[str, Any]:
    """Start programs anew from the current release, all at once, and wait until each is well. Refused("gate") when
    one is not.

    At once, because starting takes a program far longer than it takes Supervisor, and one waits for another's start
    no longer than for its own. Of a balancer the process that stands by is started anew first, and takes over.
    """
    began = time.monotonic()
    rpc = supervisor(session)
    try:
        added, changed, _ = rpc.reread()
    except ValueError as error:
        raise Refused("gate", f"Supervisor cannot use the new configuration: {error}") from None
    known = {p.id: p for p in rpc.processes()}
    marks = {process.id: _log_size(process) for process in known.values()}
    for program in programs:
        if program["name"] in changed:
            remove_group(session, rpc, program["name"])
    to_add = [program["name"] for program in programs if program["name"] in {*added, *changed}]
    to_start, to_relieve = list[Process](), list[Process]()
    for program in programs:
        if program["name"] in to_add:
            continue
        processes = [known[one] for one in program["processes"] if one in known]
        if not processes:
            raise Refused("gate", f"Supervisor knows no program {program['name']}")
        for process in processes:
            # One that runs this release already is this turn's: Supervisor was started just now, or brought back one
            # that had died.
            if not (process.pid and _of_this_turn(session, process, release)):
                (to_relieve if _serves_one_of_two(session, process) else to_start).append(process)
    stale = [*to_start, *to_relieve]
    if stale:
        session.note(f"restarts {', '.join(process.name for process in stale)}")
        youngest_s = min((process.uptime_s for process in stale if process.pid), default=SETTLED_S)
        time.sleep(max(0.0, SETTLED_S - youngest_s))
    for group in to_add:
        session.note(f"starts {group}")
        rpc.add(group)
    _start_anew(session, rpc, to_start, to_relieve, marks)
    session.note(f"waits for {', '.join(program['name'] for program in programs)}")
    gates = [_gate(session, program, release) for program in programs]
    until_open(session, rpc, gates, marks)
    return {"pids": {gate.name: gate.pid for gate in gates}, "took_s": round(time.monotonic() - began, 3)}


def _serves_one_of_two(session: Session, process: Process) -> bool:
    """Whether it is the process of a balancer that serves while the other one stands by."""
    serving = pair.read_pid(pair.serving_file(session.place.state, process.id.partition(":")[0]))
    return process.pid == serving != 0


def _start_anew(
    session: Session, rpc: Supervises, to_start: list[Process], to_relieve: list[Process], marks: dict[str, int]
) -> None:
    """Stop all, and start each again as soon as it has ended, whatever the others need.

    `to_relieve`: those are told to stop as soon as another one stands by. Refused("gate") when none does.
    """
    for process in to_start:
        rpc.stop(process.id)
    stopping = {process.id for process in to_start}
    relieving = {process.id: _standby_gate(session, process.name) for process in to_relieve}
    while stopping or relieving:
        found = {process.name: process for process in rpc.processes()}
        for process in found.values():
            if process.id in stopping and process.state in STOPPED:
                rpc.start(process.id)
                stopping.discard(process.id)
        for process_id, gate in list(relieving.items()):
            gate.ask(found[gate.name])
            if gate.open:
                rpc.stop(process_id)
                stopping.add(process_id)
                del relieving[process_id]
            elif gate.broken or session.left_s() <= 0.1:
                raise gate.refused(found[gate.name], marks)
        if stopping and session.left_s() <= 0.1:
            raise Refused("gate", f"{', '.join(sorted(stopping))} does not stop")
        time.sleep(0.03)


def _of_this_turn(session: Session, process: Process, release: str) -> bool:
    switching = session.place.memory().get("switching") or {"at": float("inf")}
    begun = switching["at"] // 1  # Supervisor counts whole seconds
    return process.started_at >= begun and session.machine.release_of(process.pid, session.place) == release


def remove_group(session: Session, rpc: Supervises, group: str) -> None:
    """Stop all processes of a group and have Supervisor forget it."""
    ids = {p.id for p in rpc.processes() if p.id.startswith(group + ":")}
    for process in ids:
        rpc.stop(process)
    _until_stopped(session, rpc, ids)
    rpc.remove(group)


def _until_stopped(session: Session, rpc: Supervises, ids: set[str]) -> None:
    while any(p.id in ids and p.state not in STOPPED for p in rpc.processes()):
        if session.left_s() <= 0.1:
            raise Refused("gate", f"{', '.join(sorted(ids))} does not stop")
        time.sleep(0.03)


def _gate(session: Session, program: Wanted, release: str) -> Gate:
    passes = PASSES if program["port"] is not None else PASSES_WITHOUT_PORT
    return Gate(program["name"], passes, lambda process: look(session, process, program, release))


def _standby_gate(session: Session, group: str) -> Gate:
    """Opens when a process of that balancer is ready to take over."""
    file = pair.standby_file(session.place.state, group)
    return Gate(group + STANDBY_SUFFIX, 1, lambda process: (pair.read_pid(file) == process.pid, "it never stood by"))


def look(session: Session, process: Process, program: Wanted, release: str) -> tuple[bool, str]:
    """Whether a running process is well and of this release, and what it said."""
    if program["port"] is None:
        well, answer, told = True, "", ""
    else:
        well, answer, told = ask(program["port"], program["health_path"], program["scheme"])
    if not well:
        return False, answer
    runs = told if program["ours"] else session.machine.release_of(process.pid, session.place)
    if release and runs != release:
        return False, f"it runs release {runs or 'unknown'}, not {release}"
    return True, answer


def _log_size(process: Process | None) -> int:
    try:
        return Path(process.log).stat().st_size if process else 0
    except OSError:
        return 0


def states(session: Session, programs: list[Wanted]) -> dict[str, Any]:
    """What Supervisor says of each program of the plan, its release, its answer; and of programs beyond the plan."""
    try:
        rpc = session.machine.supervisor(session.place)
        supervisor_pid, processes = rpc.pid(), rpc.processes()
    except SupervisorGone:
        supervisor_pid, processes = 0, []
    seen = {process.name: process for process in processes}
    rows = []
    for program in programs:
        process = seen.get(program["name"])
        if process is None or not process.pid:
            state = process.state if process else "missing"
            said = process.description if process else "Supervisor does not know it"
            rows.append(_row(program["name"], state, said))
            continue
        well, answer = look(session, process, program, "")
        standby = seen.get(program["name"] + STANDBY_SUFFIX)
        if len(program["processes"]) > 1 and not (standby and standby.pid):
            answer += ", nobody stands by"
        row = _row(program["name"], process.state, answer, well=well and process.state in ("RUNNING", "STARTING"))
        row["pid"], row["uptime_s"] = process.pid, process.uptime_s
        row["release"] = session.machine.release_of(process.pid, session.place)
        rows.append(row)
    groups = {program["name"] for program in programs}
    others = sorted({p.id.partition(":")[0] for p in processes} - groups)
    return {"supervisor_pid": supervisor_pid, "programs": rows, "others": others}


def _row(name: str, state: str, answer: str, well: bool = False) -> dict[str, Any]:
    return {"name": name, "state": state, "well": well, "answer": answer, "pid": 0, "uptime_s": 0.0, "release": ""}
