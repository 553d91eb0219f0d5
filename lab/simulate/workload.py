"""The requests of a run: when they come, what they are, how much work they are, which balancer gets them.

They depend on scenario and seed alone, never on the algorithm, so that all algorithms are given the same ones (common
random numbers). Each property has a random stream of its own: changing one leaves the others as they were.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cluster.config import Kind
from cluster.errors import ConfigError, Problem
from lab.simulate.scenario import Scenario, Work

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 4096  # requests

# Streams of one seed
ARRIVALS, KINDS, WORK, BALANCERS, CLIENTS, BURSTS = range(6)

NORMAL_CUT_MEAN = 1.2875999709391783  # mean of a normal(1, 1) whose part below 0 is cut off: 1 + phi(1) / Phi(1)


@dataclass(frozen=True)
class Workload:
    """One row a request, in the order of arrival; all arrays have the same length."""

    at_s: Floats
    kind: Ints  # index into `kinds`
    work_s: Floats  # on a node of speed 1
    balancer: Ints
    client: Ints
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.at_s)

    def rows(self) -> Iterator[tuple[float, float, int, int, int]]:
        """at_s, work_s, kind, client, balancer of each request, as plain numbers; a block at a time stays in cache."""
        columns = (self.at_s, self.work_s, self.kind, self.client, self.balancer)
        for begin in range(0, len(self), BLOCK):
            yield from zip(*(column[begin : begin + BLOCK].tolist() for column in columns), strict=True)


def stream(seed: int, name: int) -> np.random.Generator:
    """The random stream of one property."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, name])))


def make_workload(scenario: Scenario, seed: int) -> Workload:
    """All requests of a run. ConfigError when a trace cannot be used."""
    kinds = tuple(kind.value for kind in scenario.kinds)
    works = list(scenario.kinds.values())
    traced = _read_trace(Path(scenario.arrivals.trace), kinds, scenario.requests) if scenario.arrivals.trace else None
    at_s = arrival_times(scenario, seed) if traced is None else traced[0]
    n = len(at_s)
    shares = np.array([work.share for work in works])
    kind = np.searchsorted(np.cumsum(shares / shares.sum())[:-1], stream(seed, KINDS).random(n), side="right")
    if traced is not None:
        kind = np.where(traced[1] >= 0, traced[1], kind)
    work_s = draw_work(works, kind, stream(seed, WORK))
    if traced is not None:
        work_s = np.where(traced[2] >= 0, traced[2], work_s)
    return Workload(
        at_s=at_s,
        kind=kind,
        work_s=work_s,
        balancer=stream(seed, BALANCERS).integers(scenario.balancers, size=n),
        client=stream(seed, CLIENTS).integers(scenario.clients, size=n),
        kinds=kinds,
    )


def draw_work(works: list[Work], kind: Ints, rng: np.random.Generator) -> Floats:
    """Seconds of work of each request. One normal or exponential draw each, whatever its kind."""
    normal, exponential = rng.standard_normal(len(kind)), rng.standard_exponential(len(kind))
    out = np.empty(len(kind))
    for index, work in enumerate(works):
        of_kind = kind == index
        count = int(of_kind.sum())
        mean_s = work.mean_ms / 1000
        if work.distribution == "constant":
            out[of_kind] = mean_s
        elif work.distribution == "exponential":
            out[of_kind] = mean_s * exponential[of_kind]
        elif work.distribution == "lognormal":
            variance = log(1 + work.scv)
            out[of_kind] = mean_s * np.exp(variance**0.5 * normal[of_kind] - variance / 2)
        else:
            draws = 1 + normal[of_kind]
            while (low := draws < 0).any():
                draws[low] = 1 + rng.standard_normal(int(low.sum()))
            out[of_kind] = mean_s / NORMAL_CUT_MEAN * draws[:count]
    return out


def arrival_times(scenario: Scenario, seed: int) -> Floats:
    """Times in seconds: a process of rate 1, its clock driven by the scenario's rate."""
    n, process = scenario.requests, scenario.arrivals.process
    rng = stream(seed, ARRIVALS)
    unit: Floats = np.arange(1.0, n + 1) if process == "constant" else np.cumsum(rng.standard_exponential(n))
    steps = scenario.arrivals.steps
    if process == "bursts":
        edges, rates = _bursts(scenario, stream(seed, BURSTS), float(unit[-1]))
    else:
        length_s = n / scenario.offered_rps / float(np.mean(steps)) / len(steps)
        edges = np.arange(len(steps) + 1, dtype=np.float64) * length_s
        rates = np.array(steps, dtype=np.float64) * scenario.offered_rps
    passed = np.concatenate([[0.0], np.cumsum(np.diff(edges) * rates)])  # requests expected until each edge
    times: Floats = np.interp(unit, passed, edges)
    late = unit > passed[-1]
    times[late] = edges[-1] + (unit[late] - passed[-1]) / rates[-1]  # the last step lasts until all have come
    return times


def _bursts(scenario: Scenario, rng: np.random.Generator, until: float) -> tuple[Floats, Floats]:
    """Edges (s) and rates (1/s) between them until `until` requests are expected: calm, burst, calm, ..."""
    bursts = scenario.arrivals.bursts
    busy = bursts.length_s / bursts.every_s
    calm_rps = scenario.offered_rps / (1 + busy * (bursts.factor - 1))
    pairs = int(2 * until / scenario.offered_rps / bursts.every_s) + 20
    lengths = rng.standard_exponential((pairs, 2)) * [bursts.every_s - bursts.length_s, bursts.length_s]
    edges = np.concatenate([[0.0], np.cumsum(lengths.ravel())])
    return edges, np.tile([calm_rps, calm_rps * bursts.factor], pairs)


def _read_trace(path: Path, kinds: tuple[str, ...], most: int) -> tuple[Floats, Ints, Floats]:
    """Times (s, from 0 on), kinds (-1: not told) and work (s, -1: not told) of a trace file."""

    def wrong(line: int, text: str) -> ConfigError:
        return ConfigError(str(path), [Problem(f"line {line}", text)])

    def number(row: dict[str, Any], column: str, line: int) -> float:
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            raise wrong(line, f"{column} {row[column]!r} is not a number") from None
        if not 0 <= value < 1e9:
            raise wrong(line, f"{column} {value:g} must be from 0 to 1e9")
        return value

    times: list[float] = []
    kind: list[int] = []
    work: list[float] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            if "at_s" not in columns:
                raise wrong(1, f"the head line must name a column at_s; it has {', '.join(columns) or 'nothing'}")
            for line, row in enumerate(rows, start=2):
                if len(times) == most:
                    break
                times.append(number(row, "at_s", line))
                if len(times) > 1 and times[-1] < times[-2]:
                    raise wrong(line, f"at_s {times[-1]:g} is before the line above; sort the file by at_s")
                told = row.get("kind") or None
                if told is not None and told not in kinds:
                    known = ", ".join(kinds) if told in list(Kind) else ", ".join(Kind)
                    raise wrong(line, f"kind {told!r} is not one of the scenario's ({known}): add it to its `kinds`")
                kind.append(-1 if told is None else kinds.index(told))
                work.append(number(row, "work_ms", line) / 1000 if row.get("work_ms") else -1.0)
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror}")]) from None
    if len(times) < 2:
        raise wrong(1, f"a trace needs at least 2 requests, it has {len(times)}")
    at_s = np.array(times)
    return at_s - at_s[0], np.array(kind), np.array(work)
