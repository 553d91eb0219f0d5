"""The figures of a run, and whether to believe them. Pure.

Percentiles are of all requests that were to be sent, from the intended moment. A run in which the generator itself was
late or out of breath is invalid, and said to be: its latencies are the generator's, not the target's. The way out is a
lower rate, a machine of its own for the generator, or Locust's workers.
"""

from collections.abc import Sequence
from typing import Any, TypedDict, cast

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from lab.load.records import Records

MOST_LAG = 0.05
"""Of the latency, for the lag: median against median, p99 against p99."""
MOST_CPU = 0.8
"""Of one CPU, for the generator."""
PERCENTILES = (50, 90, 95, 99, 99.9)
_LONGEST_US = 3_600_000_000


class Latency(TypedDict):
    """In ms; a percentile is None with fewer than ten samples beyond it."""

    n: int
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    hdr_b64: str  # HdrHistogram, V2 compressed, microseconds, 3 digits


class Summary(TypedDict):
    """A run, as JSON."""

    offered_rps: float
    achieved_rps: float  # good answers a second, until the last one came
    duration_s: float
    wall_s: float
    latency: Latency
    by_kind: dict[str, Latency]
    by_node: dict[str, int]
    outcomes: dict[str, int]
    lag: dict[str, float | None]  # p50_ms, p99_ms, max_ms: sent later than intended
    generator_cpu: float  # share of one CPU
    valid: bool
    why_invalid: list[str]


def summarize(records: Records) -> Summary:
    """All of it."""
    why = problems(records)
    lags = records.lags_ms()
    return Summary(
        offered_rps=round(len(records) / records.duration_s, 3),
        achieved_rps=round(float(np.sum(records.ok)) / max(records.duration_s, _last_s(records)), 3),
        duration_s=round(records.duration_s, 3),
        wall_s=round(records.wall_s, 3),
        latency=latency(records.latencies_ms()),
        by_kind={kind: latency(records.of_kind(kind).latencies_ms()) for kind in records.kinds},
        by_node=records.by_node(),
        outcomes=records.counts(),
        lag={
            "p50_ms": _rounded(np.quantile(lags, 0.5)) if len(lags) else None,
            "p99_ms": _rounded(np.quantile(lags, 0.99)) if len(lags) else None,
            "max_ms": _rounded(np.max(lags)) if len(lags) else None,
        },
        generator_cpu=round(records.cpu_share, 3),
        valid=not why,
        why_invalid=why,
    )


def _last_s(records: Records) -> float:
    """From the first moment that counts to the last answer."""
    if not len(records):
        return 0.0
    done = records.rows["done_s"]
    return float(np.nanmax(done) - np.min(records.rows["due_s"])) if np.any(~np.isnan(done)) else 0.0


def problems(records: Records) -> list[str]:
    """Why the run cannot be believed; empty when it can."""
    found = []
    if not len(records):
        return ["no request was sent in the time that counts"]
    lags = records.lags_ms()
    unsent = len(records) - len(lags)
    if unsent:
        found.append(f"{unsent} of {len(records)} requests were never sent")
    if len(lags):
        for share in (0.5, 0.99):
            lag_ms, latency_ms = np.quantile(lags, share), np.quantile(records.latencies_ms(), share)
            if lag_ms > MOST_LAG * latency_ms:
                found.append(
                    f"the generator was late: p{100 * share:.0f} of its lag, {lag_ms:.1f} ms, is over {MOST_LAG:.0%} "
                    f"of that of the latency, {latency_ms:.1f} ms"
                )
    if records.cpu_share > MOST_CPU:
        found.append(f"the generator used {records.cpu_share:.0%} of its CPU (most: {MOST_CPU:.0%})")
    return found


def latency(latencies_ms: NDArray[np.float64]) -> Latency:
    """Figures of these latencies."""
    histogram = hdr(latencies_ms)
    n = len(latencies_ms)
    values: dict[str, float | None] = {}
    for percent in PERCENTILES:
        allowed = n * (100 - percent) / 100 >= 10 or (percent == 50 and n > 0)
        values[f"p{percent:g}".replace(".", "") + "_ms"] = (
            _rounded(histogram.get_value_at_percentile(percent) / 1e3) if allowed else None
        )
    mean_ms, max_ms = (_rounded(np.mean(latencies_ms)), _rounded(np.max(latencies_ms))) if n else (None, None)
    return cast(
        Latency, {"n": n, "mean_ms": mean_ms, **values, "max_ms": max_ms, "hdr_b64": histogram.encode().decode()}
    )


def hdr(latencies_ms: NDArray[np.float64]) -> Any:
    """An HdrHistogram of microseconds with three significant digits."""
    histogram = HdrHistogram(1, _LONGEST_US, 3)
    for us in np.clip(latencies_ms * 1e3, 1, _LONGEST_US).astype(int).tolist():
        histogram.record_value(us)
    return histogram


def merged(encoded: Sequence[str]) -> Any:
    """One histogram of several encoded ones. Percentiles are never averaged."""
    histogram = HdrHistogram(1, _LONGEST_US, 3)
    for text in encoded:
        histogram.decode_and_add(text)
    return histogram


def _rounded(value: Any) -> float:
    return round(float(value), 3)
