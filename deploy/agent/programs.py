"""The programs of a host under Supervisor: restart one and see that it is well, all of them at a glance."""

import http.client
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any, TypedDict

from deploy.agent.place import Refused, tail
from deploy.agent.session import Session
from deploy.processes import Process, Supervisor, SupervisorGone

LOG_LINES = 12
STOPPED = ("STOPPED", "EXITED", "FATAL")
"""Supervisor's states of a process that has ended."""
PASSES = 2
"""So many good answers in a row, by the same process, make a program well."""
SETTLED_S = 2.0
"""A program younger than that may not yet hear the signal to stop, and would have to be killed in the end."""
POLL_S = 0.06
PASSES_WITHOUT_PORT = 6
"""The same for a program that cannot be asked: it must just live on for a while."""


class Wanted(TypedDict):
    """A program as the operator's plan describes it (`deploy.plan.wanted`)."""

    name: str  # as shown, and Supervisor's group
    process: str  # Supervisor's `group:name` of the process to restart
    port: int | None
    health_path: str | None
    scheme: str
    ours: bool  # its health answer names the release


def supervisor(session: Session) -> Supervisor:
    """The host's Supervisor, brought to life when it does not run. Refused when it cannot be."""
    found = Supervisor(session.place.socket)
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
    no longer than for its own.
    """
    began = time.monotonic()
    rpc = supervisor(session)
    try:
        added, changed, _ = rpc.reread()
    except ValueError as error:
        raise Refused("gate", f"Supervisor cannot use the new configuration: {error}") from None
    known = {p.id: p for p in rpc.processes()}
    marks = {program["name"]: _log_size(known.get(program["process"])) for program in programs}
    to_add, to_start, stopping = [], [], set[str]()
    for program in programs:
        group, process = program["name"], known.get(program["process"])
        if group in added:
            to_add.append(group)
        elif group in changed:
            remove_group(session, rpc, group)
            to_add.append(group)
        elif process is None:
            raise Refused("gate", f"Supervisor knows no program {group}")
        elif not (process.pid and _of_this_turn(session, process, release)):
            # One that runs this release already is this turn's: Supervisor was started just now, or brought back one
            # that had died.
            to_start.append(process)
            stopping.add(process.id)
    if stopping:
        session.note(f"restarts {', '.join(p.name for p in to_start)}")
        youngest_s = min((p.uptime_s for p in to_start if p.pid), default=SETTLED_S)
        time.sleep(max(0.0, SETTLED_S - youngest_s))
        for process in to_start:
            rpc.stop(process.id)
    for group in to_add:
        session.note(f"starts {group}")
        rpc.add(group)
    _start_as_they_stop(session, rpc, stopping)
    session.note(f"waits for {', '.join(program['name'] for program in programs)}")
    pids = _until_well(session, rpc, programs, release, marks)
    return {"pids": pids, "took_s": round(time.monotonic() - began, 3)}


def _start_as_they_stop(session: Session, rpc: Supervisor, stopping: set[str]) -> None:
    """Start each process again as soon as it has ended, whatever the others need."""
    while stopping:
        for process in rpc.processes():
            if process.id in stopping and process.state in STOPPED:
                rpc.start(process.id)
                stopping.discard(process.id)
        if stopping and session.left_s() <= 0.1:
            raise Refused("gate", f"{', '.join(sorted(stopping))} does not stop")
        time.sleep(0.03 if stopping else 0)


def _of_this_turn(session: Session, process: Process, release: str) -> bool:
    switching = session.place.memory().get("switching") or {"at": float("inf")}
    begun = switching["at"] // 1  # Supervisor counts whole seconds
    return process.started_at >= begun and session.machine.release_of(process.pid, session.place) == release


def remove_group(session: Session, rpc: Supervisor, group: str) -> None:
    """Stop all processes of a group and have Supervisor forget it."""
    ids = {p.id for p in rpc.processes() if p.id.startswith(group + ":")}
    for process in ids:
        rpc.stop(process)
    _until_stopped(session, rpc, ids)
    rpc.remove(group)


def _until_stopped(session: Session, rpc: Supervisor, ids: set[str]) -> None:
    while any(p.id in ids and p.state not in STOPPED for p in rpc.processes()):
        if session.left_s() <= 0.1:
            raise Refused("gate", f"{', '.join(sorted(ids))} does not stop")
        time.sleep(0.03)


def _until_well(
    session: Session, rpc: Supervisor, programs: list[Wanted], release: str, marks: dict[str, int]
) -> dict[str, int]:
    """The pid of each well process. Refused("gate") for the first that cannot become well."""
    gates = [_Gate(program) for program in programs]
    while waiting := [gate for gate in gates if not gate.open]:
        if session.left_s() <= 0.1:
            break
        found = {p.id: p for p in rpc.processes()}
        for gate in waiting:
            gate.look(session, found[gate.program["process"]], release)
        if any(gate.broken for gate in gates):
            break
        time.sleep(POLL_S)
    for gate in sorted(gates, key=lambda gate: not gate.broken):
        if not gate.open:
            log = {p.id: p.log for p in rpc.processes()}[gate.program["process"]]
            name = gate.program["name"]
            raise Refused("gate", f"{name}: {gate.said}", tail(Path(log), LOG_LINES, marks[name]))
    return {gate.program["name"]: gate.pid for gate in gates}


class _Gate:
    """Lets a program that was started pass after so many good answers in a row."""

    def __init__(self, program: Wanted) -> None:
        self.program = program
        self.pid = 0
        self.said = "no answer"
        self.broken = False
        self._left = self._enough = PASSES if program["port"] is not None else PASSES_WITHOUT_PORT
        self._ends = set[float]()

    @property
    def open(self) -> bool:
        return self._left <= 0

    def look(self, session: Session, process: Process, release: str) -> None:
        """Once more."""
        if process.state in ("BACKOFF", "FATAL", "EXITED"):
            self._ends.add(process.stopped_at or process.started_at)
            self.said = f"it ends right after its start ({process.description})"
            self.broken = process.state == "FATAL" or len(self._ends) > 1
        if not process.pid or self.broken:
            return
        well, answer = look(session, process, self.program, release)
        self.said = answer or self.said
        if not well or process.pid != self.pid:
            self._left = self._enough
        self._left -= well
        self.pid = process.pid


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


def ask(port: int, path: str | None, scheme: str = "http", timeout_s: float = 2.0) -> tuple[bool, str, str]:
    """GET a program's health path on loopback: well, what it said, the release it named ("" when none)."""
    try:
        if path is None:
            with socket.create_connection(("127.0.0.1", port), timeout_s):
                return True, "port open", ""
        connection: http.client.HTTPConnection
        if scheme == "https":  # by its loopback address, which no certificate names
            unchecked = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=unchecked)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read(65536)
        finally:
            connection.close()
    except ConnectionRefusedError:
        return False, "nothing listens", ""
    except TimeoutError:
        return False, f"no answer within {timeout_s:g} s", ""
    except (OSError, http.client.HTTPException) as error:
        return False, str(error) or type(error).__name__, ""
    try:
        told = json.loads(body).get("release", "")
    except (ValueError, AttributeError):
        told = ""
    well = 200 <= response.status < 400
    return well, f"{response.status} {response.reason}{'' if well else f' at {path}'}", str(told)


