"""Twelve policies, nine situations: how far each is from the central queue.

10 nodes (4 of speed 1, 3 of 2, 3 of 4) with 4 FIFO slots each; Poisson arrivals; lognormal work, 100 ms on a node of
speed 1, SCV 4; 120,000 requests a seed, 20 % warm-up. Brown-out: a node of speed 4 is 10 times slower in the middle
third, and that third is measured. B4: 4 balancers, each with what it sees itself and what nodes report. Typed: four
kinds of 50, 20, 200 and 800 ms, SCV 0.5 in each. Beside each ratio stands what an independent simulator found.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import RenderableType
from rich.table import Table

from lab.simulate.bounds import ORACLES
from lab.simulate.experiments.base import Experiment
from lab.simulate.figures import UNSTABLE, Estimate
from lab.simulate.report import Report, compare_all
from lab.simulate.result import KNOWN
from lab.simulate.runs import Done
from lab.simulate.scenario import MIXED, BrownOut, Scenario

MIDDLE = (1 / 3, 2 / 3)
SICK = (BrownOut(node=8),)  # n8 is the first of speed 4

COLUMNS: dict[str, Scenario] = {
    "load .5": Scenario(load=0.5),
    "load .75": Scenario(load=0.75),
    "load .9": Scenario(load=0.9),
    "brown .5": Scenario(load=0.5, brown_outs=SICK, measure=MIDDLE),
    "brown .75": Scenario(load=0.75, brown_outs=SICK, measure=MIDDLE),
    "B4 .75": Scenario(load=0.75, balancers=4),
    "B4 brown .75": Scenario(load=0.75, balancers=4, brown_outs=SICK, measure=MIDDLE),
    "typed .75": Scenario(load=0.75, kinds=MIXED),
    "typed brown": Scenario(load=0.75, kinds=MIXED, brown_outs=SICK, measure=MIDDLE),
}

# mean/p99 of an independent simulator; "inf": unstable. Its Prequal, peak EWMA and least time are its own renderings.
FOUND: dict[str, str] = {
    "ideal pool": ".86/.83 .67/.59 .72/.54 .67/.62 .44/.41 .67/.59 .44/.41 .68/.63 .42/.44",
    "oracle": ".98/.85 1.07/.68 1.17/.68 1.04/.72 1.15/.63 - - 1.03/.71 1.07/.66",
    "round_robin": "inf inf inf inf inf inf inf inf inf",
    "weighted": "1.65/1.77 1.96/1.74 3.86/3.37 inf inf 2.07/1.97 inf 2.35/1.87 inf",
    "least_connections": "1.65/1.79 1.25/1.25 1.13/1.14 1.56/1.68 1.15/1.17 1.43/1.36 1.45/1.37 1.24/1.27 1.16/1.17",
    "weighted_least_connections":
        "1.30/1.39 1.11/1.01 1.23/.96 1.39/1.55 1.37/1.51 1.23/1.20 1.34/1.61 1.13/1.01 1.37/1.39",
    "power_of_two": "1.84/1.97 1.74/1.49 2.82/2.10 1.92/1.97 5.05/3.66 2.48/1.87 5.97/4.62 1.86/1.50 6.60/4.03",
    "peak_ewma": "1.75/1.82 1.74/1.43 2.43/1.83 1.86/1.79 4.41/2.73 1.92/1.56 4.27/2.63 1.69/1.36 5.39/2.80",
    "least_time": "1.26/1.29 1.15/1.01 1.22/1.02 1.19/1.17 1.20/.98 1.18/.95 1.22/.96 1.19/1.03 1.26/1.01",
    "naive_fastest": "inf inf inf inf inf - - - -",
    "prequal": "1.39/1.47 1.27/1.12 1.35/1.14 1.36/1.34 1.32/1.11 1.29/1.10 1.35/1.09 1.28/1.14 1.33/1.12",
    "dynamic": "1.06/1.06 1.02/.97 1.04/.97 1.04/1.02 1.03/.94 1.13/1.05 1.12/1.02 .98/.95 .99/.95",
    "dynamic_by_kind": "1.10/1.03 1.10/.92 1.18/.96 1.11/.99 1.15/.93 1.16/.99 1.19/.96 .95/.70 .99/.63",
}  # fmt: skip


class Target(NamedTuple):
    """What has to hold in the upper end of the 95 % interval."""

    rule: str
    scenario: Scenario
    name: str
    mean: float
    p99: float


TARGETS = (
    *(Target("dynamic", COLUMNS[name], name, 1.10, 1.10) for name in list(COLUMNS)[:5]),
    Target("dynamic", COLUMNS["B4 .75"], "B4 .75", 1.18, 1.08),
    Target("dynamic", Scenario(load=0.9, balancers=4), "B4 .9", 1.18, 1.08),
    Target("dynamic", Scenario(load=0.5, balancers=4), "B4 .5", 1.22, 1.22),
    Target("dynamic_by_kind", Scenario(load=0.5, kinds=MIXED), "typed .5", 1.03, 0.95),
    Target("dynamic_by_kind", COLUMNS["typed .75"], "typed .75", 1.03, 0.75),
    Target("dynamic_by_kind", Scenario(load=0.9, kinds=MIXED), "typed .9", 1.03, 0.72),
)


def run(seeds: Sequence[int], processes: int, done: Done) -> list[RenderableType]:
    """The table, and whether the targets are kept."""
    rules = [rule for rule in FOUND if rule in KNOWN or rule in ORACLES]
    others = {t.name: t for t in TARGETS if t.name not in COLUMNS}
    cases: list[tuple[Scenario, Sequence[str]]] = [(scenario, rules) for scenario in COLUMNS.values()]
    cases += [(target.scenario, [target.rule]) for target in others.values() if target.rule in KNOWN]
    reports = compare_all(cases, seeds, processes, done)
    by_name = dict(zip([*COLUMNS, *(n for n, t in others.items() if t.rule in KNOWN)], reports, strict=True))
    return [_table(by_name, len(seeds)), _ours(by_name), _targets(by_name)]


def _table(reports: dict[str, Report], seeds: int) -> Table:
    out = Table(
        title=f"mean/p99 over the central queue's, {seeds} seeds; below, what an independent simulator found",
        title_justify="left", title_style="", show_lines=True,
    )  # fmt: skip
    out.add_column("")
    for name in COLUMNS:
        out.add_column(name, justify="right")
    for rule, found in FOUND.items():
        if rule not in next(iter(reports.values())).rows:
            continue
        cells = []
        for name, theirs in zip(COLUMNS, found.split(), strict=True):
            mean, p99 = (reports[name].ratio(rule, metric) for metric in ("mean", "p99"))
            cells.append(f"{_short(mean)}/{_short(p99)}\n[dim]{theirs}[/dim]")
        out.add_row(rule, *cells)
    return out


def _ours(reports: dict[str, Report]) -> Table:
    """The same with intervals."""
    title = "mean, then p99, with 95 % intervals over the seeds"
    out = Table(title=title, title_justify="left", title_style="", show_lines=True)
    out.add_column("")
    for name in COLUMNS:
        out.add_column(name, justify="right")
    for rule in FOUND:
        if rule in next(iter(reports.values())).rows:
            pairs = [[reports[name].ratio(rule, metric) for metric in ("mean", "p99")] for name in COLUMNS]
            out.add_row(rule, *("\n".join(_long(each) for each in pair) for pair in pairs))
    return out


def _targets(reports: dict[str, Report]) -> Table:
    out = Table(title="targets, held against the upper end of the interval", title_justify="left", title_style="")
    for column in ("rule", "situation", "mean", "at most", "p99", "at most", ""):
        out.add_column(column, justify="left" if column in ("rule", "situation", "") else "right")
    for target in TARGETS:
        if target.name not in reports or target.rule not in reports[target.name].rows:
            continue
        mean, p99 = (reports[target.name].ratio(target.rule, metric) for metric in ("mean", "p99"))
        kept = mean is not None and p99 is not None and mean.upper <= target.mean and p99.upper <= target.p99
        out.add_row(target.rule, target.name, _long(mean), f"{target.mean:.2f}", _long(p99), f"{target.p99:.2f}",
                    "kept" if kept else "MISSED")  # fmt: skip
    return out


def _short(found: Estimate | None) -> str:
    return "n/a" if found is None else "inf" if found.value > UNSTABLE else f"{found.value:.2f}".removeprefix("0")


def _long(found: Estimate | None) -> str:
    if found is None or found.value > UNSTABLE:
        return _short(found)
    return f"{found.value:.3f} ± {found.half_width:.3f}"


POLICIES = Experiment("twelve policies, nine situations", run)
