"""Things that go wrong on purpose.

    arrive -> crash? -> refuse? -> (body) -> error? -> (queue, slot) -> hang? -> slow? -> answer

Each fault has a probability, ends by itself, and says whether probes of `/-/health` suffer too. Several may be active:
each is drawn on its own; of refuse and error the first in the order above wins, hangs are sat out one after the other,
slow ones add up. A fault is a row in `KINDS`; what it does to a request is in `work.py`.
"""

import difflib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gevent.event import Event

from node.fields import BadField, flag, number, one_of, whole

MAX_ACTIVE = 32
DEFAULT_EXPIRES_S = 60.0

# kind -> (its own parameters, whether it also hits /-/health when nobody says). A process that refuses or hangs does
# so for everybody; one that is slow or broken in its work often looks well to a probe.
KINDS: dict[str, tuple[tuple[str, ...], bool]] = {
    "slow": (("add_ms", "jitter_ms", "factor"), False),
    "error": (("status",), False),
    "hang": ((), True),
    "refuse": ((), True),
    "crash": ((), True),  # the process dies, and the fault with it: once
}
COMMON = ("kind", "probability", "expires_s", "health")


@dataclass
class Fault:
    """One active fault."""

    id: int
    kind: str
    probability: float
    health: bool  # probes of /-/health suffer too
    expires_s: float  # as ordered
    ends_at: float  # by the clock of `Faults`
    add_ms: float = 0.0  # slow
    jitter_ms: float = 0.0  # slow: add_ms is drawn from add_ms - jitter_ms to add_ms + jitter_ms
    factor: float = 1.0  # slow
    status: int = 500  # error
    hits: int = 0
    ended: Event = field(default_factory=Event, repr=False)  # set when cleared before its time

    def view(self, now: float) -> dict[str, Any]:
        """As JSON."""
        own = {name: getattr(self, name) for name in KINDS[self.kind][0]}
        return {
            "id": self.id,
            "kind": self.kind,
            "probability": self.probability,
            "health": self.health,
            "expires_s": self.expires_s,
            "left_s": round(self.ends_at - now, 3),
            "hits": self.hits,
            **own,
        }


@dataclass(frozen=True)
class Verdict:
    """What the active faults do to one request."""

    crash: bool = False
    refuse: bool = False
    error: int | None = None  # status
    hangs: tuple[Fault, ...] = ()
    factor: float = 1.0
    add_ms: float = 0.0


class Faults:
    """The active faults of one node."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._active: list[Fault] = []
        self._ids = itertools.count(1)

    def active(self) -> list[Fault]:
        """Those that have not ended, oldest first."""
        now = self._clock()
        self._active = [fault for fault in self._active if fault.ends_at > now]
        return list(self._active)

    def view(self) -> list[dict[str, Any]]:
        """The active faults as JSON."""
        now = self._clock()
        return [fault.view(now) for fault in self.active()]

    def add(self, order: object) -> Fault:
        """Start the fault that `order` (parsed JSON) describes. BadField names what is wrong in it."""
        if not isinstance(order, dict):
            raise BadField("body", order, 'a JSON object such as {"kind": "slow", "add_ms": 500}')
        if "kind" not in order:
            raise BadField("kind", None, "one of " + ", ".join(KINDS))
        kind = one_of("kind", order["kind"], KINDS)
        own, health = KINDS[kind]
        for name in order:
            if name not in (*COMMON, *own):
                near = difflib.get_close_matches(str(name), (*COMMON, *own), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise BadField(str(name), order[name], f"left out: {kind} knows " + ", ".join((*COMMON, *own)) + hint)
        if len(self.active()) >= MAX_ACTIVE:
            raise BadField("kind", kind, f"added when fewer than {MAX_ACTIVE} faults are active; DELETE clears them")
        # Everything is read before an id is given, so that a bad order leaves no trace.
        probability = number("probability", order.get("probability", 1.0), 0, 1)
        expires_s = number("expires_s", order.get("expires_s", DEFAULT_EXPIRES_S), 0.001, 3600)
        also_health = flag("health", order.get("health", health))
        add_ms = number("add_ms", order.get("add_ms", 0 if "factor" in order else 500), 0, 60_000)
        jitter_ms = number("jitter_ms", order.get("jitter_ms", 0), 0, 60_000)
        factor = number("factor", order.get("factor", 1), 1, 1000)
        status = whole("status", order.get("status", 500), 400, 599)
        if kind != "slow":
            add_ms, jitter_ms, factor = 0.0, 0.0, 1.0
        ends_at = self._clock() + expires_s
        fault = Fault(
            next(self._ids), kind, probability, also_health, expires_s, ends_at, add_ms, jitter_ms, factor, status
        )
        self._active.append(fault)
        return fault

    def clear(self) -> int:
        """End all; how many there were."""
        cleared = self.active()
        self._active = []
        for fault in cleared:
            fault.ended.set()
        return len(cleared)

    def draw(self, rng: random.Random, health: bool = False) -> Verdict:
        """What happens to one request (or to one probe of /-/health). Every fault draws once, whatever the others
        drew, so that a seeded request meets the same fate each time."""
        hit: list[Fault] = []
        for fault in self.active():
            drawn = rng.random() < fault.probability
            if drawn and (fault.health or not health):
                fault.hits += 1
                hit.append(fault)
        factor = 1.0
        for fault in hit:
            factor *= fault.factor
        return Verdict(
            crash=any(fault.kind == "crash" for fault in hit),
            refuse=any(fault.kind == "refuse" for fault in hit),
            error=next((fault.status for fault in hit if fault.kind == "error"), None),
            hangs=tuple(fault for fault in hit if fault.kind == "hang"),
            factor=factor,
            add_ms=sum(max(0.0, fault.add_ms + _jitter(fault, rng)) for fault in hit),
        )

    def sit_out(self, fault: Fault) -> None:
        """Hang until the fault expires or is cleared."""
        fault.ended.wait(timeout=max(0.0, fault.ends_at - self._clock()))


def _jitter(fault: Fault, rng: random.Random) -> float:
    """Drawn only where there is some, so that a seeded request without it meets the same fate as ever."""
    return rng.uniform(-fault.jitter_ms, fault.jitter_ms) if fault.jitter_ms else 0.0
