"""From runs to figures: percentiles of each seed, ratios to the central queue, intervals over the seeds.

Ratios are paired: within a seed all rules were given the same requests, so what the seeds differ by cancels.
Percentiles of different seeds are never mixed; an interval is Student's t over the seeds' own figures.
"""

from collections.abc import Sequence
from math import inf, isfinite, sqrt
from typing import NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from lab.simulate.result import Result

METRICS = ("mean", "p50", "p90", "p99", "p999")
ENOUGH = {"p99": 1_000, "p999": 10_000}  # fewer requests than these do not carry the percentile
UNSTABLE = 60.0  # times the central queue: a queue that grows as long as the run lasts

# Student's t, two-sided 95 %, for 1 to 30 degrees of freedom
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class Estimate(NamedTuple):
    """A mean over seeds and half the width of its 95 % interval (0 for one seed)."""

    value: float
    half_width: float

    @property
    def upper(self) -> float:
        return self.value + self.half_width


class Figures(TypedDict):
    """One seed of one rule; times in ms over the measured requests, None where there were too few of them."""

    algorithm: str
    seed: int
    requests: int
    failed: int
    mean: float
    p50: float
    p90: float
    p99: float | None
    p999: float | None
    by_kind: dict[str, dict[str, float | None]]
    share: list[float]  # of the measured requests, by node; [] for a bound
    utilization: list[float]
    spectrum: list[float]  # latency at each of SPECTRUM


SPECTRUM = tuple(1 - 10 ** (-step / 8) for step in range(33))
"""Quantiles from 0 to 0.9999, evenly spaced in 1 / (1 - quantile)."""


def figures_of(result: Result) -> Figures:
    """What is kept of a run."""
    measured = result.measured
    latency_ms = result.latency_ms[measured]
    nodes = result.node[measured]
    count = result.scenario.count
    share = [] if not result.utilization else (np.bincount(nodes[nodes >= 0], minlength=count) / len(nodes)).tolist()
    kinds = result.kind[measured]
    times = _times(latency_ms)
    return Figures(
        algorithm=result.algorithm,
        seed=result.seed,
        requests=len(latency_ms),
        failed=int((~result.ok[measured]).sum()),
        mean=times["mean"] or 0.0,
        p50=times["p50"] or 0.0,
        p90=times["p90"] or 0.0,
        p99=times["p99"],
        p999=times["p999"],
        by_kind={name: _times(latency_ms[kinds == index]) for index, name in enumerate(result.kinds)},
        share=share,
        utilization=list(result.utilization),
        spectrum=[float(value) for value in np.quantile(latency_ms, SPECTRUM)],
    )


def _times(latency_ms: npt.NDArray[np.float64]) -> dict[str, float | None]:
    if not len(latency_ms):
        return dict.fromkeys(METRICS, None)
    p50, p90, p99, p999 = (float(value) for value in np.quantile(latency_ms, (0.5, 0.9, 0.99, 0.999)))
    all_of: dict[str, float] = {"mean": float(latency_ms.mean()), "p50": p50, "p90": p90, "p99": p99, "p999": p999}
    return {name: value if len(latency_ms) >= ENOUGH.get(name, 1) else None for name, value in all_of.items()}


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of independent values; (inf, 0) when one of them is not finite."""
    n = len(values)
    if not all(isfinite(value) for value in values):
        return Estimate(inf, 0.0)
    mean = sum(values) / n
    if n == 1:
        return Estimate(mean, 0.0)
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return Estimate(mean, (_T95[n - 2] if n <= 31 else 1.96) * deviation / sqrt(n))


def ratio(rows: Sequence[Figures], base: Sequence[Figures], metric: str, kind: str | None = None) -> Estimate | None:
    """Mean over the seeds of a metric / the same of `base` (in the same order of seeds); None: too few requests."""
    assert [row["seed"] for row in rows] == [row["seed"] for row in base]
    pairs = [(_value(row, metric, kind), _value(under, metric, kind)) for row, under in zip(rows, base, strict=True)]
    ratios = [above / under for above, under in pairs if above is not None and under]
    return estimate(ratios) if len(ratios) == len(pairs) else None


def over_seeds(rows: Sequence[Figures], metric: str, kind: str | None = None) -> Estimate | None:
    """Mean over the seeds of a metric in ms; None: too few requests."""
    values = [value for row in rows if (value := _value(row, metric, kind)) is not None]
    return estimate(values) if len(values) == len(rows) else None


def _value(row: Figures, metric: str, kind: str | None) -> float | None:
    value = row["by_kind"][kind][metric] if kind is not None else row[metric]  # type: ignore[literal-required]
    return None if value is None else float(value)
