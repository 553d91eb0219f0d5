"""How a command of `fab` ends, for people, scripts and exit codes."""

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any


class Code(IntEnum):
    """Exit codes; the worst of what happened counts."""

    OK = 0
    FAILED = 1
    """Some hosts failed."""
    PENDING = 2
    """`plan`: there are changes. Every command: bad usage or config.json."""
    PREFLIGHT = 3
    """Something that must be so before anything is touched is not."""
    UNREACHABLE = 4
    """Some hosts could not be reached; the others are done."""
    REVERTED = 5
    """The new release is not good; every host is on the one before."""
    REVERT_FAILED = 6
    """The new release is not good, and not every host could be taken back."""
    LOCKED = 7
    """Somebody else deploys."""
    INTERRUPTED = 130
    """Ctrl-C."""


@dataclass
class HostResult:
    """What became of one host."""

    host: str
    roles: list[str]
    result: str = ""
    """new, changed, unchanged, reverted, unreachable, skipped, failed."""
    before: str = ""
    now: str = ""
    """Release that it is on."""
    took_s: float = 0.0
    detail: str = ""
    log: list[str] = field(default_factory=list)
    """Last lines of whoever failed."""


@dataclass
class TrafficResult:
    """What clients of the balancers saw meanwhile."""

    sent: int = 0
    failed: int = 0
    first_failure: str = ""
    p99_before_ms: float | None = None
    p99_ms: float | None = None

    def sentence(self) -> str:
        """`0 failed of 412, p99 6 -> 9 ms`."""
        if not self.sent:
            return "no requests were sent"
        before = "" if self.p99_before_ms is None else f"{self.p99_before_ms:.0f} -> "
        p99 = "" if self.p99_ms is None else f", p99 {before}{self.p99_ms:.0f} ms"
        why = f" (the first: {self.first_failure})" if self.failed else ""
        return f"{self.failed} failed of {self.sent}{why}{p99}"


@dataclass
class Outcome:
    """The whole of a command's result; `to_json` is what --json prints."""

    command: str
    fleet: str
    code: Code = Code.OK
    release: str = ""
    summary: str = ""
    hosts: list[HostResult] = field(default_factory=list)
    traffic: TrafficResult | None = None
    took_s: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        value = asdict(self)
        value.update(code=int(self.code), result=self.code.name.lower(), took_s=round(self.took_s, 2))
        value.update(value.pop("more"))
        return value
