"""One connection's worth of requests: JSON objects in on standard input, answers out, one a line.

in    {"id": 7, "op": "restart", "args": {...}, "limit_s": 60}      {"beat": 1} every few seconds
out   {"id": 7, "note": "waits for node-l1"} any number of times, then {"id": 7, "ok": ...} or {"id": 7, "error": ...}
      {"beat": 1} for each beat, also while a request is carried out

The operator may vanish at any moment. That shows as the end of input, or as silence; a request in hand is then carried
to its end, what the connection held is taken back in reverse order, and the process ends. A request over its limit ends
the process, too: a host must not be left with something that waits for ever.
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from deploy.agent.machine import Machine
from deploy.agent.place import Place, Refused

SILENCE_S = 30.0
"""So long without a word from the operator, and it is taken for gone. It says something every 5 s."""
OVERRUN_S = 20.0
"""How much longer than its own limit a request may take, because parts of it keep limits of their own."""


class Session:
    """What the operations share: the place, the machine, and what to take back at the end."""

    def __init__(self, place: Place, machine: Machine, say: Callable[[dict[str, Any]], None]) -> None:
        self.place = place
        self.machine = machine
        self.who = "operator"
        self.deadline = float("inf")
        self._say = say
        self._id = 0
        self._undo: dict[str, Callable[[], object]] = {}

    def note(self, text: str) -> None:
        """Tell the operator what is done now."""
        self._say({"id": self._id, "note": text})

    def left_s(self, most: float = float("inf")) -> float:
        """Seconds until the request in hand must have ended, at least a tenth."""
        return max(0.1, min(most, self.deadline - time.monotonic()))

    def hold(self, key: str, undo: Callable[[], object]) -> None:
        """Call `undo` at the end of the connection, unless `release`d before."""
        self._undo[key] = undo

    def release(self, key: str, undo: bool = False) -> bool:
        """Forget, or take back now, what is held under `key`; whether there was such a thing."""
        action = self._undo.pop(key, None)
        if action is not None and undo:
            action()
        return action is not None

    def take_all_back(self) -> None:
        """The newest first; what fails does not keep the others."""
        while self._undo:
            _, action = self._undo.popitem()
            self.deadline = time.monotonic() + 90
            try:
                action()
            except Exception:
                traceback.print_exc()
        self.deadline = float("inf")

    def handle(self, request: dict[str, Any], operations: dict[str, Callable[..., Any]]) -> None:
        """Carry out one request and answer it. Nothing is raised."""
        self._id = request["id"]
        self.deadline = time.monotonic() + request["limit_s"]
        try:
            operation = operations[request["op"]]
            self._say({"id": self._id, "ok": operation(self, **request["args"])})
        except Refused as error:
            self._say({"id": self._id, "error": {"kind": error.kind, "text": str(error), "log": error.log}})
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            kind = "room" if error.errno == 28 else "failed"
            self._say({"id": self._id, "error": {"kind": kind, "text": f"{where}{error.strerror or error}", "log": []}})
        except Exception as error:
            log = traceback.format_exc().splitlines()[-12:]
            text = f"{type(error).__name__}: {error}"
            self._say({"id": self._id, "error": {"kind": "failed", "text": text, "log": log}})
        finally:
            self.deadline = float("inf")


class Line:
    """The wire: lines in and out. The writer never raises; an operator who is gone needs no answer."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self.heard_at = time.monotonic()
        self.ended = False
        self.requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._source, self._sink = source, sink
        self._lock = threading.Lock()

    def read(self) -> None:
        """Until the end of input; requests go into the queue, then None."""
        for line in iter(self._source.readline, b""):
            self.heard_at = time.monotonic()
            try:
                message = json.loads(line)
            except ValueError:
                break
            if "op" in message:
                self.requests.put(message)
            else:
                self.say({"beat": 1})
        self.ended = True
        self.requests.put(None)

    def say(self, message: dict[str, Any]) -> None:
        """Send a line."""
        try:
            with self._lock:
                self._sink.write(json.dumps(message).encode() + b"\n")
                self._sink.flush()
        except (OSError, ValueError):
            self.ended = True


def serve(operations: dict[str, Callable[..., Any]], machine: Machine, source: BinaryIO, sink: BinaryIO) -> None:
    """Requests until the operator has gone, one after the other."""
    line = Line(source, sink)
    session = Session(Place(Path(machine.root)), machine, line.say)
    threading.Thread(target=line.read, daemon=True).start()
    over = threading.Event()
    threading.Thread(target=_watch, args=(line, session, over), daemon=True).start()
    while not line.ended or not line.requests.empty():
        request = line.requests.get()
        if request is None:
            break
        session.handle(request, operations)
    session.take_all_back()
    over.set()


def _watch(line: Line, session: Session, over: threading.Event) -> None:
    while not over.wait(1):
        now = time.monotonic()
        if now - line.heard_at > SILENCE_S and not line.ended:
            line.ended = True
            line.requests.put(None)  # wakes the loop, which then takes everything back
        if now > session.deadline + OVERRUN_S:
            print(f"a request took {OVERRUN_S:g} s longer than it may: this connection ends", file=sys.stderr)
            session.take_all_back()
            os._exit(3)
