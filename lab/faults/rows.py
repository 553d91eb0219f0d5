"""What came of a fault: one row for each balancer, counted from what the clients saw and the nodes noted. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypedDict

SLOW_MS = 1000.0
LAST_S = 1.5  # a client without a whole answer in so long before the end is stuck


class Record(NamedTuple):
    """One request as a client saw it."""

    at: float
    """Begun, monotonic seconds."""
    ms: float
    client: int
    method: str
    """GET, POST, or - for a connection that was cut while idle."""
    outcome: str
    """ok, the status, or refused, cut, cut short, garbage, wrong, timeout, idle-cut."""
    node: str
    """Who answered; "" when nobody did."""

    @property
    def bad(self) -> bool:
        """Failed or slow."""
        return self.outcome != "ok" or self.ms > SLOW_MS

    @property
    def ended(self) -> float:
        return self.at + self.ms / 1e3


class Row(TypedDict):
    """One fault and one balancer. Times count from the injection unless their name says otherwise."""

    fault: str
    balancer: str
    sent: int
    """Requests that began after the injection or were under way then."""
    failed_get: dict[str, int]
    """By what the client saw."""
    failed_post: dict[str, int]
    executed_twice: int
    """POSTs that nodes executed more than once."""
    idle_cut: int
    """Kept connections that were closed without a word while they lay idle."""
    slow: int
    """Answered after more than a second."""
    max_ms: float
    """Longest until its answer or its failure."""
    normal_p99_ms: float
    """Before the injection."""
    p99_ms: float
    """From the injection on."""
    hit_for_s: float
    """Until the last request that failed or was slow began."""
    whole_after_s: float
    """Until the last request that failed or was slow ended; 0: none did."""
    back_after_s: float | None
    """From the fault being taken back to the first answer of what had been broken; None: not asked, or never."""
    in_flight: int | None
    """At the end, as the balancer itself counts; None: not asked."""
    stuck: int
    """Clients that got nothing in the last 1.5 s."""
    measured: dict[str, float]
    """What only this fault measures; units are in the names."""
    notes: list[str]
    missed: list[str]
    """Promises that were not kept, in words."""


Promise = Callable[[Row], str | None]
"""Says what was not kept; None when all was."""


def row(
    fault: str,
    balancer: str,
    records: Sequence[Record],
    *,
    injected: float,
    taken_back: float | None,
    watched: Iterable[str],
    executed: Counter[str],
) -> Row:
    """Count. `watched`: the nodes that were broken; `executed`: how often nodes did each POST."""
    asked = [r for r in records if r.method != "-"]
    during = [r for r in asked if r.ended >= injected]
    answered = [r.ms for r in during if r.outcome == "ok"]
    bad = [r for r in during if r.bad]
    end = max((r.ended for r in asked), default=0.0)
    alive = {r.client for r in asked if r.outcome == "ok" and r.ended >= end - LAST_S}
    nodes = set(watched)
    back = [r.ended for r in asked if taken_back and r.at >= taken_back and r.outcome == "ok" and r.node in nodes]
    return Row(
        fault=fault,
        balancer=balancer,
        sent=len(during),
        failed_get=_failed(during, "GET"),
        failed_post=_failed(during, "POST"),
        executed_twice=sum(times > 1 for times in executed.values()),
        idle_cut=sum(r.outcome == "idle-cut" for r in records),
        slow=sum(ms > SLOW_MS for ms in answered),
        max_ms=round(max((r.ms for r in during), default=0.0), 1),
        normal_p99_ms=_p99([r.ms for r in asked if r.ended < injected]),
        p99_ms=_p99(answered),
        hit_for_s=round(max((r.at - injected for r in bad), default=0.0), 2),
        whole_after_s=round(max((r.ended - injected for r in bad), default=0.0), 2),
        back_after_s=round(min(back) - taken_back, 2) if taken_back and back else None,
        in_flight=None,
        stuck=len({r.client for r in asked} - alive),
        measured={},
        notes=[],
        missed=[],
    )


def _failed(records: Iterable[Record], method: str) -> dict[str, int]:
    return dict(Counter(r.outcome for r in records if r.method == method and r.outcome != "ok").most_common())


def _p99(values: list[float]) -> float:
    return round(sorted(values)[int(len(values) * 0.99)], 1) if values else 0.0


# -- promises --------------------------------------------------------------------------------------------------------


def always(row: Row) -> Iterable[str]:
    """What no fault may bring about. Yields what was not kept."""
    if row["executed_twice"]:
        yield f"{row['executed_twice']} POST executed twice"
    if row["stuck"]:
        yield f"{row['stuck']} clients stuck at the end"
    if row["in_flight"]:
        yield f"{row['in_flight']} in flight at the end"
    for wrong in ("garbage", "wrong"):
        if count := row["failed_get"].get(wrong, 0) + row["failed_post"].get(wrong, 0):
            yield f"{count} {wrong} answers"


def gets(at_most: int, *kinds: str) -> Promise:
    """So many GETs may fail, and only in these ways."""
    return lambda row: _too_many("GET", row["failed_get"], at_most, kinds)


def posts(at_most: int, *kinds: str) -> Promise:
    """So many POSTs may fail, and only in these ways."""
    return lambda row: _too_many("POST", row["failed_post"], at_most, kinds)


def _too_many(method: str, failed: dict[str, int], at_most: int, kinds: tuple[str, ...]) -> str | None:
    total = sum(failed.values())
    if total > at_most:
        return f"{total} {method} failed, not at most {at_most}"
    others = [kind for kind in failed if kind not in kinds]
    return f"{method} failed with {', '.join(others)}" if others else None


def at_most(key: str, limit: float, what: str) -> Promise:
    """A figure of the row, or one that the fault measured, stays within its limit. `what`: the figure in words."""

    def check(row: Row) -> str | None:
        value = row["measured"].get(key, row.get(key))
        if value is None:
            return f"{what}: never"
        return f"{what}: {value:g}, not at most {limit:g}" if float(str(value)) > limit else None

    return check
