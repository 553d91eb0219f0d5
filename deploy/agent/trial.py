"""The gate before anything is switched: each program of a new release is booted once, on a spare loopback port.

It runs from the release's own folder with the release's own environment, but with a state folder that is thrown away,
so that it touches nothing of the running fleet.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

from deploy.agent import gate
from deploy.agent.place import Refused, tail
from deploy.agent.session import Session

POLL_S = 0.05


class Trial(TypedDict):
    """One boot, as the operator's plan describes it. `{port}` and `{release}` in argv and environment are filled in."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    health_path: str | None
    scheme: str
    ours: bool
    check: list[str]  # says why a boot failed; [] when there is no such command


def boot(session: Session, release: str, trials: list[Trial]) -> dict[str, Any]:
    """Boot each program, see it answer with the release's id, end it. Refused("gate") names the first that does not.

    As many at a time as the host has processors.
    """
    session.place.incoming.mkdir(exist_ok=True)

    def one(trial: Trial) -> float:
        began = time.monotonic()
        session.note(f"tries {trial['name']}")
        scratch = Path(tempfile.mkdtemp(prefix="trial-", dir=session.place.incoming))
        try:
            _boot(session, release, trial, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return round(time.monotonic() - began, 3)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        took = list(pool.map(one, trials))
    return {"took_s": {trial["name"]: s for trial, s in zip(trials, took, strict=True)}}


def ports(session: Session, wanted: list[tuple[str, str, int]]) -> None:
    """(program, address, port) each: Refused("gate") names every port that somebody else's program holds."""
    lines = []
    for name, address, port in wanted:
        why = session.machine.port_taken(address, port, session.place)
        if why:
            lines.append(f"port {port} of {name} {why}")
    if lines:
        raise Refused("gate", "; ".join(lines))


def _boot(session: Session, release: str, trial: Trial, scratch: Path) -> None:
    folder = session.place.folder(release)
    port = _spare_port()
    state, log = scratch / "run", scratch / "log"
    state.mkdir(mode=0o700)

    def filled(text: str) -> str:
        return session.machine.fill(text.replace("{port}", str(port)), folder)

    environment = session.machine.environment(session.place) | {
        key: filled(value) for key, value in trial["environment"].items()
    }
    environment["FAIRLEAD_STATE"] = str(state)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [filled(word) for word in trial["argv"]], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    said = f"no answer within {session.machine.boot_s:g} s"
    until = time.monotonic() + session.left_s(session.machine.boot_s)
    try:
        while time.monotonic() < until:
            if process.poll() is not None:
                said = f"it ended with status {process.returncode}"
                break
            well, answer, told = gate.ask(port, trial["health_path"], trial["scheme"])
            if well and (not trial["ours"] or told == release):
                return
            said = answer if not well else f"it says that it is release {told or 'unknown'}, not {release}"
            time.sleep(POLL_S)
            if not well and not answer.startswith(("nothing listens", "no answer")):
                until = min(until, time.monotonic() + 3)  # it answers, and badly: that does not get better
            elif well:
                break
    finally:
        _end(session, process, gently=not trial["ours"])
    lines = tail(log, gate.LOG_LINES)
    if trial["check"]:
        lines = _reason([filled(word) for word in trial["check"]], folder, environment) or lines
    raise Refused("gate", f"the new {trial['name']} does not come up on trial: {said}", lines)


def _reason(command: list[str], folder: Path, environment: dict[str, str]) -> list[str]:
    """What the program's own check says; nothing when it finds no fault."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
        )
        if done.returncode:
            return (done.stderr or done.stdout).strip().splitlines()[-gate.LOG_LINES :]
    return []


def _spare_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(session: Session, process: subprocess.Popen[bytes], gently: bool) -> None:
    """Its whole group. Ours may be cut off: nobody is served by a trial."""
    if gently:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.terminate()
            process.wait(3.0)
    session.machine.end(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(3.0)
