"""The operations that the operator's side may ask for, by name; started by `hosts/` through the SSH connection."""

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from deploy.agent import balancers, lock, programs, releases, trial
from deploy.agent.machine import Machine
from deploy.agent.place import Refused, room, tail, write
from deploy.agent.session import Session, serve
from deploy.processes import SupervisorGone


def hello(session: Session, fleet: str, who: str) -> dict[str, Any]:
    """First of all: who asks, for which fleet. Returns the machine's facts and what is deployed."""
    session.who = who
    memory = session.place.memory()
    if memory and memory.get("fleet") not in (None, fleet):
        raise Refused(
            "setup", f'this host belongs to the fleet "{memory["fleet"]}"; `fab teardown` with that config frees it'
        )
    return {"machine": session.machine.facts(), "deployed": deployed(session)}


def deployed(session: Session) -> dict[str, Any]:
    """Releases, environments, what is current and previous, whether a deploy was cut off."""
    place = session.place
    envs = sorted(path.parent.name for path in place.envs.glob("*/.complete")) if place.envs.is_dir() else []
    return {
        "set_up": bool(place.memory()),
        "current": place.release(),
        "releases": place.complete() if place.releases.is_dir() else [],
        "envs": envs,
        "free_bytes": room(place.root),
        "lock": lock.holder(session),
        "previous": releases.previous(session),
        **{key: place.memory().get(key) for key in ("switching", "held", "at", "who", "firewall")},
    }


def read_host_files(session: Session, release: str, names: list[str]) -> dict[str, str]:
    """The files that were rendered for this host with a release; those that are there."""
    folder = session.place.folder(release) / "host"
    return {name: (folder / name).read_text() for name in names if (folder / name).is_file()}


def recover(session: Session) -> dict[str, Any]:
    """Put right what a host that lost power in mid-deploy could not: an open switch, held nodes."""
    taken_back = releases.abort(session) if session.place.memory().get("switching") else None
    return {"taken_back": taken_back, "enabled": balancers.heal(session)}


def set_up(session: Session, fleet: str, account: str, files: dict[str, str]) -> list[str]:
    """(root) `machine.set_up`, and the state file that makes this host one of the fleet."""
    done = session.machine.set_up(session.place, account, files, session.note)
    session.place.remember(fleet=fleet)
    _own(session, account)
    return done


def token(session: Session, give: str | None = None) -> str:
    """The fleet's token, mode 0600; "" when there is none. With `give` it is written first."""
    path = session.place.state / "token"
    if give is not None:
        write(path, give + "\n", 0o600)
    return path.read_text().strip() if path.is_file() else ""


def tear_down(session: Session, account: str) -> list[str]:
    """(root) Leave nothing."""
    return session.machine.tear_down(session.place, account, session.note)


def firewall(session: Session, wanted: dict[str, Any] | None, account: str) -> dict[str, Any]:
    """(root) Bring the firewall in line; without `wanted` only look."""
    done = session.machine.apply_firewall(wanted, session.place) if wanted else []
    if wanted and session.place.shared.is_dir():
        session.place.remember(firewall=wanted["digest"])
        _own(session, account)
    return {"done": done, **session.machine.firewall_state()}


def connect(session: Session, targets: list[tuple[str, int]], timeout_s: float) -> dict[str, str]:
    """From this host's point of view: {"address:port": "open" or why not}."""
    import socket

    found = {}
    for address, port in targets:
        try:
            socket.create_connection((address, port), timeout_s).close()
            found[f"{address}:{port}"] = "open"
        except OSError as error:
            found[f"{address}:{port}"] = "no answer" if isinstance(error, TimeoutError) else (error.strerror or "no")
    return found


def logs(session: Session, names: list[str], lines: int, after: dict[str, int]) -> dict[str, dict[str, Any]]:
    """The end of each log file: {name: {"lines": [...], "size": bytes}}; with `after` what came since that size."""
    found = {}
    for path in sorted(session.place.logs.glob("*.log")):
        name = path.stem
        program = re.sub(r"_[01]$", "", name)  # of a balancer's two processes each has its log
        if not names or name in names or program in names:
            size = path.stat().st_size
            mark = after.get(name)
            said = tail(path, 10_000 if mark is not None else lines, mark or 0) if mark != size else []
            found[name] = {"lines": said, "size": size}
    return found


def execute(session: Session, command: str) -> dict[str, Any]:
    """Run a shell command as this connection's account: {"status", "output"}; its whole group ends at the limit."""
    import subprocess

    limit_s = session.left_s()
    process = subprocess.Popen(
        command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        session.machine.end(process)
        output, _ = process.communicate()
        output += f"\n(ended after {limit_s:g} s)".encode()
    return {"status": process.returncode, "output": output[-200_000:].decode(errors="replace")}


def restart_supervisor(session: Session) -> dict[str, Any]:
    """End supervisord and have it started from the current release: everything on this host is down meanwhile."""
    releases.stop_all(session)
    programs.supervisor(session)
    return {}


def audit(session: Session, last: int = 0, **fields: Any) -> list[str]:
    """Add a line to the host's audit log when there are `fields`; the last lines of it."""
    if fields:
        session.place.audit(who=session.who, **fields)
    return tail(session.place.shared / "audit.jsonl", last) if last else []


def idle(session: Session) -> bool:
    """Whether nothing of the fleet runs here."""
    try:
        session.machine.supervisor(session.place).pid()
    except SupervisorGone:
        return True
    return False


def _own(session: Session, account: str) -> None:
    """What root has written belongs to the fleet's account, or a deploy could not replace it."""
    import shutil

    if account:
        shutil.chown(session.place.shared / "deployed.json", account, account)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "hello": hello,
    "deployed": deployed,
    "read_host_files": read_host_files,
    "recover": recover,
    "set_up": set_up,
    "token": token,
    "tear_down": tear_down,
    "firewall": firewall,
    "connect": connect,
    "logs": logs,
    "execute": execute,
    "restart_supervisor": restart_supervisor,
    "audit": audit,
    "idle": idle,
    "make_room": releases.make_room,
    "make_env": releases.make_env,
    "install": releases.install,
    "begin": releases.begin,
    "commit": releases.commit,
    "abort": releases.abort,
    "discard": releases.discard,
    "drop_removed": releases.drop_removed,
    "restart": programs.restart,
    "states": programs.states,
    "boot": trial.boot,
    "ports": trial.ports,
    "snapshot": balancers.snapshot,
    "drain": balancers.drain,
    "restore": balancers.restore,
    "order": balancers.order,
    "announce": balancers.announce,
    "lock": lock.take,
    "unlock": lock.free,
}


def main(root: str) -> None:
    """Serve one connection on standard input and output."""
    machine: Machine
    if sys.platform == "win32":
        from deploy.agent.windows import Windows

        machine = Windows(root)
    else:
        from deploy.agent.linux import Linux

        machine = Linux(root)
    wire_in, wire_out = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not get between the answers
    os.umask(0o022)
    os.chdir("/")  # nothing that we start shall keep a folder busy
    serve(OPERATIONS, machine, wire_in, wire_out)
