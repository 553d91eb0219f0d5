"""The Scheduled Task that runs the keeper: `python -m deploy.windows.boot_task [--remove]`. Needs an elevated prompt.

As the user who installs it, without a password (S4U), logged on or not. As XML, because schtasks' own options leave the
72 h limit, the stop on batteries and the priority below normal as they are. It fires at boot and each minute: while
the keeper lives that does nothing (IgnoreNew), after its death it is the revival.
https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path, PurePath
from xml.sax.saxutils import escape

from cluster import paths

TASK = "Fairlead"
NEEDS_ELEVATION = 5


def task_xml(python: PurePath, project: PurePath, config: PurePath, lan: bool, user: str) -> str:
    """The task of a project that lies on the host. `user`: whose files these are, DOMAIN\\name."""
    arguments = f'-m deploy.keeper run --unless-stopped --config "{config}"' + (" --lan" if lan else "")
    return task(str(python), arguments, str(project), user)


def task(python: str, arguments: str, folder: str, user: str) -> str:
    """The task. Paths may hold spaces and whatever XML must escape."""
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Keeps this host's programs of the Fairlead fleet alive.</Description>
  </RegistrationInfo>
  <Triggers>
    <BootTrigger>
      <Enabled>true</Enabled>
    </BootTrigger>
    <TimeTrigger>
      <Repetition>
        <Interval>PT1M</Interval>
        <StopAtDurationEnd>false</StopAtDurationEnd>
      </Repetition>
      <StartBoundary>2020-01-01T00:00:00</StartBoundary>
      <Enabled>true</Enabled>
    </TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{escape(user)}</UserId>
      <LogonType>S4U</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>4</Priority>
    <Enabled>true</Enabled>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(python)}</Command>
      <Arguments>{escape(arguments)}</Arguments>
      <WorkingDirectory>{escape(folder)}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""


def create(xml: Path) -> list[str]:
    """The command that registers the task, in place of an older one."""
    return ["schtasks", "/create", "/tn", TASK, "/xml", str(xml), "/f"]


def main(argv: list[str] | None = None) -> int:
    """0: done · 1: schtasks refused · 2: usage · 5: not elevated."""
    parser = argparse.ArgumentParser(prog="install_boot_task.bat", description="Start the fleet at each boot.")
    parser.add_argument("--remove", action="store_true", help="take the task away; what runs goes on")
    parser.add_argument("--lan", action="store_true", help="balancer and dashboard reachable from the LAN")
    parser.add_argument("--config", type=Path, default=paths.config_file(), metavar="FILE")
    args = parser.parse_args(argv)
    if _run(["net", "session"]):
        print("A boot task needs an administrator: open the prompt with 'Run as administrator'", file=sys.stderr)
        return NEEDS_ELEVATION
    if args.remove:
        return min(1, _run(["schtasks", "/delete", "/tn", TASK, "/f"]))
    paths.state_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
    xml = paths.state_dir() / "boot_task.xml"
    user = f"{os.environ['USERDOMAIN']}\\{os.environ['USERNAME']}"
    text = task_xml(Path(sys.executable), paths.PROJECT, args.config.absolute(), args.lan, user)
    xml.write_text(text, encoding="utf-16")
    code = _run(create(xml))
    print("schtasks did not take the task" if code else "The fleet starts at each boot", file=sys.stderr)
    return min(1, code)


def _run(command: list[str]) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30).returncode


if __name__ == "__main__":
    sys.exit(main())
