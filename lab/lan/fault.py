"""What a fault is: a kind, a host, and how much. Pure; `faults.py` brings it about."""

from dataclasses import asdict, dataclass
from typing import Any

from lab.lan.errors import LanError

DIRECTIONS = ("both", "in", "out")
# What may be said of each kind, and what must be.
MAY_SAY: dict[str, tuple[str, ...]] = {
    "partition": ("direction", "peer"),
    "loss": ("direction", "peer", "percent"),
    "delay": ("direction", "delay_ms", "jitter_ms"),
    "bandwidth": ("direction", "kbytes_s"),
    "freeze": (),
    "disk-full": ("leave_kb",),
    "kill": (),
}
MUST_SAY = {"loss": "percent", "delay": "delay_ms", "bandwidth": "kbytes_s"}
DOES = {
    "partition": "no frame passes: from and to everybody, one way, or between two hosts",
    "loss": "a share of the frames is lost",
    "delay": "every frame arrives later, with jitter, in order",
    "bandwidth": "so many kilobytes a second, with a queue of 0.2 s before frames are lost",
    "freeze": "all its processes stop; its kernel still answers",
    "disk-full": "nothing more can be written, except /run and /dev/shm",
    "kill": "power cut: all its processes die at once; its disk stays",
}
RANGES = {
    "percent": (0.001, 100.0),
    "delay_ms": (0.1, 10_000.0),
    "jitter_ms": (0.0, 10_000.0),
    "kbytes_s": (1.0, 1_000_000.0),
    "leave_kb": (0.0, 1e9),
}


@dataclass(frozen=True)
class Fault:
    """One fault of one host. Of the same kind, host, direction and peer there is one; a new one takes its place.

    Raises LanError when a value is missing, not of this kind or out of range.
    """

    host: str
    kind: str
    direction: str = "both"
    """Seen from the host: `in` is what it would receive, `out` what it sends."""
    peer: str | None = None
    """Only between these two."""
    percent: float | None = None
    delay_ms: float | None = None
    """One way: a round trip takes twice as long."""
    jitter_ms: float | None = None
    """Each frame's delay is drawn evenly from delay_ms - jitter_ms to delay_ms + jitter_ms."""
    kbytes_s: float | None = None
    leave_kb: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in MAY_SAY:
            raise LanError(f"fault {self.kind!r}: there are {', '.join(MAY_SAY)}")
        if self.direction not in DIRECTIONS:
            raise LanError(f"direction {self.direction!r}: say {', '.join(DIRECTIONS)}")
        said = {name for name, value in asdict(self).items() if value not in (None, "both")} - {"host", "kind"}
        if wrong := said - set(MAY_SAY[self.kind]):
            may = ", ".join(MAY_SAY[self.kind]) or "nothing"
            raise LanError(f"{self.kind} knows no {', '.join(sorted(wrong))}; it takes {may}")
        if (must := MUST_SAY.get(self.kind)) and must not in said:
            raise LanError(f"{self.kind} needs {must}")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise LanError(f"{name} {value:g}: say {least:g} to {most:g}")
        if (self.jitter_ms or 0.0) > (self.delay_ms or 0.0):
            raise LanError(f"jitter_ms {self.jitter_ms:g} is more than delay_ms {self.delay_ms or 0:g}")
        if self.peer == self.host:
            raise LanError(f"peer {self.peer}: a host has no cable to itself")

    @property
    def place(self) -> tuple[str, str, str, str | None]:
        """What makes two faults the same one."""
        return self.host, self.kind, self.direction, self.peer

    def describe(self) -> str:
        """For a table: `loss 5 % in`."""
        parts = [self.kind]
        parts += [f"{self.percent:g} %"] if self.percent is not None else []
        parts += [f"{self.delay_ms:g}±{self.jitter_ms or 0:g} ms"] if self.delay_ms is not None else []
        parts += [f"{self.kbytes_s:g} kB/s"] if self.kbytes_s is not None else []
        parts += [f"but {self.leave_kb:g} kB"] if self.leave_kb else []
        parts += [self.direction] if self.direction != "both" else []
        parts += [f"with {self.peer}"] if self.peer else []
        return " ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Without what it does not say."""
        return {name: value for name, value in asdict(self).items() if value is not None}
