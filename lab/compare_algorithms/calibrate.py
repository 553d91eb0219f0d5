"""How much load the fleet takes, found by trying: so that loads can be stated as a share of it.

A ladder: from an unloaded look upwards until the median latency is four times the unloaded one, or something fails.
The last rung is beyond capacity; what was worked off in its second half is the capacity. Where each request's work is
known, work is counted instead of requests, which takes the luck of the draw out of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from cluster.errors import StartError
from lab.load.records import Records
from lab.load.schedule import Schedule, draw
from lab.load.summary import problems
from lab.load.workload import Workload

STEP = 1.4
RUNG_S = 2.0
UNLOADED_RPS = 15.0
TIMES_UNLOADED = 4.0
MOST_RPS = 20_000.0
TRIES = 3


class Sender(Protocol):
    """Whatever sends a schedule: this process, or Locust's workers."""

    def run(self, schedule: Schedule) -> Records:
        """Send it all."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One try."""

    rate: float
    p50_ms: float
    failed: int
    worked_off_rps: float
    """In its second half."""
    saturated: bool
    problems: tuple[str, ...]
    overhead_ms: float | None = None
    """Median of what a request took beyond its service time; None: service times not said."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found."""

    capacity_rps: float
    unloaded_p50_ms: float
    overhead_ms: float | None
    """Beyond its service time, of a request that need not wait: network, balancer, generator. The least of all rungs:
    on the lowest an idle machine is slow to wake, on the highest requests wait. None: service times not said."""
    rungs: tuple[Rung, ...]
    limited_by: str
    """`fleet`, or `generator`: then the fleet's capacity is higher."""

    def as_json(self) -> dict[str, Any]:
        """As a dict."""
        return asdict(self)


def calibrate(sender: Sender, workload: Workload, seed: str, say: Callable[[str], None]) -> Calibration:
    """Climb. StartError when even the unloaded fleet does not answer."""
    unloaded = sender.run(draw(workload, UNLOADED_RPS, RUNG_S, f"{seed} unloaded"))
    if not np.any(unloaded.ok):
        raise StartError(f"no request was answered well: {unloaded.counts()}")
    p50_ms = float(np.median(unloaded.latencies_ms()))
    rungs: list[Rung] = []
    rate = UNLOADED_RPS * 2
    while True:
        rung = _climb(sender, workload, rate, f"{seed} rung {len(rungs)}", p50_ms)
        rungs.append(rung)
        say(f"{rate:6.0f}/s: p50 {rung.p50_ms:7.1f} ms{', saturated' if rung.saturated else ''}")
        if rung.saturated:
            overhead_ms = least_overhead_ms(unloaded, rungs)
            return Calibration(rung.worked_off_rps, p50_ms, overhead_ms, tuple(rungs), "fleet")
        if rung.problems or rate > MOST_RPS:
            good = [each.rate for each in rungs if not each.problems]
            capacity = max(good, default=rungs[0].rate)
            return Calibration(capacity, p50_ms, least_overhead_ms(unloaded, rungs), tuple(rungs), "generator")
        rate *= STEP


def _climb(sender: Sender, workload: Workload, rate: float, seed: str, unloaded_p50_ms: float) -> Rung:
    """One rung; a second and third time when the generator was disturbed, which may have been somebody else."""
    schedule = draw(workload, rate, RUNG_S, seed)
    for _ in range(TRIES):
        rung = judge(sender.run(schedule), workload, rate, unloaded_p50_ms)
        if not rung.problems:
            break
    return rung


def judge(records: Records, workload: Workload, rate: float, unloaded_p50_ms: float) -> Rung:
    """What one rung says."""
    p50_ms = float(np.median(records.latencies_ms()))
    failed = int(np.sum(~records.ok))
    return Rung(
        rate=rate,
        p50_ms=p50_ms,
        failed=failed,
        worked_off_rps=worked_off_rps(records, workload.mean_ms),
        saturated=failed > 0 or p50_ms > TIMES_UNLOADED * unloaded_p50_ms,
        problems=tuple(problems(records)),
        overhead_ms=overhead_of(records),
    )


def overhead_of(records: Records) -> float | None:
    """Median of what a request took beyond its service time, waiting included; None where nobody said that."""
    over = (records.rows["done_s"] - records.rows["due_s"]) * 1e3 - records.rows["service_ms"]
    over = over[~np.isnan(over)]
    return float(np.median(over)) if len(over) else None


def least_overhead_ms(unloaded: Records, rungs: Sequence[Rung]) -> float | None:
    """Of all rungs, the unloaded one included."""
    found = [overhead_of(unloaded), *(rung.overhead_ms for rung in rungs)]
    return min((each for each in found if each is not None), default=None)


def worked_off_rps(records: Records, mean_ms: float | None) -> float:
    """Requests a second that were worked off in the second half of the schedule. Where work and service time are known,
    it is the work done in that time, in units of the mean: a request that was begun before counts for its part in it.
    """
    done = records.rows[records.ok]
    half_s, end_s = records.duration_s / 2, records.duration_s
    if mean_ms is None or not len(done) or np.any(np.isnan(done["service_ms"])):
        return float(np.sum((done["done_s"] > half_s) & (done["done_s"] <= end_s))) / half_s
    service_s = np.maximum(done["service_ms"], 1e-6) / 1e3
    inside_s = np.minimum(done["done_s"], end_s) - np.maximum(done["done_s"] - service_s, half_s)
    work_ms = done["work_ms"] * np.clip(inside_s / service_s, 0, 1)
    return float(np.sum(work_ms)) / mean_ms / half_s
