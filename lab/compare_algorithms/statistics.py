"""Is one algorithm faster than another? Paired by block, with intervals, and with the answer "cannot tell". Pure.

    latencies per block ─► one log-ratio a block ─► mean, t interval, bootstrap interval, p ─► Holm ─► verdict

A block is one schedule that every algorithm was given. Requests within a run depend on each other (a queue has memory),
so single requests are never tested: the blocks are the sample. Ratios are compared as logarithms, so that twice as slow
and twice as fast weigh the same. A difference inside the margin (3 % unless told) is of no interest to anybody.

Sources: two one-sided tests (Schuirmann 1987), Holm 1979, percentile bootstrap (Efron 1979), Student's t for whole
degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4).
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import atan, cos, exp, inf, isfinite, log, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA = 0.05
RESAMPLES = 10_000
LEAST_BLOCKS = 3
"""Below this there is no verdict, whatever the figures."""
MOST_MORE_BLOCKS = 999
"""More than this many is as good as never."""


class Verdict(StrEnum):
    """What may be said. Of a throughput, `faster` means more."""

    FASTER = "faster"
    SLOWER = "slower"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Interval:
    """From low to high."""

    low: float
    high: float

    def outside(self, margin: float) -> bool:
        """Whether all of it is beyond +-margin, on one side."""
        return self.low > margin or self.high < -margin

    def inside(self, margin: float) -> bool:
        """Whether all of it is within +-margin."""
        return -margin < self.low and self.high < margin


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of a candidate against the baseline. Ratios: below 1 is less than the baseline."""

    ratio: float
    """Geometric mean over the blocks."""
    ci95: Interval
    """t interval."""
    ci90: Interval
    bootstrap95: Interval
    p: float
    """Two-sided, of the hypothesis that the true ratio is within the margin."""
    p_holm: float
    """p after Holm's correction for the algorithms that were compared at once; p itself where there was one."""
    blocks: int
    block_ratios: tuple[float, ...]
    verdict: Verdict
    more_blocks: int | None
    """When inconclusive: about so many more would decide it; None: not foreseeable, or decided."""
    resolution_pct: float
    """Half of the 95 % interval: differences smaller than this could not be seen."""


# -- one figure of one run -------------------------------------------------------------------------------------------


def percentile(latencies: Floats, share: float) -> float:
    """The smallest latency that at least `share` (0..1) of them do not exceed; nan without any."""
    if not len(latencies):
        return float("nan")
    rank = max(1, int(np.ceil(share * len(latencies) - 1e-9)))
    return float(np.partition(latencies, rank - 1)[rank - 1])


MEASURES: dict[str, Callable[[Floats], float]] = {
    "mean": lambda latencies: float(np.mean(latencies)) if len(latencies) else float("nan"),
    "p50": lambda latencies: percentile(latencies, 0.50),
    "p90": lambda latencies: percentile(latencies, 0.90),
    "p99": lambda latencies: percentile(latencies, 0.99),
    "p999": lambda latencies: percentile(latencies, 0.999),
}
NEEDS_SAMPLES = {"mean": 1, "p50": 20, "p90": 100, "p99": 1_000, "p999": 10_000}
"""Ten samples must lie beyond a percentile, or it is noise."""


def measures_for(samples: int) -> list[str]:
    """The measures that a run of so many requests supports."""
    return [name for name, needed in NEEDS_SAMPLES.items() if samples >= needed]


def headline_measure(samples: int) -> str:
    """What the verdict is about, decided by nothing but the number of requests in a run: p99 where they support it,
    else the mean, which with few requests scatters least."""
    return "p99" if samples >= NEEDS_SAMPLES["p99"] else "mean"


# -- the blocks ------------------------------------------------------------------------------------------------------


def log_ratios(
    candidate: Sequence[Floats], baseline: Sequence[Floats], measure: Callable[[Floats], float]
) -> NDArray[np.float64]:
    """One logarithm a block, of candidate's measure over baseline's. `candidate[i]` and `baseline[i]` are the
    latencies of block i, in any one unit. Blocks in which either has no positive figure are left out.
    """
    if len(candidate) != len(baseline):
        raise ValueError(f"{len(candidate)} blocks of the candidate and {len(baseline)} of the baseline: not pairs")
    pairs = [(measure(a), measure(b)) for a, b in zip(candidate, baseline, strict=True)]
    return np.array([log(a / b) for a, b in pairs if isfinite(a) and isfinite(b) and a > 0 and b > 0])


def compare_each(
    candidates: Sequence[NDArray[np.float64]],
    rng: np.random.Generator,
    *,
    margin: float = 0.03,
    more_is_better: bool = False,
) -> list[Comparison]:
    """Judge several candidates against one baseline, each given by its log-ratios; Holm's correction is over them."""
    bound = log(1 + margin)
    ps = [p_beyond(values, bound) for values in candidates]
    return [
        _judge(values, p, p_holm, bound, rng, more_is_better)
        for values, p, p_holm in zip(candidates, ps, holm(ps), strict=True)
    ]


