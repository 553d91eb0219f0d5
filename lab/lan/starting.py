"""A script that is coming up: it prints a line at each step, reads a word when it may go on, and stays."""

import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.lan.errors import LanError


class Starting:
    """One of the LAN's scripts (keeper.sh, boot.sh, operator.sh), or a cable; started by `setsid --fork`.

    Its stderr goes to a log of the LAN's.
    """

    def __init__(self, argv: Sequence[str], who: str, log: Path) -> None:
        self.who, self.log = who, log
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin, self.process.stdout

    def line(self, limit: float) -> str:
        """The next line that it prints. LanError with the end of its log if none comes by `limit` (time.monotonic)."""
        if select.select([self._stdout], [], [], max(0.0, limit - time.monotonic()))[0]:
            line = self._stdout.readline()
            self.process.wait()  # what was started has forked; its child is what speaks
            if line.endswith(b"\n"):
                return line.decode().strip()
        said = self.log.read_text(errors="replace").strip().splitlines()[-5:]
        raise LanError(f"{self.who} did not come up: {' | '.join(said) or 'it said nothing'}")

    def tell(self, word: str) -> None:
        """Let it go on."""
        self._stdin.write(word.encode() + b"\n")

    def leave(self) -> None:
        """Close the pipes; what it left behind goes on."""
        self._stdin.close()
        self._stdout.close()
        self.process.wait()
