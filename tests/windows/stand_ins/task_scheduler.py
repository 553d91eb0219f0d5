"""The Task Scheduler of a stand-in host: Windows' Python runs it from boot on, schtasks speaks to it.

Takes what Windows documents and does as it says: starts tasks at boot, at their times and when asked to, and none of
which an instance runs. A request is schtasks' words as a line of JSON, the answer its exit code.
https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
"""

import json
import math
import re
import socket
import subprocess
import sys
import time
import traceback
import xml.etree.ElementTree as ET
from datetime import datetime
from pathlib import Path

ADDRESS = ("127.0.0.1", 13500)
KEPT = Path("C:/tasks.json")
SCHEMA = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
DETACHED = 8 | 512
TURN_S = 0.2


class Task:
    """A registered task, and the instance of it that runs."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._task = ET.fromstring(text.encode("utf-16"))
        self._instance: subprocess.Popen[bytes] | None = None
        assert self._value("Settings/MultipleInstancesPolicy") == "IgnoreNew"
        assert self._value("Settings/Enabled") == "true"
        self.at_boot = self._value("Triggers/BootTrigger/Enabled") == "true"
        self._begins = datetime.fromisoformat(self._value("Triggers/TimeTrigger/StartBoundary")).timestamp()
        every = re.fullmatch(r"PT(\d+)M", self._value("Triggers/TimeTrigger/Repetition/Interval"))
        assert every, "a whole number of minutes"
        self._every_s = 60 * int(every[1])
        self.due = self._after(time.time())

    def start(self) -> None:
        """Start an instance, unless one runs."""
        self.due = self._after(time.time())
        if self._instance is None or self._instance.poll() is not None:
            line = f'"{self._value("Actions/Exec/Command")}" {self._value("Actions/Exec/Arguments")}'
            nothing, folder = subprocess.DEVNULL, self._value("Actions/Exec/WorkingDirectory")
            self._instance = subprocess.Popen(
                line, cwd=folder, stdin=nothing, stdout=nothing, stderr=nothing, creationflags=DETACHED
            )

    def _after(self, now: float) -> float:
        """When it repeats next."""
        return self._begins + self._every_s * math.ceil((now - self._begins) / self._every_s)

    def _value(self, path: str) -> str:
        found = self._task.findtext("/".join(SCHEMA + step for step in path.split("/")))
        assert found is not None, f"the task has no {path}"
        return found


class Scheduler:
    """The tasks of the host; they survive it in a file."""

    def __init__(self) -> None:
        texts = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        self._tasks = {name: Task(text) for name, text in texts.items()}

    def boot(self) -> None:
        """The host was turned on."""
        for task in self._tasks.values():
            if task.at_boot:
                task.start()

    def turn(self) -> None:
        """Start what is due."""
        for task in self._tasks.values():
            if time.time() >= task.due:
                task.start()

    def answer(self, words: list[str]) -> int:
        """/create /tn NAME /xml FILE /f, /delete /tn NAME /f, /run /tn NAME, /query /tn NAME."""
        verb, tn, name, *more = words
        assert tn == "/tn", words
        if verb == "/create":
            assert (more[0], more[2:]) == ("/xml", ["/f"]), words
            self._tasks[name] = Task(Path(more[1]).read_text("utf-16"))
            self._keep()
            return 0
        assert more == (["/f"] if verb == "/delete" else []), words
        if name not in self._tasks:
            return 1
        if verb == "/delete":
            del self._tasks[name]
            self._keep()
        elif verb == "/run":
            self._tasks[name].start()
        else:
            assert verb == "/query", words
        return 0

    def _keep(self) -> None:
        KEPT.write_text(json.dumps({name: task.text for name, task in self._tasks.items()}))


def ask(words: list[str]) -> int:
    """What schtasks does: the exit code."""
    with socket.create_connection(ADDRESS, 20) as connection, connection.makefile("rw") as lines:
        print(json.dumps(words), file=lines, flush=True)
        return int(lines.readline())


def main() -> None:
    """For as long as the host is on; what goes wrong is in its log."""
    scheduler = Scheduler()
    with socket.create_server(ADDRESS) as server:
        server.settimeout(TURN_S)
        scheduler.boot()
        while True:
            try:
                scheduler.turn()
                serve(scheduler, server)
            except Exception:
                traceback.print_exc()


def serve(scheduler: Scheduler, server: socket.socket) -> None:
    """One request, if there is one."""
    try:
        connection, _ = server.accept()
    except TimeoutError:
        return
    connection.settimeout(20)
    with connection, connection.makefile("rw") as lines:
        words, code = json.loads(lines.readline()), 1
        try:
            code = scheduler.answer(words)
        finally:
            print(time.strftime("%H:%M:%S"), *words, code, file=sys.stderr)
            print(code, file=lines, flush=True)


if __name__ == "__main__":
    main()