def _judge(
    values: NDArray[np.float64], p: float, p_holm: float, bound: float, rng: np.random.Generator, more_is_better: bool
) -> Comparison:
    mean = float(np.mean(values)) if len(values) else float("nan")
    ci95, ci90 = t_interval(values, 0.95), t_interval(values, 0.90)
    boot95, boot90 = bootstrap_intervals(values, (0.95, 0.90), rng)
    verdict = Verdict.INCONCLUSIVE
    if len(values) >= LEAST_BLOCKS:
        # Both must say so: t alone trusts in normality, the bootstrap alone is too narrow with few blocks.
        if p_holm < ALPHA and boot95.outside(bound):
            verdict = Verdict.FASTER if (mean > 0) is more_is_better else Verdict.SLOWER
        elif ci90.inside(bound) and boot90.inside(bound):
            verdict = Verdict.EQUIVALENT
    more = more_blocks(values, bound) if verdict is Verdict.INCONCLUSIVE else None
    return Comparison(
        ratio=exp(mean),
        ci95=_as_ratios(ci95),
        ci90=_as_ratios(ci90),
        bootstrap95=_as_ratios(boot95),
        p=p,
        p_holm=p_holm,
        blocks=len(values),
        block_ratios=tuple(float(np.exp(value)) for value in values),
        verdict=verdict,
        more_blocks=more,
        resolution_pct=100 * ((_exp(ci95.high - ci95.low)) ** 0.5 - 1),
    )


def _as_ratios(interval: Interval) -> Interval:
    return Interval(_exp(interval.low), _exp(interval.high))


def _exp(value: float) -> float:
    return exp(value) if value < 700 else inf


def t_interval(values: NDArray[np.float64], confidence: float) -> Interval:
    """Student's interval of the mean; everything when there are fewer than two values."""
    if len(values) < 2:
        return Interval(-inf, inf)
    half = t_quantile((1 + confidence) / 2, len(values) - 1) * _standard_error(values)
    mean = float(np.mean(values))
    return Interval(mean - half, mean + half)


def bootstrap_intervals(
    values: NDArray[np.float64], confidences: Sequence[float], rng: np.random.Generator
) -> list[Interval]:
    """Percentile intervals of the mean from `RESAMPLES` samples of whole blocks, drawn with replacement."""
    if len(values) < 2:
        return [Interval(-inf, inf) for _ in confidences]
    means = values[rng.integers(0, len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    edges = [np.quantile(means, [(1 - c) / 2, (1 + c) / 2]) for c in confidences]
    return [Interval(float(low), float(high)) for low, high in edges]


def p_beyond(values: NDArray[np.float64], bound: float) -> float:
    """Two-sided p of "the true mean is within +-bound": small when the blocks agree that it is beyond."""
    if len(values) < 2:
        return 1.0
    beyond = abs(float(np.mean(values))) - bound
    error = _standard_error(values)
    if beyond <= 0:
        return 1.0
    if error == 0:
        return 0.0
    return min(1.0, 2 * (1 - t_cdf(beyond / error, len(values) - 1)))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    out = [1.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        out[index] = highest
    return out


def more_blocks(values: NDArray[np.float64], bound: float) -> int | None:
    """About how many more blocks like these would decide it, if mean and scatter stay; None when not foreseeable."""
    if len(values) < 2:
        return None
    mean, spread = abs(float(np.mean(values))), float(np.std(values, ddof=1))
    distance = abs(mean - bound)
    confidence = 0.95 if mean > bound else 0.90

    def decided(blocks: int) -> bool:
        return t_quantile((1 + confidence) / 2, blocks - 1) * spread / sqrt(blocks) < distance

    candidates = range(max(LEAST_BLOCKS, len(values) + 1), len(values) + MOST_MORE_BLOCKS + 1)
    at = bisect_left(candidates, True, key=decided)
    return candidates[at] - len(values) if at < len(candidates) else None


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(np.std(values, ddof=1)) / sqrt(len(values))


# -- Student's t -----------------------------------------------------------------------------------------------------


def t_cdf(t: float, df: int) -> float:
    """P(T <= t) with `df` whole degrees of freedom, by the finite series."""
    theta = atan(t / sqrt(df))
    term = total = 1.0
    if df % 2:
        for k in range(3, df, 2):
            term *= cos(theta) ** 2 * (k - 1) / k
            total += term
        inner = theta + (sin(theta) * cos(theta) * total if df > 1 else 0.0)
        return 0.5 + inner / pi
    for k in range(2, df, 2):
        term *= cos(theta) ** 2 * (k - 1) / k
        total += term
    return 0.5 + sin(theta) * total / 2


@lru_cache(maxsize=1024)
def t_quantile(p: float, df: int) -> float:
    """The t that P(T <= t) = p, for 0.5 <= p < 1; by bisection."""
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return high
