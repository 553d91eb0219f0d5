"""Runs the blocks: switch, drain, send, note. Ctrl-C keeps the finished blocks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any, Protocol

import numpy as np

from cluster.wire import Event
from lab.compare_algorithms.design import Arm, Design, orders
from lab.compare_algorithms.fleet import WHO, ControlledFleet, changes
from lab.load.generator import Progress
from lab.load.records import Records
from lab.load.schedule import Schedule, draw
from lab.load.summary import problems
from lab.load.workload import Workload

DRAIN_S = 15.0
"""Beyond the deadline, for a node to notice that nobody waits any more."""


class Sender(Protocol):
    """Whatever sends a schedule: this process, or Locust's workers."""

    def run(self, schedule: Schedule, on_progress: Callable[[Progress], None] | None = None) -> Records:
        """Send it all."""


@dataclass(frozen=True, slots=True)
class Run:
    """One arm in one block."""

    block: int
    order: int
    """Position in its block."""
    arm: Arm
    t0: float
    """Seconds since the epoch."""
    t1: float
    records: Records
    """Without the warm-up."""
    why_invalid: tuple[str, ...]
    events: tuple[Event, ...] = ()
    """What happened at the fleet meanwhile, our own switches left out."""
    requests_before: int = 0
    """Requests that the balancer had had until then: whose turn it was."""


@dataclass(slots=True)
class Experiment:
    """All runs of a comparison."""

    arms: Sequence[Arm]
    design: Design
    workload: Workload
    rate: float
    seed: str
    runs: list[Run] = field(default_factory=list)
    """Only of finished blocks."""
    schedules: list[Schedule] = field(default_factory=list)
    """By block."""
    stopped: str = ""
    """Why there are fewer blocks than designed; "" when there are not."""

    @property
    def blocks(self) -> int:
        """Finished ones."""
        return len(self.schedules)

    def valid_blocks(self) -> list[int]:
        """Blocks whose every run is valid: pairs need both sides."""
        bad = {run.block for run in self.runs if run.why_invalid}
        return [block for block in range(self.blocks) if block not in bad]

    def of_arm(self, name: str) -> list[Run]:
        """Its runs in valid blocks, by block."""
        good = set(self.valid_blocks())
        return sorted((r for r in self.runs if r.arm.name == name and r.block in good), key=lambda r: r.block)


class View(Protocol):
    """Shows how far it is."""

    def begins(self, block: int, arm: Arm, left_s: float) -> None:
        """A run begins; about so many seconds are left of everything."""

    def progress(self, progress: Progress) -> None:
        """Figures of the run so far."""

    def ended(self, run: Run) -> None:
        """A run is over."""

    def block_ended(self, block: int) -> None:
        """All runs of a block are over, and kept from now on."""


def run_blocks(
    experiment: Experiment, sender: Sender, fleet: ControlledFleet, view: View, until: float | None = None
) -> None:
    """Fill `experiment.runs` block by block, until there are as many valid blocks as designed: an invalid one is
    replaced, for at most half as many again. `until` (time.monotonic()): no block begins that would end after it.

    KeyboardInterrupt: sets `stopped` and returns; the runs of the broken block are dropped.
    """
    design, arms = experiment.design, experiment.arms
    begun, took_s = monotonic(), design.of_one_run_s() * len(arms)
    try:
        for block, order in enumerate(orders(len(arms), design.blocks + design.blocks // 2, experiment.seed)):
            missing = design.blocks - len(experiment.valid_blocks())
            if not missing:
                return
            if until is not None and block and monotonic() + took_s > until:
                experiment.stopped = f"the time was up after {block} blocks, {design.blocks - missing} of them valid"
                return
            schedule = draw(
                experiment.workload, experiment.rate, design.warm_up_s + design.run_s, f"{experiment.seed} {block}"
            )
            done: list[Run] = []
            for position, index in enumerate(order):
                view.begins(block, arms[index], (missing - position / len(arms)) * took_s)
                run = _run(experiment, schedule, block, position, arms[index], sender, fleet, view)
                done.append(run)
                view.ended(run)
            experiment.runs += done
            experiment.schedules.append(schedule)
            view.block_ended(block)
            took_s = (monotonic() - begun) / (block + 1)
    except KeyboardInterrupt:
        experiment.stopped = f"stopped by hand after {experiment.blocks} of {design.blocks} blocks"


def _run(
    experiment: Experiment, schedule: Schedule, block: int, position: int, arm: Arm,
    sender: Sender, fleet: ControlledFleet, view: View,
) -> Run:  # fmt: skip
    fleet.switch(arm.algorithm)
    fleet.drained(experiment.workload.deadline_s + DRAIN_S)
    before, t0 = fleet.snapshot(), time()
    records = sender.run(schedule, view.progress)
    t1, after = time(), fleet.snapshot()
    events = [event for event in fleet.events_after(before["last_event"]) if event["who"] != WHO]
    counted = records.after(experiment.design.warm_up_s)
    why = [*problems(counted), *changes(before, after, len(schedule), arm.algorithm)]
    had = before["totals"]["requests"]
    return Run(block, position, arm, t0, t1, counted, tuple(why), tuple(events), had)


def node_figures(
    run: Run, nodes: Sequence[dict[str, Any]], warm_up_s: float
) -> dict[str, dict[str, float | int | None]]:
    """By node: answers, share, busy share of its slots in the time that counts (None: not said)."""
    rows, total = run.records.rows, len(run.records)
    begin_s, end_s = warm_up_s, warm_up_s + run.records.duration_s
    out: dict[str, dict[str, float | int | None]] = {}
    for node in nodes:
        name = node["node"]
        at = list(run.records.nodes).index(name) if name in run.records.nodes else -1
        mine = rows[rows["node"] == at]
        worked_s = np.minimum(mine["done_s"], end_s) - np.maximum(mine["done_s"] - mine["service_ms"] / 1e3, begin_s)
        said = node["slots"] and not np.any(np.isnan(worked_s))
        busy = float(np.sum(np.maximum(worked_s, 0))) / (node["slots"] * run.records.duration_s) if said else None
        out[name] = {"n": len(mine), "share": len(mine) / total if total else 0.0, "busy": busy}
    return out
