"""Releases and environments on a host: take in, build, switch to, take back, prune.

A release becomes visible by one rename, `current` changes by another: whatever happens in between, a host has whole
releases only and is on exactly one of them.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

from deploy.agent import gate, programs
from deploy.agent.place import Refused, room, write
from deploy.agent.session import Session
from deploy.processes import Process, SupervisorGone

KEPT = 5
SPARE_BYTES = 64 << 20
PIP_LIMIT_S = 300.0


def make_room(session: Session, needed: int) -> dict[str, str]:
    """The folder for uploads, when the disk has room for `needed` bytes more. Refused("room") when not."""
    place = session.place
    place.incoming.mkdir(exist_ok=True)
    free = room(place.incoming)
    if free < needed + SPARE_BYTES:
        raise Refused(
            "room", f"{free >> 20} MB are free at {place.root}, {(needed + SPARE_BYTES) >> 20} MB are needed; make room"
        )
    return {"incoming": str(place.incoming)}


def make_env(session: Session, key: str, wheels: str, lock: str, hashes: bool) -> dict[str, Any]:
    """A virtual environment from an uploaded archive of wheels, offline. Nothing to do when it is there already."""
    env = session.place.envs / key
    if (env / ".complete").exists():
        return {"built": False}
    began = time.monotonic()
    session.note("builds an environment")
    house = session.place.incoming / f"wheels-{key}"
    for leftover in (env, house):
        shutil.rmtree(leftover, ignore_errors=True)
    env.parent.mkdir(exist_ok=True)
    try:
        _unpack(session.place.incoming / wheels, house)
        write(house / "lock.txt", lock)
        pip = [str(house / "pip.zip" / "pip"), "install", "--isolated", "--no-index", "--no-compile"]
        pip += ["--disable-pip-version-check", "--no-warn-script-location", "--quiet", "--find-links", str(house)]
        pip += ["--require-hashes"] if hashes else []
        for command in session.machine.env_commands(env, [*pip, "-r", str(house / "lock.txt")]):
            _run(session, command, "pip" if "pip.zip" in " ".join(command) else "venv")
        (env / ".complete").touch()
    finally:
        shutil.rmtree(house, ignore_errors=True)
        (session.place.incoming / wheels).unlink(missing_ok=True)
    return {"built": True, "took_s": round(time.monotonic() - began, 3)}


def install(
    session: Session, release: str, archive: str, env: str, apps: dict[str, str], files: dict[str, str]
) -> dict[str, Any]:
    """Unpack an uploaded release. `apps`: folder -> environment of command nodes; `files`: this host's own files.

    Where the release is there already only its host's files are brought up to date.
    """
    place = session.place
    target = place.folder(release)
    if (target / "RELEASE").exists():
        return {"unpacked": False, "rewritten": _rewrite(target / "host", files)}
    session.note("unpacks the release")
    work = place.releases / f".{release}"
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    try:
        _unpack(place.incoming / archive, work)
        (work / "host").mkdir()
        _rewrite(work / "host", files)
        for folder, key in {"": env, **apps}.items():
            link = work / folder / ".venv"
            session.machine.link(link, os.path.relpath(place.envs / key, place.releases / release / folder))
        if before := place.release():
            _inherit_compiled(place.folder(before), work)
        write(work / "RELEASE", release + "\n")
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        (place.incoming / archive).unlink(missing_ok=True)
    return {"unpacked": True, "rewritten": []}


def _inherit_compiled(before: Path, work: Path) -> None:
    """What Python has compiled for the release before is good for every file that is the same in both: a file's time
    follows its content (`release.Release.archive`), and Python looks at it. Compiling costs more than starting does."""
    for source in work.rglob("*.py"):
        same = before / source.relative_to(work)
        with contextlib.suppress(OSError):
            if same.stat().st_mtime != source.stat().st_mtime or same.stat().st_size != source.stat().st_size:
                continue
            for compiled in (same.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"):
                (source.parent / "__pycache__").mkdir(exist_ok=True)
                shutil.copy2(compiled, source.parent / "__pycache__" / compiled.name)


def _rewrite(folder: Path, files: dict[str, str]) -> list[str]:
    changed = []
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            write(path, text)
            changed.append(name)
    return changed


def begin(session: Session, release: str) -> dict[str, Any]:
    """Switch `current`. Until `commit`, the end of this connection switches back."""
    place = session.place
    before = place.release()
    if not (place.folder(release) / "RELEASE").exists():
        raise Refused("missing", f"release {release} is not on this host; `fab releases` says which are")
    place.remember(switching={"from": before, "to": release, "at": round(time.time(), 3), "who": session.who})
    session.hold("switch", lambda: abort(session))
    session.machine.switch(place.current, place.releases / release)
    programs.supervisor(session)
    return {"from": before}


def commit(session: Session, forget: str = "") -> dict[str, Any]:
    """The release is good: keep it, note it as one to roll back to, prune. `forget`: one that is no longer."""
    place = session.place
    switching = place.memory().get("switching") or {}
    session.release("switch")
    before, now = switching.get("from", ""), place.release()
    good = [release for release in place.memory().get("good", []) if release not in (now, forget)]
    place.remember(switching=None, good=[*good, now][-10:], at=round(time.time(), 3), who=session.who)
    place.audit(what="switch", who=session.who, result="ok", **{"from": before, "to": now})
    return {"pruned": prune(session)}


def abort(session: Session) -> dict[str, Any]:
    """Back to the release before, and every program that ran the new one with it. {"restarted": [...], "to": id}."""
    place = session.place
    session.release("switch")
    switching = place.memory().get("switching")
    if not switching:
        return {"restarted": [], "to": place.release()}
    before, new = switching["from"], switching["to"]
    restarted: list[str] = []
    if before and before != new:
        session.machine.switch(place.current, place.folder(before))
        rpc = programs.supervisor(session)
        known = {p.id: p for p in rpc.processes()}
        wanted: list[programs.Wanted] = json.loads((place.folder(before) / "host" / "programs.json").read_text())
        others = [p for p in wanted if not all(_runs(session, known.get(one), before) for one in p["processes"])]
        try:
            programs.restart(session, others, before)
            restarted = [program["name"] for program in others]
        finally:
            drop_removed(session)
    elif not before:  # there was none: nothing runs then
        stop_all(session)
        place.current.unlink(missing_ok=True)
    place.remember(switching=None)
    place.audit(what="switch", who=session.who, result="taken back", **{"from": before, "to": new})
    return {"restarted": restarted, "to": before}


def _runs(session: Session, process: Process | None, release: str) -> bool:
    return bool(process and process.pid and session.machine.release_of(process.pid, session.place) == release)


def drop_removed(session: Session) -> list[str]:
    """Stop programs that the current configuration no longer has. Returns their names."""
    rpc = programs.supervisor(session)
    _, _, removed = rpc.reread()
    for group in removed:
        session.note(f"stops {group}, which is gone from the configuration")
        programs.remove_group(session, rpc, group)
    return removed


def stop_all(session: Session) -> bool:
    """End Supervisor and all of its programs; whether it ran."""
    rpc = session.machine.supervisor(session.place)
    try:
        rpc.shutdown()
    except SupervisorGone:
        return False
    session.note("stops everything")
    while session.left_s() > 0.1:
        try:
            rpc.pid()
        except SupervisorGone:
            return True
        time.sleep(0.1)
    raise Refused("failed", "Supervisor does not end")


def discard(session: Session, release: str) -> bool:
    """Remove a release that failed its trial; whether it was there. Never one that is in use or was found good."""
    place = session.place
    if release == place.release() or release in place.memory().get("good", []):
        return False
    folder = place.folder(release)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def previous(session: Session) -> list[str]:
    """Releases to roll back to, the newest first: found good, still here, not the current one."""
    good = reversed(session.place.memory().get("good", []))
    return [r for r in good if r != session.place.release() and (session.place.folder(r) / "RELEASE").exists()]


def prune(session: Session) -> list[str]:
    """Remove all but the newest releases; never one that is current, previous or run by a process."""
    place = session.place
    keep = {place.release(), *previous(session)[:1]}
    try:
        pids = [p.pid for p in session.machine.supervisor(place).processes() if p.pid]
    except SupervisorGone:
        pids = []
    keep |= {session.machine.release_of(pid, place) for pid in pids}
    found = place.complete()
    gone = [release for i, release in enumerate(found) if i >= KEPT and release not in keep]
    for release in gone:
        doomed = place.releases / f".{release}.gone"
        (place.releases / release).rename(doomed)  # in one step: half a release must never be found
        shutil.rmtree(doomed, ignore_errors=True)
    used = {
        session.machine.target(link) for release in place.complete() for link in place.folder(release).rglob(".venv")
    }
    for env in place.envs.glob("*"):
        if env.resolve() not in used:
            shutil.rmtree(env, ignore_errors=True)
    for leftover in [*place.releases.glob(".*"), *place.incoming.glob("*")]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return gone


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = Path(member.name)
            if inside.is_absolute() or ".." in inside.parts or not member.isfile():
                raise Refused("failed", f"{archive.name} holds {member.name!r}, which is no plain file inside it")
            path = target / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None
            with source, path.open("wb") as file:
                shutil.copyfileobj(source, file)
            path.chmod(0o755 if member.mode & 0o100 else 0o644)
            os.utime(path, (member.mtime, member.mtime))


def _run(session: Session, command: list[str], what: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=session.left_s(PIP_LIMIT_S),
        env={**environment, "PIP_CONFIG_FILE": os.devnull},
    )  # fmt: skip
    if done.returncode:
        log = (done.stderr or done.stdout).strip().splitlines()[-gate.LOG_LINES :]
        raise Refused("gate", f"{what} cannot build the environment: {log[-1] if log else 'no reason given'}", log)
