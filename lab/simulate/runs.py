"""Many runs: every rule with every seed, spread over the processors. What comes back does not depend on how."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, NamedTuple

from lab.simulate.bounds import BOUNDS
from lab.simulate.figures import Figures, figures_of
from lab.simulate.result import simulate
from lab.simulate.scenario import Scenario

LOOK_S = 0.2


class Job(NamedTuple):
    """One run."""

    scenario: Scenario
    algorithm: str  # or a bound
    seed: int


Done = Callable[[float], None]
"""Is told which part of all work is done, from 0 to 1."""

_arrived: Any = None  # in a process that runs jobs: requests that have arrived so far, by job, in shared memory


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def play(jobs: Sequence[Job], processes: int, done: Done | None = None) -> list[Figures]:
    """The figures of each job, in the order of `jobs`. With one process (or one job) none is started."""
    total = sum(job.scenario.requests for job in jobs)
    tell = done or (lambda part: None)
    if processes <= 1 or len(jobs) <= 1:
        figures: list[Figures] = []
        for place, job in enumerate(jobs):
            before = sum(earlier.scenario.requests for earlier in jobs[:place])
            figures.append(_figures(job, lambda n, before=before: tell((before + n) / total)))  # type: ignore[misc]
        return figures
    context = get_context("spawn" if os.name == "nt" else "fork")
    arrived = context.Array("q", len(jobs), lock=False)
    with ProcessPoolExecutor(processes, context, _share, (arrived,)) as pool:
        # Algorithms before bounds: what takes longest must not begin last.
        order = sorted(range(len(jobs)), key=lambda place: jobs[place].algorithm in BOUNDS)
        begun = {place: pool.submit(_run, place, jobs[place]) for place in order}
        futures = [begun[place] for place in range(len(jobs))]
        try:
            left = set(futures)
            while left:
                left = wait(left, timeout=LOOK_S).not_done
                tell(sum(arrived) / total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _share(arrived: Any) -> None:
    global _arrived
    _arrived = arrived


def _run(place: int, job: Job) -> Figures:
    figures = _figures(job, lambda n: _arrived.__setitem__(place, n))
    _arrived[place] = job.scenario.requests
    return figures


def _figures(job: Job, progress: Callable[[int], None]) -> Figures:
    return figures_of(simulate(job.scenario, job.algorithm, job.seed, progress=progress))
