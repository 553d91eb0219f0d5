"""The fleet of tests/fleet.py as it is served on Windows: without gunicorn, stopped over standard input."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster import paths
from tests.fleet import RunningFleet

BLOCKED = [sys.executable, str(Path(__file__).with_name("blocked.py"))]
MODULES = {
    "balancer": ["balancer.serve", "traffic"],
    "balancer-control": ["balancer.serve", "control"],
    "node": ["node.serve"],
}


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Of a program that a keeper keeps."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    return outside | {
        "FAIRLEAD_CONFIG": str(folder / "config.json"),
        "FAIRLEAD_STATE": str(folder / "run"),
        "FAIRLEAD_RELEASE": "test",
        "FAIRLEAD_KEPT": "1",
        **more,
    }


class ServedFleet(RunningFleet):
    """Programs bind their own ports; `say_stop` is what the keeper says, `hang_up` what is heard when it dies."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        super().__init__(folder, config)
        self._listener.close()

    def _spawn(self, program: str) -> None:
        kind, _, node = program.partition("-") if program.startswith("node-") else (program, "", "")
        with (self.folder / "out" / program).open("ab") as out:
            self.processes[program] = subprocess.Popen(
                [*BLOCKED, *MODULES[kind]],
                cwd=paths.PROJECT,
                env=environment(self.folder, FAIRLEAD_NODE=node),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
            )

    def workers(self, program: str) -> list[int]:
        """There are none beside the process itself."""
        return []

    def say_stop(self, program: str) -> None:
        """Ask it to stop; the pipe stays open."""
        pipe = self.processes[program].stdin
        assert pipe is not None
        pipe.write(b"stop\n")
        pipe.flush()

    def hang_up(self, program: str) -> None:
        """Let go of the pipe, as a keeper that dies."""
        pipe = self.processes[program].stdin
        assert pipe is not None
        pipe.close()

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            if process.stdin is not None:
                process.stdin.close()
