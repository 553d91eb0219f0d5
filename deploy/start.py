"""Start this machine's share of the fleet and wait until every part answers."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from cluster import auth, paths
from cluster.config import Fleet
from cluster.errors import FairleadError, StartError
from cluster.programs import LOOPBACK, Program, Role, bind_address
from deploy import browser, health, procfs, render, summary
from deploy.agent.place import tail
from deploy.fleet_here import Here, Started, digest, read_fleet
from deploy.processes import Process, Supervisor, SupervisorGone
from deploy.stop import clear_leftovers, stop

ANSWER_WITHIN_S = 60.0
"""Longest wait for all parts; a small computer under load needs most of it."""
PATIENCE_S = 5.0
"""After that a person is told what is still waited for."""
LOG_LINES = 15
LOG_WIDTH = 500
_NOT_INHERITED = ("FAIRLEAD_", "SUPERVISOR_", "GUNICORN_CMD_ARGS", "PYTHONPATH")
"""Variables beginning so would tell every program what belongs to one, or to another fleet."""


def start(config: Path, lan: bool, open_browser: bool) -> int:
    """The verb `start`. 0: runs (or ran already); 1: a program does not come up. ConfigError, StartError."""
    here = Here()
    fleet, programs = read_fleet(config)
    with here.alone():
        if here.processes() is not None:
            return _runs_already(here, config, fleet, programs, lan)
        hung = procfs.supervisord_of(here.conf)
        if hung:  # its programs may serve on: ending them is the person's decision
            raise StartError(
                f"supervisord (pid {hung}) runs already, but does not answer. scripts/linux/stop_all.sh ends it and its"
                " programs; then start again"
            )
        clear_leftovers(here)
        options = here.options(config, fleet, lan)
        conf = render.supervisord_conf(fleet, options)
        _check(config, here)
        check_ports(fleet, programs, lan)
        began = time.monotonic()
        old_logs = {path: path.stat().st_size for path in here.logs.glob("*.log")}
        try:
            _launch(here, conf, Started(str(config), digest(config), lan, time.time()))
            failed = _wait(here.supervisor, programs)
        except KeyboardInterrupt:
            print("\nInterrupted: stopping what was started.", file=sys.stderr)
            stop(here)
            raise
    if failed:
        _explain(here, failed, programs, old_logs)
        return 1
    took_s = time.monotonic() - began
    token = auth.read_token(paths.token_file())
    opened = open_browser and fleet.dashboard is not None and browser.open_page(summary.dashboard_link(fleet, token))
    print("\n".join(summary.running(fleet, programs, token, here, lan=lan, took_s=took_s, opened=opened)))
    return 0


def check_ports(fleet: Fleet, programs: list[Program], lan: bool) -> None:
    """StartError that names every port which somebody else has, who that is, and which key to change."""
    lines = []
    for program in programs:
        if program.port is None:
            continue
        error = procfs.bind_error(bind_address(program, fleet, lan), program.port)
        if error:
            lines.append(
                f"  {program.port} ({program.name}) {procfs.why(error, program.port)}; else change {program.key}"
            )
    if lines:
        what = "a port" if len(lines) == 1 else f"{len(lines)} ports"
        raise StartError(f"Nothing was started: {what} cannot be had. End that program, or:\n" + "\n".join(lines))


class CheckFailed(FairleadError):
    """What `fairlead check` said against config.json."""

    exit_code = 2


def _check(config: Path, here: Here) -> None:
    """Also what only the balancer knows, such as which algorithms there are: its own command is asked."""
    command = [sys.executable, "-m", "balancer.cli", "check", "--config", str(config)]
    done = subprocess.run(command, cwd=here.project, capture_output=True, text=True)
    if done.returncode:
        raise CheckFailed(done.stderr.strip())


def _launch(here: Here, conf: str, started: Started) -> None:
    """supervisord, in the background."""
    here.logs.mkdir(parents=True, exist_ok=True)
    auth.read_token(paths.token_file())  # one for all, before several programs look for it at once
    here.conf.write_text(conf)
    here.write_started(started)
    launch = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(here.conf)],
        cwd=here.project,
        env={key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,  # Ctrl-C is for us
    )
    if launch.returncode:
        raise StartError(f"supervisord did not start:\n{(launch.stderr or launch.stdout).strip()}")


def _wait(supervisor: Supervisor, programs: list[Program]) -> dict[str, str]:
    """Until all are well. Returns those that are not, with the reason: {name: text}."""
    deadline = time.monotonic() + ANSWER_WITHIN_S
    pending = {program.name: program for program in programs}
    ends: dict[str, set[float]] = {name: set() for name in pending}
    failed: dict[str, str] = {}
    told = False
    while pending and time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            seen = {process.name: process for process in supervisor.processes()}
        except SupervisorGone:
            if time.monotonic() > deadline - ANSWER_WITHIN_S + 5:  # its socket may come a moment after its start
                return dict.fromkeys(pending, "supervisord is gone")
            continue
        for name, program in list(pending.items()):
            process = seen[name]
            if process.state in ("BACKOFF", "FATAL", "EXITED"):
                ends[name].add(process.stopped_at or process.started_at)
            if process.state == "FATAL" or len(ends[name]) > 1:
                failed[name] = f"{process.state}: {process.description}"
            elif not _well(process, program):
                continue
            del pending[name]
        if pending and not told and time.monotonic() > deadline - ANSWER_WITHIN_S + PATIENCE_S:
            told = True
            said = {name: health.ask(program) for name, program in pending.items()}
            waits = ", ".join(f"{name} ({answer.text})" for name, answer in said.items() if not answer.well)
            if waits:
                print(f"Waiting up to {ANSWER_WITHIN_S:g} s for {waits}", file=sys.stderr)
    for name, program in pending.items():
        failed[name] = f"does not answer within {ANSWER_WITHIN_S:g} s: {health.ask(program).text}"
    return failed


def _well(process: Process, program: Program) -> bool:
    if program.port is None:
        return process.state == "RUNNING" or (process.state == "STARTING" and process.uptime_s >= 1)
    return process.pid > 0 and health.ask(program, timeout_s=1.0).well


def _explain(here: Here, failed: dict[str, str], programs: list[Program], old_logs: dict[Path, int]) -> None:
    """Each failed program with what its log says since this start, and what stays up."""
    seen = {process.name: process for process in here.processes() or []}
    for name, reason in failed.items():
        print(f"✖ {name}  {reason.removesuffix(_NO_HELP)}{_how_it_ended(here, name)}", file=sys.stderr)
        log = Path(seen[name].log) if name in seen else here.logs / "supervisord.log"
        said = tail(log, LOG_LINES, old_logs.get(log, 0))
        for line in said:
            print(f"    {line[:LOG_WIDTH]}", file=sys.stderr)
        print(f"    ({'the end of' if said else 'it said nothing in'} {log})", file=sys.stderr)
    up = [program.name for program in programs if program.name not in failed]
    if seen:
        print(
            f"Up and left running: {', '.join(up) or 'none'}. Supervisor keeps trying the rest; state:"
            " scripts/linux/status.sh, stop: scripts/linux/stop_all.sh",
            file=sys.stderr,
        )


_NO_HELP = " (process log may have details)"


def _how_it_ended(here: Here, name: str) -> str:
    """Exit status or signal, which Supervisor writes into its log and tells nobody; "" when it is not there."""
    ended = re.compile(rf"exited: {re.escape(name)}(?:_[01])? \((.+); not expected\)")
    found = [match[1] for line in tail(here.logs / "supervisord.log", 100) if (match := ended.search(line))]
    return f" ({found[-1]})" if found else ""


def _runs_already(here: Here, config: Path, fleet: Fleet, programs: list[Program], lan: bool) -> int:
    started = here.started()
    if started and Path(started.config) != config:
        fleet, programs = _fleet_of(started, fleet, programs)
    lan_now = started.lan if started else False
    token = auth.read_token(paths.token_file())
    lines = summary.running(fleet, programs, token, here, lan=lan_now, already=True)
    again = "scripts/linux/stop_all.sh, then scripts/linux/start_all.sh"
    if started and Path(started.config) != config:
        lines.append(f"It was started from {started.config}, not from {config}. To change: {again} --config {config}")
    elif started and started.config_changed:
        lines.append(f"{config.name} has changed since the start. To apply it: {again}")
    if lan and not lan_now:
        lines.append(f"It listens on {LOOPBACK} only. To open it to the LAN: {again} --lan")
    ill = [p.name for p in programs if not health.ask(p, timeout_s=2.0).well and p.role is not Role.LISTENER]
    stopped = [p.name for p in here.processes() or [] if p.state in ("STOPPING", "STOPPED")]
    if stopped:
        lines.append(f"Stopped by order, so not running: {', '.join(stopped)}. To start all anew: {again}")
    elif ill:
        lines.append(f"No answer now from {', '.join(ill)}: scripts/linux/status.sh tells more")
    print("\n".join(lines))
    return 1 if stopped or ill else 0


def _fleet_of(started: Started, fleet: Fleet, programs: list[Program]) -> tuple[Fleet, list[Program]]:
    try:
        return read_fleet(Path(started.config))
    except Exception:  # gone or broken since: what was asked for is the best picture there is
        return fleet, programs
