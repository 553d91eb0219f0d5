"""When which request is sent, and how much work it is: drawn once from a seed. Pure.

Arrivals are drawn for a rate of 1 and then stretched to the wanted rate, so that a ramp is as exact as a fixed rate.
The same seed, workload, rate and length give the same schedule on every machine: comparisons replay it for each
algorithm, Locust's workers each send a part of it, the simulator runs it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from lab.load.workload import Workload

BURST_RATES = (1 / 3, 5 / 3)
"""Of the mean rate, in the two states of `bursts`."""
BURST_S = 2.0
"""Mean time in one of them."""
MOST_REQUESTS = 5_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Requests in the order of sending; all arrays have the same length."""

    workload: Workload
    seed: str
    duration_s: float
    drawn_rate: float
    """The rate that was asked for, at the start."""
    ramp_to: float | None
    """And at the end; None: the same."""
    at_s: NDArray[np.float64]
    """When each is to be sent, from the start."""
    kind: NDArray[np.int16]
    """Index into `workload.kinds`."""
    service_ms: NDArray[np.float64]
    """Work on a node of speed 1; nan: the node decides."""
    index: NDArray[np.int64]
    """Number of the request in the whole schedule, also in a part of it."""

    def __len__(self) -> int:
        return len(self.at_s)

    @property
    def kinds(self) -> Sequence[str]:
        """Names by index."""
        return list(self.workload.kinds)

    @property
    def rate(self) -> float:
        """Requests a second, as drawn."""
        return len(self) / self.duration_s

    def part(self, number: int, of: int) -> "Schedule":
        """Every `of`-th request, beginning with the `number`-th: what one of several generators sends."""
        chosen = slice(number, None, of)
        return Schedule(
            self.workload, self.seed, self.duration_s, self.drawn_rate, self.ramp_to,
            self.at_s[chosen], self.kind[chosen], self.service_ms[chosen], self.index[chosen],
        )  # fmt: skip


def draw(workload: Workload, rate: float, duration_s: float, seed: str, *, ramp_to: float | None = None) -> Schedule:
    """A schedule of `rate` requests a second over `duration_s`, or from `rate` straight to `ramp_to`. ValueError."""
    end_rate = rate if ramp_to is None else ramp_to
    expected = (rate + end_rate) / 2 * duration_s
    if not (rate >= 0 and end_rate >= 0 and duration_s > 0 and 0 < expected <= MOST_REQUESTS):
        raise ValueError(
            f"{rate:g} to {end_rate:g} requests a second over {duration_s:g} s are {expected:,.0f} requests:"
            f" give between 1 and {MOST_REQUESTS:,}"
        )
    # Each property has its own stream of numbers, so that another mix leaves the arrivals as they are.
    arrivals, kinds, sizes = (np.random.default_rng(part) for part in _entropy(seed).spawn(3))
    units = _unit_arrivals(workload.arrivals, expected, duration_s, arrivals)
    at_s = _stretched(units, rate, end_rate, duration_s)
    shares = np.array([kind.share for kind in workload.kinds.values()])
    kind = kinds.choice(len(shares), size=len(at_s), p=shares / shares.sum()).astype(np.int16)
    normal = sizes.standard_normal(len(at_s))
    service_ms = np.full(len(at_s), np.nan)
    for number, each in enumerate(workload.kinds.values()):
        if each.mean_ms is not None:
            variance = log(1 + each.scv)
            mine = kind == number
            service_ms[mine] = each.mean_ms * np.exp(sqrt(variance) * normal[mine] - variance / 2)
    return Schedule(workload, seed, duration_s, rate, ramp_to, at_s, kind, service_ms, np.arange(len(at_s)))


def _entropy(seed: str) -> np.random.SeedSequence:
    return np.random.SeedSequence(list(seed.encode()) or [0])


def _unit_arrivals(arrivals: str, expected: float, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Arrival times of a process of mean rate 1, from 0 to `expected`."""
    if arrivals == "constant":
        return np.arange(0.5, expected)
    if arrivals == "poisson":
        return _poisson(expected, rng)
    # Bursts: walk through the states; a stretch of t seconds holds (its rate) x t x expected / duration arrivals.
    switches, state, left = [0.0], int(rng.integers(2)), duration_s
    masses, stretches = [0.0], [0.0]
    while left > 0:
        stay = min(left, float(rng.exponential(BURST_S)))
        stretches.append(stretches[-1] + stay / duration_s * expected)
        masses.append(masses[-1] + BURST_RATES[state] * stay / duration_s * expected)
        switches.append(switches[-1] + stay)
        state, left = 1 - state, left - stay
    return np.interp(_poisson(masses[-1], rng), masses, stretches)


def _poisson(until: float, rng: np.random.Generator) -> NDArray[np.float64]:
    count = int(rng.poisson(until))
    return np.sort(rng.uniform(0, until, count))


def _stretched(units: NDArray[np.float64], rate: float, end_rate: float, duration_s: float) -> NDArray[np.float64]:
    """Times t at which the expected number of arrivals, rate t + (end_rate - rate) t^2 / (2 duration), is `units`."""
    slope = (end_rate - rate) / duration_s
    if slope == 0:
        return units / rate
    return np.asarray(2 * units / (rate + np.sqrt(np.maximum(0.0, rate * rate + 2 * slope * units))))
