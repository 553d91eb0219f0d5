"""Making a Linux machine a host of the fleet, and an ordinary machine again; both as root."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from deploy import procfs
from deploy.agent import linux_firewall
from deploy.agent.place import Place, Refused

UNITS = Path("/etc/systemd/system")
UNIT = "fairlead.service"


def keeper() -> str:
    """Who starts supervisord at boot and again after its death: systemd, or nobody."""
    return "systemd" if Path("/run/systemd/system").is_dir() and (UNITS / UNIT).exists() else "nobody"


def set_up(place: Place, account: str, files: dict[str, str], note: Callable[[str], None]) -> list[str]:
    """See `machine.Machine`. `files`: the unit."""
    done = _account(place, account)
    for folder, mode in ((place.root, 0o755), (place.shared, 0o755), (place.state, 0o700), (place.logs, 0o755)):
        if not folder.is_dir():
            folder.mkdir(parents=True)
            done.append(f"folder {folder}")
        folder.chmod(mode)
    for folder in (place.releases, place.envs, place.incoming):
        folder.mkdir(exist_ok=True)
    done += _may_log_in(place, account, note)
    for folder in (place.root, place.shared, place.state, place.logs, place.releases, place.envs, place.incoming):
        shutil.chown(folder, account, account)
    note("sets up the service")
    return done + _unit(files)


def _unit(files: dict[str, str]) -> list[str]:
    """The systemd unit, where there is systemd; on a host that was not booted with it the links alone."""
    if not UNITS.is_dir():
        return ["no systemd here: Supervisor is started by deploys, and by nobody after a reboot"]
    done = []
    for name, text in files.items():
        path = UNITS / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            done.append(f"unit {path}")
        wants = UNITS / "multi-user.target.wants" / name
        if not wants.is_symlink():
            wants.parent.mkdir(exist_ok=True)
            wants.symlink_to(path)
    if done and keeper() == "systemd":
        _run("systemctl", "daemon-reload")
    if keeper() == "systemd":
        for name in files:
            _run("systemctl", "start", "--no-block", name)
    return done


def tear_down(place: Place, account: str, note: Callable[[str], None]) -> list[str]:
    """See `machine.Machine`."""
    done = []
    for unit in sorted(path.name for path in UNITS.glob("fairlead*.service")):
        if keeper() == "systemd":
            _run("systemctl", "disable", "--now", unit, check=False)
        (UNITS / "multi-user.target.wants" / unit).unlink(missing_ok=True)
        (UNITS / unit).unlink()
        done.append(f"unit {unit}")
    with contextlib.suppress(OSError):  # one that we made, when nothing else is in it
        (UNITS / "multi-user.target.wants").rmdir()
    if Path("/run/systemd/system").is_dir() and done:
        _run("systemctl", "daemon-reload", check=False)
    done += linux_firewall.remove()
    note("ends the programs")
    running = {*procfs.supervised(place.state), *filter(None, [procfs.supervisord_of(place.conf)])}
    if running:
        end(running)
        done.append(f"{len(running)} processes")
    if place.root.is_dir():
        shutil.rmtree(place.root)
        done.append(f"folder {place.root}")
    with contextlib.suppress(KeyError):
        if pwd.getpwnam(account).pw_dir == str(place.root):  # one that we made, and no other of that name
            end(pid for pid in _pids_of(account) if pid != os.getpid())
            _run("userdel", account)
            done.append(f"user {account}")
    return done


def _account(place: Place, account: str) -> list[str]:
    """The account that everything runs as: no password, its home is the fleet's folder."""
    try:
        home = pwd.getpwnam(account).pw_dir
    except KeyError:
        useradd = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/sh"]
        _run(*useradd, "--home-dir", str(place.root), account)
        _run("usermod", "--password", "*", account)  # sshd takes "!" for a locked account, also for keys
        return [f"user {account}"]
    if home != str(place.root):
        raise Refused("setup", f"this host has a user {account} of its own, whose home is {home}; rename that one")
    return []


def _may_log_in(place: Place, account: str, note: Callable[[str], None]) -> list[str]:
    """Whoever may log in as the one who sets up may deploy: the same keys."""
    admin = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    keys = Path(pwd.getpwnam(admin).pw_dir) / ".ssh" / "authorized_keys"
    mine = place.root / ".ssh" / "authorized_keys"
    try:
        text = keys.read_text()
    except OSError:
        note(f"{keys} is not there: {admin} logs in another way, and so must {account}")
        return []
    if mine.exists() and mine.read_text() == text:
        return []
    mine.parent.mkdir(mode=0o700, exist_ok=True)
    mine.write_text(text)
    mine.chmod(0o600)
    for path in (mine.parent, mine):
        shutil.chown(path, account, account)
    return [f"the keys of {admin} may deploy"]


def end(pids: Iterable[int]) -> None:
    """TERM, then KILL; these very processes."""
    left = [pid for pid in pids if procfs.alive(pid)]
    for how, wait_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        until = time.monotonic() + wait_s
        while (left := [pid for pid in left if procfs.alive(pid)]) and time.monotonic() < until:
            time.sleep(0.05)


def _pids_of(account: str) -> list[int]:
    uid = pwd.getpwnam(account).pw_uid
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
    return found


def _run(*command: str, check: bool = True) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    except FileNotFoundError:
        raise Refused("setup", f"{command[0]} is not installed on this host") from None
    if check and done.returncode:
        raise Refused("setup", f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
