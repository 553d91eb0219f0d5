"""What the keeper's verbs do."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from cluster import auth, file_lock, paths
from cluster.config import Fleet
from cluster.errors import StartError
from cluster.programs import Program, Role, bind_address, reach
from deploy import health, procfs, summary
from deploy import status as fleet_status
from deploy.fleet_here import Here, Started, digest, read_fleet, script
from deploy.keeper.client import Client, KeeperGone
from deploy.keeper.keeper import Keeper
from deploy.keeper.local_api import serve
from deploy.keeper.recipes import recipes
from deploy.supervisor.listener import Sender, post

ANSWER_WITHIN_S = 90.0
STOP_WITHIN_S = 100.0
APPEAR_WITHIN_S = 20.0


def run(config: Path, lan: bool, unless_stopped: bool) -> int:
    """The keeper itself, in the foreground, until told to stop. A second one finds the first and ends: 0.

    `unless_stopped`: for the boot task, which tries each minute: nor after `stop`, until the next `start`.
    """
    here = Here()
    if unless_stopped and _stopped(here).exists():
        return 0
    here.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with file_lock.alone(here.state / "keeper.lock", wait=False):
            _keep(here, config, lan)
    except BlockingIOError:
        print("a keeper runs already", file=sys.stderr)
    return 0


def _keep(here: Here, config: Path, lan: bool) -> None:
    fleet, programs = read_fleet(config)
    token = auth.read_token(paths.token_file())
    keeper = Keeper(recipes(programs, fleet, config, lan), here.logs)
    if fleet.dashboard:
        url = f"http://{reach(fleet.hosts[fleet.dashboard.host])}:{fleet.dashboard.port}"
        sender = Sender(programs[0].host, keeper.processes, lambda report: post(url, token, report))
        keeper.tell = lambda event, fields: sender.put(event, fields, time.time())
        threading.Thread(target=sender.run, daemon=True).start()
    here.write_started(Started(str(config), digest(config), lan, time.time()))
    end = serve(keeper, here.state, token)
    signal.signal(signal.SIGTERM, lambda *_: keeper.leave())
    signal.signal(signal.SIGINT, lambda *_: keeper.leave())
    try:
        keeper.run()
    finally:
        end()
        (here.state / "started.json").unlink(missing_ok=True)


def start(config: Path, lan: bool) -> int:
    """A keeper in the background; waits until all answers. 0: runs (or ran already), 1: a program does not come up."""
    here = Here()
    fleet, programs = read_fleet(config)
    programs = [program for program in programs if program.role is not Role.LISTENER]
    _stopped(here).unlink(missing_ok=True)
    client = Client(here.state)
    try:
        pid, _ = client.processes()
        print(f"Fairlead runs already, kept by pid {pid}")
        return 0
    except KeeperGone:
        pass
    _check_ports(fleet, programs, lan)
    _launch(here, config, lan)
    failed = _wait(client, programs)
    for name, reason in failed.items():
        print(f"{name}: {reason}; its log: {here.logs / name}.log", file=sys.stderr)
    if not failed:
        for program in programs:
            print(f"  {program.name:<20}{program.url()}")
        if fleet.dashboard:
            print(f"Sign in: {summary.dashboard_link(fleet, auth.read_token(paths.token_file()))}")
    return 1 if failed else 0


def stop() -> int:
    """Everything in order, then the keeper. 0: nothing runs any more; 1: it did not end in time."""
    here = Here()
    here.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _stopped(here).touch()
    client = Client(here.state)
    try:
        pid, processes = client.processes()
        client.stop()
    except KeeperGone:
        print("Nothing runs: there is nothing to stop", file=sys.stderr)
        return 0
    until = time.monotonic() + STOP_WITHIN_S
    while time.monotonic() < until:
        if _is_free(here):
            names = ", ".join(process.name for process in processes if process.pid)
            print(f"Stopped the keeper (pid {pid}) and: {names}", file=sys.stderr)
            return 0
        time.sleep(0.1)
    print(f"The keeper (pid {pid}) did not end within {STOP_WITHIN_S:g} s", file=sys.stderr)
    return 1


def status(config: Path, as_json: bool) -> int:
    """How it is: the JSON of `status.sh --json`. 0: all is well, 3: not."""
    here = Here()
    started = here.started()
    try:
        pid, processes = Client(here.state).processes()
        found = fleet_status.Seen(pid, processes, "", listens=False)
    except KeeperGone:
        found = fleet_status.Seen(0, None, f"not running: {script('start_all')} starts it", listens=False)
    result = fleet_status.compose(here, Path(started.config) if started else config, found)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        fleet_status.show(result)
    return 0 if result["well"] else 3


def _stopped(here: Here) -> Path:
    """Is there while the fleet is stopped by order."""
    return here.state / "stopped"


def _is_free(here: Here) -> bool:
    try:
        with file_lock.alone(here.state / "keeper.lock", wait=False):
            return True
    except BlockingIOError:
        return False


def _check_ports(fleet: Fleet, programs: list[Program], lan: bool) -> None:
    lines = []
    for program in programs:
        assert program.port is not None
        error = procfs.bind_error(bind_address(program, fleet, lan), program.port)
        if error:
            lines.append(f"  {program.port} ({program.name}) {error.strerror}; else change {program.key}")
    if lines:
        raise StartError("Nothing was started: these ports cannot be had\n" + "\n".join(lines))


def _launch(here: Here, config: Path, lan: bool) -> None:
    here.logs.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "deploy.keeper", "run", "--config", str(config), *(["--lan"] if lan else [])]
    with (here.logs / "keeper.log").open("wb") as log:
        subprocess.Popen(
            command,
            cwd=here.project,
            env={**os.environ, "PYTHONPATH": str(here.project), "FAIRLEAD_STATE": str(here.state)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
            | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


def _wait(client: Client, programs: list[Program]) -> dict[str, str]:
    """Until all are well. Those that are not, with the reason."""
    until = time.monotonic() + ANSWER_WITHIN_S
    appear = time.monotonic() + APPEAR_WITHIN_S
    pending = {program.name: program for program in programs}
    failed: dict[str, str] = {}
    while pending and time.monotonic() < until:
        time.sleep(0.1)
        try:
            seen = {process.name: process for process in client.processes()[1]}
        except KeeperGone:
            if time.monotonic() > appear:
                return dict.fromkeys(pending, "the keeper does not answer: see keeper.log")
            continue
        for name, program in list(pending.items()):
            process = seen[name]
            if process.state == "BACKOFF":
                failed[name] = f"ended right after its start ({process.description}); the keeper goes on trying"
            elif not (process.pid and health.ask(program, timeout_s=1.0).well):
                continue
            del pending[name]
    return failed | {
        name: f"does not answer within {ANSWER_WITHIN_S:g} s: {health.ask(program).text}"
        for name, program in pending.items()
    }
