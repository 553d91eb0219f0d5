"""Whether a program that was started is well: asked until it has said so, or cannot become well."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from deploy.agent.machine import Supervises
from deploy.agent.place import Refused, tail
from deploy.agent.session import Session
from deploy.processes import Process

LOG_LINES = 12
POLL_S = 0.06


class Gate:
    """Lets a process pass after so many good answers in a row."""

    def __init__(self, name: str, passes: int, look: Callable[[Process], tuple[bool, str]]) -> None:
        """`name`: as shown. `look`: whether it is well, and what it said."""
        self.name = name
        self.pid = 0
        self.said = "no answer"
        self.broken = False
        self._look = look
        self._left = self._passes = passes
        self._ends = set[float]()

    @property
    def open(self) -> bool:
        """Whether it has passed."""
        return self._left <= 0

    def ask(self, process: Process) -> None:
        """Once more."""
        if process.state in ("BACKOFF", "FATAL", "EXITED"):
            self._ends.add(process.stopped_at or process.started_at)
            self.said = f"it ends right after its start ({process.description})"
            self.broken = process.state == "FATAL" or len(self._ends) > 1
        if not process.pid or self.broken:
            return
        well, answer = self._look(process)
        self.said = answer or self.said
        if not well or process.pid != self.pid:
            self._left = self._passes
        self._left -= well
        self.pid = process.pid

    def refused(self, process: Process, marks: dict[str, int]) -> Refused:
        """Why nobody passes, with what the process has logged from `marks[process id]` on."""
        return Refused(
            "gate", f"{self.name}: {self.said}", tail(Path(process.log), LOG_LINES, marks.get(process.id, 0))
        )


def until_open(session: Session, rpc: Supervises, gates: list[Gate], marks: dict[str, int]) -> None:
    """Until all have passed; else the first that cannot is `Gate.refused`."""
    found: dict[str, Process] = {}
    while waiting := [gate for gate in gates if not gate.open]:
        if session.left_s() <= 0.1:
            break
        found = {process.name: process for process in rpc.processes()}
        for gate in waiting:
            gate.ask(found[gate.name])
        if any(gate.broken for gate in gates):
            break
        time.sleep(POLL_S)
    for gate in sorted(gates, key=lambda gate: not gate.broken):
        if not gate.open:
            found = found or {process.name: process for process in rpc.processes()}
            raise gate.refused(found[gate.name], marks)


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