def _log_size(process: Process | None) -> int:
    try:
        return Path(process.log).stat().st_size if process else 0
    except OSError:
        return 0


def states(session: Session, programs: list[Wanted]) -> dict[str, Any]:
    """What Supervisor says of each program of the plan, its release, its answer; and of programs beyond the plan."""
    try:
        rpc = Supervisor(session.place.socket)
        supervisor_pid, processes = rpc.pid(), rpc.processes()
    except SupervisorGone:
        supervisor_pid, processes = 0, []
    seen = {process.id: process for process in processes}
    wanted = {program["process"]: program for program in programs}
    rows = []
    for process_id, program in wanted.items():
        process = seen.get(process_id)
        if process is None or not process.pid:
            state = process.state if process else "missing"
            said = process.description if process else "Supervisor does not know it"
            rows.append(_row(program["name"], state, said))
            continue
        well, answer = look(session, process, program, "")
        row = _row(program["name"], process.state, answer, well=well and process.state in ("RUNNING", "STARTING"))
        row["pid"], row["uptime_s"] = process.pid, process.uptime_s
        row["release"] = session.machine.release_of(process.pid, session.place)
        rows.append(row)
    groups = {program["name"] for program in programs}
    others = sorted({p.id.partition(":")[0] for p in processes} - groups)
    return {"supervisor_pid": supervisor_pid, "programs": rows, "others": others}


def _row(name: str, state: str, answer: str, well: bool = False) -> dict[str, Any]:
    return {"name": name, "state": state, "well": well, "answer": answer, "pid": 0, "uptime_s": 0.0, "release": ""}
