"""Who runs when, and for how long. Pure.

Randomized complete blocks: in each block every arm gets the block's own schedule, in an order drawn anew, so that a
machine that grows slower hits all alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

AGAIN = " (again)"
SWITCH_S = 1.5
"""About what switching, draining and noting take between two runs."""
LEAST_RUN_S = 2.0
REPORT_S = 6.0
"""Kept back for the report, where the whole time is limited."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing that is compared."""

    name: str
    algorithm: str


@dataclass(frozen=True, slots=True)
class Design:
    """How much is measured."""

    blocks: int
    run_s: float
    """Measured part of a run."""
    warm_up_s: float
    """Before it: sent, and not counted."""
    deadline_s: float | None = None
    """Instead of the workload's."""
    total_s: float | None = None
    """Everything together may take so long: `run_s` is what fits, and blocks are left out rather than exceed it."""

    def of_one_run_s(self) -> float:
        """About how long a run takes with all that belongs to it."""
        return self.warm_up_s + self.run_s + SWITCH_S


PRESETS = {
    "classroom": Design(blocks=5, run_s=0, warm_up_s=1.0, deadline_s=5.0, total_s=175),
    "standard": Design(blocks=10, run_s=20, warm_up_s=5.0),
    "thorough": Design(blocks=20, run_s=40, warm_up_s=10.0),
}


def arms_of(algorithms: Sequence[str], baseline: str) -> list[Arm]:
    """The baseline, the others, and the baseline once more."""
    others = [key for key in dict.fromkeys(algorithms) if key != baseline]
    return [Arm(key, key) for key in (baseline, *others)] + [Arm(baseline + AGAIN, baseline)]


def orders(arms: int, blocks: int, seed: str) -> list[list[int]]:
    """For each block the indices of the arms in the order of running."""
    rng = Random(f"{seed} orders")
    return [rng.sample(range(arms), arms) for _ in range(blocks)]


def fitted(design: Design, arms: int, left_s: float) -> Design:
    """The design with the run length, and if need be fewer blocks, that fits into what is left of its time.

    ValueError when so many arms do not fit.
    """
    if design.total_s is None:
        return design
    for blocks in range(design.blocks, 3, -1):
        run_s = (left_s - REPORT_S) / (blocks * arms) - SWITCH_S - design.warm_up_s
        if run_s >= LEAST_RUN_S:
            return replace(design, blocks=blocks, run_s=run_s)
    raise ValueError(
        f"{arms} arms do not fit into the {left_s:.0f} s that are left: compare fewer algorithms, or take "
        "--preset standard"
    )
