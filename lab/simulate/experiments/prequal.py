"""Figures 6 and 7 of "Load is not what you should balance: introducing Prequal" (NSDI 2024), set up as there.

As the paper: 100 clients that balance for themselves, 100 server replicas, Poisson queries, CPU work drawn from a
normal distribution with standard deviation = mean and cut off at 0, a deadline of 5 s, loads relative to what the
replicas are allotted; a replica may use more than its allotment where its machine has CPU to spare, and gets less than
it where other tenants are busy.

Otherwise: (1) The paper's machines, their tenants and the mean work are not published. Here a replica is allotted 4
processors; 70 machines have 2.5 times that to give, 18 exactly that, 8 give four fifths of it and 4 three fifths, all
the time; mean work is 80 ms, so that Prequal's p90 at 70 % is near the paper's. (2) The paper's weighted round robin
learns its weights from CPU use, goodput and errors; ours has them from a file: once all equal (the hardware is), once
in proportion to what each machine really gives, which is more than the paper's rule can know. (3) Nodes share their
processors equally; there is no network time but that of the probes. (4) Prequal is our own rendering (see its file),
with the paper's constants. (5) Random is our own baseline; Linear, C3 and YARP's polling are not in this kit.
"""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from cluster.config import Kind
from lab.simulate.experiments.base import Experiment
from lab.simulate.figures import Estimate, over_seeds
from lab.simulate.report import Report, compare_all
from lab.simulate.runs import Done
from lab.simulate.scenario import Nodes, Scenario, Work

ALLOTTED = 4  # processors of a replica
REPLICAS = 100
WORK_MS = 80.0
DEADLINE_MS = 5000.0
STEPS = (0.75, 0.83, 0.93, 1.03, 1.14, 1.27, 1.41, 1.57, 1.74)

# The paper's figure 7, p90 and p99 in ms at 70 and 90 % of the allotment; TO: the deadline
FIGURE_7 = {
    "round_robin": ("4984/TO", "TO/TO"),
    "random": ("294/TO", "TO/TO"),
    "weighted": ("173/314", "1667/TO"),
    "least_connections": ("343/1804", "940/2654"),
    "power_of_two": ("224/569", "623/1918"),
    "prequal": ("149/281", "152/286"),
}
NOT_HERE = (
    "The paper also has, at 70 and 90 %: YARP-Po2C 210/2642 213/1169, Linear 206/698 245/1036, C3 161/299 164/304."
)

FIGURE_6 = (
    "The paper's figure 6: weighted round robin's p99.9 is at the deadline from 1.03 on, its p99 from 1.27 on, with "
    "over 25 % errors at 1.74; Prequal's p99.9 is at most about 350 ms at 1.27 and 700 ms at 1.74, without errors."
)


def machines(*, weighed: bool) -> tuple[Nodes, ...]:
    """The replicas. `weighed`: their weights say what they can really do."""
    groups = ((70, 10, 1.0), (18, ALLOTTED, 1.0), (8, ALLOTTED, 0.8), (4, ALLOTTED, 0.6))
    return tuple(
        Nodes(count=count, slots=slots, speed=speed, weight=round(slots * speed * 5) if weighed else 1)
        for count, slots, speed in groups
    )


def paper_fleet(load: float, requests: int, *, weighed: bool = False) -> Scenario:
    """`load`: offered work / allotment."""
    return Scenario(
        name=f"Prequal's testbed at {load:.0%} of the allotment",
        nodes=machines(weighed=weighed),
        queueing="sharing",
        kinds={Kind.GENERAL: Work(mean_ms=WORK_MS, distribution="normal")},
        load=None,
        rate_rps=load * REPLICAS * ALLOTTED / (WORK_MS / 1000),
        requests=requests,
        balancers=100,
        deadline_ms=DEADLINE_MS,
        probe_every_s=0.0,
        measure=(0.4, 1.0),
    )


def figure_7(seeds: Sequence[int], processes: int, done: Done) -> list[RenderableType]:
    """p90 and p99 of the rules at 70 and 90 %."""
    loads = (0.7, 0.9)
    rules = [*FIGURE_7, "least_time", "dynamic"]
    reports = compare_all(
        [(paper_fleet(load, 150_000), rules) for load in loads]
        + [(paper_fleet(load, 150_000, weighed=True), ["weighted"]) for load in loads],
        seeds,
        processes,
        done,
    )
    out = Table(
        title=f"p90/p99 in ms with 95 % intervals, errors; {len(seeds)} seeds", title_justify="left", title_style=""
    )
    for column in ("", "70 %", "paper", "90 %", "paper"):
        out.add_column(column, justify="right" if column else "left")
    for rule in rules:
        theirs = FIGURE_7.get(rule, ("", ""))
        out.add_row(rule, _cell(reports[0], rule), theirs[0], _cell(reports[1], rule), theirs[1])
    out.add_row("weighted, true weights", _cell(reports[2], "weighted"), "", _cell(reports[3], "weighted"), "")
    return [out, NOT_HERE]


def figure_6(seeds: Sequence[int], processes: int, done: Done) -> list[RenderableType]:
    """The load ramp: each step a run of its own, so that no rule inherits another's queues."""
    rules = ("weighted", "prequal", "dynamic")
    plain = [(paper_fleet(load, 100_000), rules) for load in STEPS]
    weighed = [(paper_fleet(load, 100_000, weighed=True), rules[:1]) for load in STEPS]
    reports = compare_all([*plain, *weighed], seeds, processes, done)
    title = f"load ramp: p99/p99.9 in ms with 95 % intervals, errors; {len(seeds)} seeds"
    out = Table(title=title, title_justify="left", title_style="")
    for column in ("load", "weighted, equal", "weighted, true", "prequal", "dynamic"):
        out.add_column(column, justify="right")
    for load, report, other in zip(STEPS, reports, reports[len(STEPS) :], strict=False):
        cells = [_tail(report, "weighted"), _tail(other, "weighted"), *(_tail(report, rule) for rule in rules[1:])]
        out.add_row(f"{load:.2f}", *cells)
    return [out, FIGURE_6]


def _cell(report: Report, rule: str) -> str:
    errors = _errors(report, rule)
    return f"{_ms(report, rule, 'p90')}/{_ms(report, rule, 'p99')}" + (f", {errors:.2%}" if errors else "")


def _tail(report: Report, rule: str) -> str:
    return f"{_ms(report, rule, 'p99')}/{_ms(report, rule, 'p999')}, {_errors(report, rule):.1%}"


def _ms(report: Report, rule: str, metric: str) -> str:
    found = over_seeds(report.rows[rule], metric)
    return "n/a" if found is None else "TO" if found.value > 0.999 * DEADLINE_MS else _said(found)


def _said(found: Estimate) -> str:
    return f"{found.value:.0f}" + (f" ± {found.half_width:.0f}" if found.half_width else "")


def _errors(report: Report, rule: str) -> float:
    rows = report.rows[rule]
    return sum(row["failed"] for row in rows) / sum(row["requests"] for row in rows)


PREQUAL_6 = Experiment("Prequal, figure 6: the load ramp", figure_6)
PREQUAL_7 = Experiment("Prequal, figure 7: the rules at 70 and 90 %", figure_7)
