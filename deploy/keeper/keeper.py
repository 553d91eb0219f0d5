"""Keeps a host's programs: starts them, starts them again, stops them in order, and says how they are."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from deploy.keeper.child import Child, Recipe
from deploy.keeper.program import Kept
from deploy.processes import Process

TURN_S = 0.1
REPORT_S = 5.0


class Keeper:
    """One thread calls `run`; any thread may ask for `processes` or give orders."""

    def __init__(self, recipes: list[Recipe], logs: Path, recipe_of: Callable[[str], Recipe] | None = None) -> None:
        self.tell: Callable[[str, dict[str, str]], None] = lambda event, fields: None
        """Hears of each change as of an event of Supervisor's, with its fields, and of TICK_5 every 5 s."""
        self._recipes = {recipe.name: recipe for recipe in recipes}
        self._recipe_of = recipe_of or self._recipes.__getitem__
        self._kept = {recipe.name: Kept(recipe.name) for recipe in recipes}
        self._children: dict[str, Child] = {}
        self._stop_by: dict[str, float] = {}
        self._logs = logs
        self._lock = threading.RLock()
        self._leaving = threading.Event()
        self._skew = time.time() - time.monotonic()

    def run(self) -> None:
        """Until `leave`; then everything is stopped: balancers first, while the nodes behind them still answer."""
        ticked = 0.0
        while not self._leaving.wait(TURN_S):
            self.turn(time.monotonic())
            if time.monotonic() - ticked > REPORT_S:
                ticked = time.monotonic()
                self.tell("TICK_5", {})
        first = [name for name in self._kept if name.partition(".")[0] == "balancer"]
        for batch in (first, [name for name in self._kept if name not in first]):
            for name in batch:
                self.stop(name)
            while any(self._kept[name].pid for name in batch):
                self.turn(time.monotonic())
                time.sleep(TURN_S)

    def leave(self) -> None:
        """Stop everything; `run` returns when all is gone."""
        self._leaving.set()

    def knows(self, name: str) -> bool:
        """Whether it keeps a program of that name."""
        return name in self._kept

    def release(self, name: str) -> str:
        """Folder that a program was started in last: where hosts are deployed to, the id of a release."""
        return self._recipes[name].directory.name

    def add(self, name: str) -> None:
        """Keep one more, and start it. KeyError when nobody knows how."""
        with self._lock:
            self._recipes[name] = self._recipe_of(name)
            self._kept.setdefault(name, Kept(name))

    def remove(self, name: str) -> None:
        """Forget a program that is stopped."""
        with self._lock:
            if not self._kept[name].pid:
                del self._kept[name], self._recipes[name]

    def start(self, name: str) -> None:
        """Start a program that was stopped by order, or now one that waits."""
        with self._lock:
            kept = self._kept[name]
            kept.wanted, kept.start_at = True, 0.0

    def stop(self, name: str) -> None:
        """Begin to stop a program; it stays stopped."""
        with self._lock:
            kept, child = self._kept[name], self._children.get(name)
            before = kept.state
            if before == "STOPPING":
                return
            kept.stopping()
            if child is not None:
                self._stop_by[name] = time.monotonic() + self._recipes[name].stop_wait_s
                child.ask_to_stop()
            self._note(kept, before)

    def restart(self, name: str) -> None:
        """Stop it in order and start it again when it is gone."""
        self.stop(name)
        self.start(name)

    def processes(self) -> list[Process]:
        """Every program, as Supervisor would say it."""
        with self._lock:
            now = time.monotonic()
            return [self._process(kept, now) for kept in self._kept.values()]

    def turn(self, now: float) -> None:
        """Look at each program once and do what is due."""
        with self._lock:
            for name, kept in list(self._kept.items()):
                child, before = self._children.get(name), kept.state
                if child is not None and (how := child.ended()) is not None:
                    del self._children[name]
                    self._stop_by.pop(name, None)
                    child.forget()
                    pid = kept.pid
                    if kept.state == "STOPPING" and kept.wanted:  # a restart
                        kept.pid, kept.state, kept.ended_at, kept.description = 0, "STOPPED", now, how
                    else:
                        kept.ended(how, now)
                    self._note(kept, before, pid)
                elif child is not None and now > self._stop_by.get(name, now):
                    self._stop_by[name] = now + 5
                    child.end()
                elif child is not None and kept.ran_on(now):
                    self._note(kept, before)
                if kept.is_due(now):
                    self._start(name, kept, now)

    def _start(self, name: str, kept: Kept, now: float) -> None:
        before = kept.state
        try:
            self._recipes[name] = self._recipe_of(name)
            child = Child(self._recipes[name], self._logs / f"{name}.log")
        except (OSError, ValueError, KeyError) as error:
            kept.ended(f"cannot be started: {getattr(error, 'strerror', None) or error}", now)
        else:
            self._children[name] = child
            kept.started(child.pid, now)
        self._note(kept, before)

    def _note(self, kept: Kept, before: str, pid: int = 0) -> None:
        if kept.state == before and kept.state != "BACKOFF":
            return
        fields = {
            "groupname": kept.name,
            "processname": kept.name,
            "from_state": before,
            "pid": str(pid or kept.pid),
            "tries": str(kept.ends),
            "expected": "0",
        }
        self.tell(f"PROCESS_STATE_{kept.state}", fields)

    def _process(self, kept: Kept, now: float) -> Process:
        return Process(
            name=kept.name,
            id=kept.name,
            state=kept.state,
            pid=kept.pid,
            started_at=kept.started_at + self._skew if kept.started_at else 0.0,
            stopped_at=kept.ended_at + self._skew if kept.ended_at else 0.0,
            uptime_s=now - kept.started_at if kept.pid else 0.0,
            description=kept.description,
            log=str(self._logs / f"{kept.name}.log"),
        )
