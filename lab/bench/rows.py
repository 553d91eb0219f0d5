"""From what was counted to one row of each balancer and scenario. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypedDict

from lab.bench.load import Load

SATURATED_PCT = 90.0
LEAST_CPU_S = 0.01  # one clock tick: nothing shorter can be told apart


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one balancer. CPU seconds are differences over the round."""

    load: Load
    sent_bytes: int
    """Request bodies."""
    elapsed_s: float
    traffic_cpu_s: float
    control_cpu_s: float
    load_cpu_s: float
    """wrk and the nodes."""
    other_cpu_s: float
    """Everything else on the machine: none of it is wanted."""
    rss_mb: float
    control_rss_mb: float

    @property
    def cpu_s(self) -> float:
        """Of the whole balancer; at least one clock tick, so that one can divide by it."""
        return max(LEAST_CPU_S, self.traffic_cpu_s + self.control_cpu_s)


class Row(TypedDict):
    """One line of the table. Figures are medians over the rounds; `errors` is their sum."""

    scenario: str
    balancer: str
    requests_per_cpu_s: float
    bytes_per_cpu_s: float  # bodies both ways and the heads of answers
    p50_ms: float
    p99_ms: float
    rss_mb: float  # of all its processes; pages that they share count once
    errors: int
    requests_per_s: float
    spread_pct: float  # of requests_per_cpu_s: highest less lowest round, in percent of the median
    cpu_pct: float  # of the CPU that the balancer has to itself
    control_cpu_pct: float  # the part of it that its control process took
    control_rss_mb: float  # the part of rss_mb that is its control process
    load_cpu_pct: float  # of the CPU that wrk and the nodes share
    other_cpu_pct: float  # of one CPU: what did not belong to the bench
    limit: str  # which side had no CPU left: balancer, load or none
    vs_haproxy: float | None  # requests_per_cpu_s against that balancer's; None when it was not measured
    vs_envoy: float | None
    vs_caddy: float | None
    vs_naive: float | None
    rounds: int
    seconds: int  # a round


def row(scenario: str, balancer: str, samples: Sequence[Sample], seconds: int) -> Row:
    """The row of these rounds, without its ratios."""

    def middle(value: Callable[[Sample], float], digits: int) -> float:
        return round(median([value(sample) for sample in samples]), digits)

    rates = [sample.load.requests / sample.cpu_s for sample in samples]
    cpu_pct = middle(lambda s: 100 * s.cpu_s / s.elapsed_s, 1)
    load_cpu_pct = middle(lambda s: 100 * s.load_cpu_s / s.elapsed_s, 1)
    return Row(
        scenario=scenario,
        balancer=balancer,
        requests_per_cpu_s=round(median(rates), 1),
        bytes_per_cpu_s=middle(lambda s: (s.load.received_bytes + s.sent_bytes) / s.cpu_s, 0),
        p50_ms=middle(lambda s: s.load.p50_ms, 3),
        p99_ms=middle(lambda s: s.load.p99_ms, 3),
        rss_mb=middle(lambda s: s.rss_mb, 1),
        errors=sum(sample.load.errors for sample in samples),
        requests_per_s=middle(lambda s: s.load.requests / s.load.duration_s, 1),
        spread_pct=round(100 * (max(rates) - min(rates)) / (median(rates) or 1), 1),
        cpu_pct=cpu_pct,
        control_cpu_pct=middle(lambda s: 100 * s.control_cpu_s / s.elapsed_s, 1),
        control_rss_mb=middle(lambda s: s.control_rss_mb, 1),
        load_cpu_pct=load_cpu_pct,
        other_cpu_pct=middle(lambda s: 100 * s.other_cpu_s / s.elapsed_s, 1),
        limit="balancer" if cpu_pct >= SATURATED_PCT else "load" if load_cpu_pct >= SATURATED_PCT else "none",
        vs_haproxy=None,
        vs_envoy=None,
        vs_caddy=None,
        vs_naive=None,
        rounds=len(samples),
        seconds=seconds,
    )


def add_ratios(rows: Sequence[Row]) -> None:
    """Set the ratios of each row from the rows of the same scenario."""
    rates = {(row["scenario"], row["balancer"]): row["requests_per_cpu_s"] for row in rows}
    for each in rows:
        peers = [rates.get((each["scenario"], peer)) for peer in ("haproxy", "envoy", "caddy", "naive")]
        each["vs_haproxy"], each["vs_envoy"], each["vs_caddy"], each["vs_naive"] = [
            round(each["requests_per_cpu_s"] / peer, 3) if peer else None for peer in peers
        ]


def rotated(keys: Sequence[str], turn: int) -> list[str]:
    """The order of one round: each balancer is first in turn, so that none always follows the same one."""
    turn %= len(keys)
    return [*keys[turn:], *keys[:turn]]
