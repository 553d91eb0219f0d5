"""What a virtual host needs to stand for Windows: a prefix of Wine to take its programs from, a shell for its sshd.

    own = programs(folder)
    with Lan.up(names=[..., "win1"], share=share(wine, own), shells={"win1": shell(wine, own)}, ...) as lan:

netsh and schtasks are programs of ours (stand_ins/administration.py), which enforce the documented syntax. Tasks start
at boot, at their times and when told to (stand_ins/task_scheduler.py). No rule is enforced: what `remoteip` lets in
and keeps out, only a real Windows shows.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from lab.lan.host import Host
from tests.windows.wine import STAND_INS, Wine, compile_program

DRIVE = "/root/wine/drive_c"


def programs(folder: Path) -> Path:
    """A folder with what stands for Windows' own programs; it comes beside the host's python.exe."""
    folder.mkdir()
    compile_program(STAND_INS / "cmd_line.c", folder / "cmd_line.exe", "-municode")
    for name in ("netsh", "schtasks"):
        compile_program(STAND_INS / "administration.c", folder / f"{name}.exe", "-municode")
    for script in ("administration.py", "task_scheduler.py"):
        shutil.copy(STAND_INS / script, folder)
    return folder


def share(wine: Wine, programs: Path) -> list[Path]:
    """Folders of the machine that such a host must see."""
    return [wine.prefix, programs, STAND_INS]


def shell(wine: Wine, programs: Path) -> str:
    """What its sshd hands every command to."""
    return f"{STAND_INS / 'shell.sh'} {wine.prefix} {programs}"


def boot(host: Host) -> None:
    """Its first login after it was turned on starts Wine's server and the scheduler: a Windows that runs."""
    assert host.shell is not None
    said = host.run(host.shell.split(), env={"SSH_ORIGINAL_COMMAND": "ver"}, timeout_s=120).stdout
    assert "Windows" in said, said


def told(host: Host) -> dict[str, Any]:
    """What netsh and schtasks have been told there: rules and tasks."""
    found = {"rules": [], "tasks": {}}
    kept = {name: host.run(["cat", f"{DRIVE}/{name}.json"], check=False).stdout for name in found}
    return found | {name: json.loads(text) for name, text in kept.items() if text}


def story(host: Host) -> str:
    """What schtasks was asked and answered there, and what was not as documented."""
    return host.run(["cat", "/var/log/tasks.log", f"{DRIVE}/administration.log"], check=False).stdout
