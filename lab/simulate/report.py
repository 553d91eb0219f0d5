"""What a simulation found: the figures of all rules and of the bounds, as a value, as JSON, and as a table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from lab.simulate.bounds import BOUNDS
from lab.simulate.figures import SPECTRUM, UNSTABLE, Estimate, Figures, over_seeds, ratio
from lab.simulate.runs import Done, Job, play
from lab.simulate.scenario import Scenario

SCHEMA = 1
BASE = "central queue"


@dataclass(frozen=True)
class Report:
    """The figures of each rule, one entry a seed, seeds in the same order everywhere. The bounds come first."""

    scenario: Scenario
    seeds: tuple[int, ...]
    rows: dict[str, list[Figures]]

    def ratio(self, rule: str, metric: str, kind: str | None = None) -> Estimate | None:
        """To the central queue, paired by seed; None where there are too few requests for the metric."""
        return ratio(self.rows[rule], self.rows[BASE], metric, kind)

    @property
    def algorithms(self) -> list[str]:
        """Without the bounds."""
        return [rule for rule, rows in self.rows.items() if rows[0]["utilization"]]


def compare(
    scenario: Scenario, algorithms: Sequence[str], seeds: Sequence[int], processes: int = 1, done: Done | None = None
) -> Report:
    """Run every algorithm and every bound with every seed."""
    return compare_all([(scenario, algorithms)], seeds, processes, done)[0]


def compare_all(
    cases: Sequence[tuple[Scenario, Sequence[str]]], seeds: Sequence[int], processes: int = 1, done: Done | None = None
) -> list[Report]:
    """The same for several scenarios, with all their runs in one pot."""
    jobs = [
        Job(scenario, rule, seed)
        for scenario, algorithms in cases
        for rule in dict.fromkeys([*BOUNDS, *algorithms])
        for seed in seeds
    ]
    figures = iter(play(jobs, processes, done))
    reports = []
    for scenario, algorithms in cases:
        rules = dict.fromkeys([*BOUNDS, *algorithms])
        reports.append(Report(scenario, tuple(seeds), {rule: [next(figures) for _ in seeds] for rule in rules}))
    return reports


def as_json(report: Report) -> str:
    """The same bytes for the same scenario, algorithms and seeds, wherever and whenever it ran."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "scenario": report.scenario.model_dump(mode="json"),
            "seeds": report.seeds,
            "quantiles_of_spectrum": SPECTRUM,
            "bounds": [rule for rule in report.rows if rule in BOUNDS],
            "ratios_to_central_queue": {
                rule: {metric: _pair(report.ratio(rule, metric)) for metric in ("mean", "p50", "p90", "p99", "p999")}
                for rule in report.rows
            },
            "runs": report.rows,
        },
        indent=1,
    )


def _pair(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else {"ratio": found.value, "ci95": [found.value - found.half_width, found.upper]}


def table(report: Report) -> Table:
    """For people: times in ms, and how far from the central queue."""
    scenario = report.scenario
    failed = any(row["failed"] for rows in report.rows.values() for row in rows)
    columns = ["", "mean ms", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "mean x bound", "p99 x bound", "busiest node"]
    out = Table(title=describe(scenario, report), title_justify="left", title_style="", pad_edge=False)
    for column in columns + (["failed"] if failed else []):
        out.add_column(column, justify="right" if column else "left")
    for rule, rows in report.rows.items():
        busiest = [max(row["utilization"]) for row in rows if row["utilization"]]
        cells = [
            rule,
            *(_ms(over_seeds(rows, metric)) for metric in ("mean", "p50", "p90", "p99", "p999")),
            *(shown(report.ratio(rule, metric)) for metric in ("mean", "p99")),
            f"{100 * sum(busiest) / len(busiest):.0f} %" if busiest else "",
        ]
        if failed:
            cells.append(f"{100 * sum(row['failed'] / row['requests'] for row in rows) / len(rows):.2f} %")
        out.add_row(*cells, style="dim" if rule in BOUNDS else "", end_section=rule == list(BOUNDS)[-1])
    return out


def describe(scenario: Scenario, report: Report) -> str:
    """The scenario in a line."""
    nodes = ", ".join(f"{g.count} of speed {g.speed:g} with {g.slots} slots" for g in scenario.nodes)
    arrivals = scenario.arrivals
    rate = "" if arrivals.trace else f" {scenario.offered_rps:.4g} requests/s (load {_load(scenario):.3g}),"
    extras = [
        f"{scenario.balancers} balancers" if scenario.balancers > 1 else "",
        f"round trip {scenario.rtt_ms:g} ms" if scenario.rtt_ms else "",
        f"at most {scenario.max_in_flight} in flight at a node" if scenario.max_in_flight else "",
        *(f"n{b.node} {b.factor:g} times slower from {b.begin:.0%} to {b.end:.0%}" for b in scenario.brown_outs),
    ]
    said = "".join(f", {extra}" for extra in extras if extra)
    count = report.rows[BASE][0]["requests"]
    seeds = f"{len(report.seeds)} seeds" if len(report.seeds) > 1 else f"seed {report.seeds[0]}"
    return (
        f"{scenario.name}: nodes {nodes} ({scenario.queueing}),{rate} {arrivals.process} arrivals{said}; "
        f"{seeds} of {scenario.requests:,} requests, {count:,} measured"
    )


def _load(scenario: Scenario) -> float:
    return scenario.offered_rps * scenario.mean_work_s / scenario.capacity


def _ms(found: Estimate | None) -> str:
    return "n/a" if found is None else f"{found.value:.4g}" if found.value < 1000 else f"{found.value:,.0f}"


def shown(found: Estimate | None) -> str:
    """A ratio with its interval."""
    if found is None:
        return "n/a"
    if found.value > UNSTABLE:
        return f"> {UNSTABLE:.0f}"
    return f"{found.value:.2f} ± {found.half_width:.2f}" if found.half_width else f"{found.value:.2f}"
