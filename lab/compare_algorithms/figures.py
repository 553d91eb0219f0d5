"""From the runs of an experiment to figures: ratios, bounds, shares, series. Pure."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.compare_algorithms import twin
from lab.compare_algorithms.design import AGAIN, Arm
from lab.compare_algorithms.experiment import Experiment, Run, node_figures
from lab.compare_algorithms.statistics import (
    MEASURES,
    Comparison,
    Verdict,
    compare_each,
    headline_measure,
    log_ratios,
    measures_for,
    percentile,
)
from lab.load.records import merge

SPECTRUM = 1 - np.logspace(0, -4, 81)[1:]
"""Shares from 10.9 % to 99.99 %, evenly spaced as 1 / (1 - share)."""


def compared(
    experiment: Experiment, margin: float, rng: np.random.Generator
) -> dict[str, list[tuple[Arm, Comparison]]]:
    """By measure: each arm but the first against the first. Holm's correction is over the algorithms; the A/A arm is
    judged without it, which makes it the stricter alarm."""
    baseline, *others = experiment.arms
    of_baseline = experiment.of_arm(baseline.name)
    least = min((len(run.records) for run in experiment.runs), default=0)
    out: dict[str, list[tuple[Arm, Comparison]]] = {}
    for measure in [name for name in measures_for(least) if name in MEASURES] + ["throughput"]:
        values = {arm.name: _ratios(experiment.of_arm(arm.name), of_baseline, measure) for arm in others}
        more = measure == "throughput"
        real = [arm for arm in others if not arm.name.endswith(AGAIN)]
        judged = compare_each([values[arm.name] for arm in real], rng, margin=margin, more_is_better=more)
        again = [arm for arm in others if arm.name.endswith(AGAIN)]
        judged += [
            c for arm in again for c in compare_each([values[arm.name]], rng, margin=margin, more_is_better=more)
        ]
        out[measure] = list(zip([*real, *again], judged, strict=True))
    return out


def _ratios(candidate: Sequence[Run], baseline: Sequence[Run], measure: str) -> NDArray[np.float64]:
    if measure == "throughput":
        rates = [np.array([float(np.sum(run.records.ok))]) for run in candidate]
        return log_ratios(rates, [np.array([float(np.sum(run.records.ok))]) for run in baseline], MEASURES["mean"])
    return log_ratios(
        [run.records.latencies_ms() for run in candidate], [run.records.latencies_ms() for run in baseline],
        MEASURES[measure],
    )  # fmt: skip


def headline(experiment: Experiment) -> str:
    """The measure that the verdict is about."""
    return headline_measure(min((len(run.records) for run in experiment.runs), default=0))


def top_two(experiment: Experiment, measure: str, margin: float, rng: np.random.Generator) -> str:
    """A sentence: is the best one better than the next? Nobody is crowned who is not."""
    real = [arm for arm in experiment.arms if not arm.name.endswith(AGAIN)]
    if len(real) < 2 or not experiment.valid_blocks():
        return ""
    figures = {
        arm.name: float(np.exp(np.mean([np.log(MEASURES[measure](r.records.latencies_ms()))
                                        for r in experiment.of_arm(arm.name)])))
        for arm in real
    }  # fmt: skip
    first, second = sorted(figures, key=figures.__getitem__)[:2]
    values = _ratios(experiment.of_arm(first), experiment.of_arm(second), measure)
    judged = compare_each([values], rng, margin=margin)[0]
    if judged.verdict is Verdict.FASTER:
        return f"{first} has the lowest {measure}, {100 * (1 - judged.ratio):.0f} % below the next, {second}."
    return f"{first} and {second} have the lowest {measure}; which of the two is better was not decided."


# -- the fleet -------------------------------------------------------------------------------------------------------


def speeds(runs: Sequence[Run]) -> dict[str, float]:
    """Speed of each node, from the work that was sent and the time that the node said it would take."""
    out = {}
    if runs:
        records = merge([run.records for run in runs])
        said = records.rows[~np.isnan(records.rows["work_ms"]) & (records.rows["service_ms"] > 0)]
        for number, name in enumerate(records.nodes):
            mine = said[said["node"] == number]
            if name and len(mine):
                out[name] = float(np.round(np.median(mine["work_ms"] / mine["service_ms"]), 3))
    return out


def twin_of(
    experiment: Experiment, nodes: Sequence[dict[str, Any]], overhead_ms: float
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The two bounds, and each arm as simulated, for the schedules that were sent; None where slots, speeds or work are
    not known."""
    scenario = twin.scenario_of(nodes, experiment.workload.deadline_s)
    schedules = [experiment.schedules[block] for block in experiment.valid_blocks()]
    if scenario is None or experiment.workload.mean_ms is None or not schedules:
        return None

    def figures(of_blocks: Iterable[NDArray[np.float64]]) -> dict[str, float]:
        latencies = twin.pooled(schedules, of_blocks, experiment.design.warm_up_s)
        return {f"{name}_ms": MEASURES[name](latencies) for name in ("mean", "p50", "p99")}

    bounds = {
        name: figures(twin.bound_ms(scenario, each, name, overhead_ms) for each in schedules) for name in twin.BOUNDS
    }
    arms = {
        arm.name: figures(
            twin.simulated_ms(
                scenario, experiment.schedules[run.block], arm.algorithm, overhead_ms, run.requests_before
            )
            for run in experiment.of_arm(arm.name)
        )
        for arm in experiment.arms
        if twin.can_simulate(arm.algorithm) and not arm.name.endswith(AGAIN)
    }
    return bounds | {"overhead_ms": overhead_ms}, arms


