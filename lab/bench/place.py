"""Where one balancer works in a run, and where programs are found."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.bench.scenarios import Setup

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
HEALTH = "/health"
MANY = 1_000_000_000
GIVEN: dict[str, str] = {}
"""Programs whose path was given on the command line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one balancer works in a run."""

    folder: Path
    """Its own: configuration, logs, state."""
    port: int
    """Traffic."""
    control_port: int
    """Free for whatever else it listens on."""
    nodes: Sequence[int]
    """Ports of the nodes, on loopback."""
    setup: Setup

    @property
    def certificate(self) -> Path:
        """For TLS, made for the run."""
        return self.folder.parent / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder.parent / "key.pem"

    @property
    def both(self) -> Path:
        """Certificate and key in one file."""
        return self.folder.parent / "both.pem"

    def make_certificate(self) -> None:
        """Write the three files, once for all balancers of a setup. The key is an RSA key of 2048 bits."""
        if self.both.exists():
            return
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        argv += ["-keyout", str(self.key), "-out", str(self.certificate)]
        subprocess.run(argv, check=True, capture_output=True)
        self.both.write_text(self.certificate.read_text() + self.key.read_text())


def find(program: str) -> str | None:
    """Where a program is; also where only root has it on the path."""
    return shutil.which(GIVEN.get(program, program), path=SEARCH)
