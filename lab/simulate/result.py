"""One run: `simulate(scenario, algorithm, seed)` and what it gives back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from balancer.algorithms import ALGORITHMS, Algorithm
from lab.simulate.baselines import BASELINES
from lab.simulate.bounds import BOUNDS, ORACLES
from lab.simulate.engine import MakeAlgorithm, Progress, Run
from lab.simulate.scenario import Scenario
from lab.simulate.workload import Workload, make_workload

KNOWN: dict[str, type[Algorithm]] = {**BASELINES, **ALGORITHMS}
"""Everything that can pick here: the balancer's algorithms, and rules that only serve to compare with."""
WITHOUT_NODES = {**BOUNDS, **ORACLES}
"""Systems that no balancer has."""


@dataclass(frozen=True)
class Result:
    """One row a request, in the order of arrival; the same seed gives the same requests to every algorithm."""

    scenario: Scenario
    algorithm: str
    seed: int
    kinds: tuple[str, ...]
    at_s: npt.NDArray[np.float64]  # arrival, from the beginning of the run
    kind: npt.NDArray[np.int64]  # index into `kinds`
    work_s: npt.NDArray[np.float64]
    latency_ms: npt.NDArray[np.float64]  # from arrival to answer; the deadline for those that failed
    ok: npt.NDArray[np.bool_]
    measured: npt.NDArray[np.bool_]  # arrived in the scenario's `measure`
    node: npt.NDArray[np.int64]  # index; -1: none
    utilization: tuple[float, ...]  # of each node's slots, over the whole run; () for a bound


def simulate(
    scenario: Scenario,
    algorithm: str | type[Algorithm] | MakeAlgorithm,
    seed: int,
    *,
    progress: Progress | None = None,
) -> Result:
    """Run `scenario` once. `algorithm`: a key of `KNOWN` or `WITHOUT_NODES`, a class, or what makes an object.

    ValueError for a name that is neither; ConfigError when a trace file cannot be read.
    """
    workload = make_workload(scenario, seed)
    n = len(workload)
    if isinstance(algorithm, str) and algorithm in WITHOUT_NODES:
        latency_ms = WITHOUT_NODES[algorithm](scenario, workload)
        deadline_ms = scenario.deadline_ms or np.inf
        return _result(scenario, algorithm, seed, workload, latency_ms, latency_ms < deadline_ms, np.full(n, -1), ())
    name, make = maker(algorithm)
    outcome = Run(scenario, workload, make, seed).run(progress)
    utilization = tuple(
        busy_s / group.slots / outcome.until_s for busy_s, group in zip(outcome.busy_s, scenario.each, strict=True)
    )
    return _result(scenario, name, seed, workload, outcome.latency_ms, outcome.ok, outcome.node, utilization)


def maker(algorithm: str | type[Algorithm] | MakeAlgorithm) -> tuple[str, MakeAlgorithm]:
    """An algorithm's name, and what makes its object for one balancer."""
    if isinstance(algorithm, str):
        if algorithm not in KNOWN:
            known = ", ".join([*KNOWN, *WITHOUT_NODES])
            raise ValueError(f'"{algorithm}" is neither an algorithm nor a bound; known: {known}')
        algorithm = KNOWN[algorithm]
    return str(getattr(algorithm, "key", None) or getattr(algorithm, "__name__", "custom")), algorithm


def _result(
    scenario: Scenario,
    algorithm: str,
    seed: int,
    workload: Workload,
    latency_ms: npt.NDArray[np.float64],
    ok: npt.NDArray[np.bool_],
    node: npt.NDArray[np.int64],
    utilization: tuple[float, ...],
) -> Result:
    share = workload.at_s / max(workload.at_s[-1], 1e-9)
    begin, end = scenario.measure
    return Result(
        scenario=scenario,
        algorithm=algorithm,
        seed=seed,
        kinds=workload.kinds,
        at_s=workload.at_s,
        kind=workload.kind,
        work_s=workload.work_s,
        latency_ms=latency_ms,
        ok=ok,
        measured=(share >= begin) & (share <= end),
        node=node,
        utilization=utilization,
    )