def jain(values: Sequence[float]) -> float | None:
    """Jain's index: 1 all equal, 1/n one has it all."""
    total = sum(values)
    return total * total / (len(values) * sum(v * v for v in values)) if total else None


def fairness_of(runs: Sequence[Run], nodes: Sequence[dict[str, Any]], warm_up_s: float) -> dict[str, Any]:
    """How evenly the nodes were used. Even is not the goal; latency is."""
    figures = [node_figures(run, nodes, warm_up_s) for run in runs]
    names = [node["node"] for node in nodes]
    count = {name: sum(int(each[name]["n"] or 0) for each in figures) for name in names}
    total = sum(count.values())
    busy = {name: [each[name]["busy"] for each in figures] for name in names}
    known = all(value is not None for values in busy.values() for value in values) and bool(figures)
    mean_busy = {name: float(np.mean([v or 0.0 for v in busy[name]])) if known else None for name in names}
    share = {name: count[name] / total if total else 0.0 for name in names}
    return {
        "share": share,
        # 95 % of what the share would scatter by if each request chose by chance
        "share_plus_minus": {n: 1.96 * (share[n] * (1 - share[n]) / total) ** 0.5 if total else None for n in names},
        "busy": mean_busy,
        "jain_busy": jain([value for value in mean_busy.values() if value is not None]) if known else None,
        "jain_requests_by_weight": jain([count[n["node"]] / n["weight"] for n in nodes if n["weight"]]),
    }


# -- curves ----------------------------------------------------------------------------------------------------------


def spectrum(runs: Sequence[Run]) -> list[tuple[float, float]]:
    """(1 / (1 - share), latency in ms), as far as ten samples lie beyond."""
    latencies = np.sort(np.concatenate([run.records.latencies_ms() for run in runs])) if runs else np.array([])
    points = []
    for share in SPECTRUM:
        if len(latencies) * (1 - share) >= 10:
            points.append((float(1 / (1 - share)), float(latencies[int(np.ceil(share * len(latencies))) - 1])))
    return points


def over_time(runs: Sequence[Run], warm_up_s: float, bins: int = 12) -> list[dict[str, float]]:
    """Median and p90 latency over the course of a run, all blocks together: a queue that grows shows here."""
    if not runs:
        return []
    due = np.concatenate([run.records.rows["due_s"] for run in runs]) - warm_up_s
    latencies = np.concatenate([run.records.latencies_ms() for run in runs])
    edges = np.linspace(0, runs[0].records.duration_s, bins + 1)
    out = []
    for low, high in pairwise(edges):
        mine = latencies[(due >= low) & (due < high)]
        if len(mine) >= 10:
            out.append(
                {"at_s": float((low + high) / 2), "p50_ms": percentile(mine, 0.5), "p90_ms": percentile(mine, 0.9)}
            )
    return out
