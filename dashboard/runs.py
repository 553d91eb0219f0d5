"""A program of `lab/` that the page has started: demo traffic, a comparison. The dashboard imports nothing of it; it
starts it, reads what it says, line by line, and can end it.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
from gevent import subprocess

MAX_LINE = 65536
STOP_S = 10.0
GOOD_CODES = (0, 3)
"""3: measured, but with a reservation that it states itself."""


Reads = Callable[[str, dict[str, Any]], dict[str, Any]]


class Run:
    """One child process. `reads` makes progress of a line and the progress before; `ended` is called once."""

    def __init__(
        self,
        about: dict[str, Any],
        reads: Reads,
        ended: Callable[["Run"], None],
    ) -> None:
        self.about = about
        self._reads = reads
        self.state = "running"  # then: done, stopped, failed
        self.error = ""
        self.progress: dict[str, Any] = {}
        self.began_at = time.time()
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], project: Path, environment: dict[str, str]) -> None:
        """Start `python -m` with this. OSError when the system does not let us."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        gevent.spawn(self._follow, self._process)

    def stop(self) -> None:
        """End it, kindly first. Does not wait."""
        if self._process is not None and self.state == "running":
            self.state = "stopped"
            gevent.spawn(self._end, self._process)

    def view(self) -> dict[str, Any]:
        """For the page."""
        return {
            "about": self.about,
            "state": self.state,
            "error": self.error,
            "began_at": round(self.began_at, 1),
            "progress": self.progress,
        }

    def _follow(self, process: "subprocess.Popen[bytes]") -> None:
        said = ""
        while data := process.stdout.readline(MAX_LINE):  # type: ignore[union-attr]
            line = data.decode("utf-8", "replace").strip()
            if line:
                said = line
                self.progress = self._reads(line, self.progress)
        process.stdout.close()  # type: ignore[union-attr]
        code = process.wait()
        if self.state == "running":
            self.state = "done" if code in GOOD_CODES else "failed"
            if code:
                self.error = said[:300] or f"it ended with exit code {code}"
        self._ended(self)

    @staticmethod
    def _end(process: "subprocess.Popen[bytes]") -> None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
