"""The process of one program: how it is started, what it prints, how it is told to stop, how it is ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cluster.logs import LineLog

LOG_BYTES = 5 * 1024 * 1024
LOGS_KEPT = 2


@dataclass(frozen=True)
class Recipe:
    """What to start."""

    name: str
    argv: list[str]
    directory: Path
    environment: dict[str, str]
    ours: bool
    """Ends when its standard input says so; a user's own program does not."""
    stop_wait_s: float


class Child:
    """A running process. What it prints goes to `log`, bounded in size."""

    def __init__(self, recipe: Recipe, log: Path) -> None:
        """OSError when it cannot be started."""
        self.recipe = recipe
        self._process = subprocess.Popen(
            recipe.argv,
            cwd=recipe.directory,
            env=recipe.environment,
            stdin=subprocess.PIPE if recipe.ours else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # for CTRL_BREAK to it alone
        )
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ended(self) -> str | None:
        """How it ended, in words; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        return f"exit status {code}" if code >= 0 else f"terminated by {signal.Signals(-code).name}"

    def ask_to_stop(self) -> None:
        """The polite way: over standard input for ours, by signal for the others (CTRL_BREAK on Windows)."""
        if self.recipe.ours:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):  # gone meanwhile
                self._process.stdin.close()
        elif sys.platform == "win32":
            with contextlib.suppress(OSError):  # without a console there is nobody to carry it; then it is ended
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self._process.terminate()

    def end(self) -> None:
        """The other way, with all that it started."""
        if sys.platform == "win32":
            # taskkill knows who is whose child; the handle alone would leave grandchildren behind.
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.pid)], capture_output=True, timeout=10)
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def forget(self) -> None:
        """After its end: what it left in the pipe is written, and nothing of it stays open here."""
        self._reader.join(2)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _read(self, path: Path) -> None:
        log = LineLog(path, LOG_BYTES, LOGS_KEPT)
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} pid {self.pid} starts")  # many a program says nothing itself
        log.flush()
        assert self._process.stdout is not None
        with self._process.stdout as source:
            while line := source.readline(65536):
                log.write(line.decode(errors="replace").rstrip("\r\n"))
                log.flush()
        log.close()
