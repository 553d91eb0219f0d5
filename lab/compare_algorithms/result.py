"""comparison.json and runs.csv: everything that was measured and concluded, in one versioned shape.

SCHEMA rises whenever a key changes its meaning or goes; readers must bear new keys.
"""

import csv
import io
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cluster.paths import PROJECT
from lab.compare_algorithms import figures
from lab.compare_algorithms.calibrate import Calibration
from lab.compare_algorithms.design import AGAIN
from lab.compare_algorithms.experiment import Experiment, Run, node_figures
from lab.compare_algorithms.statistics import MEASURES, Comparison, Verdict
from lab.load.records import merge
from lab.load.summary import latency, summarize

SCHEMA = 1


def make(
    experiment: Experiment, nodes: Sequence[dict[str, Any]], calibration: Calibration | None, *,
    margin: float, urls: dict[str, str], warnings: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """The whole comparison."""
    rng = np.random.default_rng(list(f"{experiment.seed} bootstrap".encode()))
    seen = figures.speeds(experiment.runs)
    nodes = [node | {"speed": seen.get(node["node"])} for node in nodes]
    by_measure = figures.compared(experiment, margin, rng)
    measure = figures.headline(experiment)
    overhead_ms = (calibration.overhead_ms if calibration else None) or 0.0
    twin = figures.twin_of(experiment, nodes, overhead_ms)
    alarms = [
        f"A/A: {arm.name} came out {c.verdict} in {name}; believe none of these verdicts"
        for name, pairs in by_measure.items() for arm, c in pairs
        if arm.name.endswith(AGAIN) and c.verdict in (Verdict.FASTER, Verdict.SLOWER)
    ]  # fmt: skip
    return {
        "schema": SCHEMA,
        "tool_version": _version(),
        "git": _git(),
        "started": datetime.fromtimestamp(experiment.runs[0].t0 if experiment.runs else 0, UTC).isoformat(),
        "host": {"cpu": _cpu(), "cpus": os.cpu_count(), "os": platform.platform(), "python": platform.python_version()},
        **urls,
        "topology": nodes,
        "workload": experiment.workload.model_dump(mode="json") | {"rate": experiment.rate, "seed": experiment.seed},
        "design": asdict(experiment.design) | {
            "arms": [asdict(arm) for arm in experiment.arms], "blocks_done": experiment.blocks,
            "blocks_valid": len(experiment.valid_blocks()), "stopped": experiment.stopped,
            "carry_state": True, "margin": margin,
        },
        "calibration": _calibrated(experiment, calibration, by_measure.get(measure, [])),
        "headline": {"measure": measure, "best": figures.top_two(experiment, measure, margin, rng)},
        "runs": [_run(run, nodes, experiment.design.warm_up_s) for run in experiment.runs],
        "arms": {arm.name: _arm(experiment.of_arm(arm.name), experiment.design.warm_up_s) for arm in experiment.arms},
        "comparisons": [
            _comparison(arm.name, experiment.arms[0].name, name, judged)
            for name, pairs in by_measure.items()
            for arm, judged in pairs
        ],
        "bounds": twin[0] if twin else None,
        "twin": twin[1] if twin else {},
        "fairness": {
            arm.name: figures.fairness_of(experiment.of_arm(arm.name), nodes, experiment.design.warm_up_s)
            for arm in experiment.arms
        },
        "warnings": [*warnings, *alarms, *_invalid(experiment)],
    }  # fmt: skip


def _calibrated(experiment: Experiment, calibration: Calibration | None, pairs: Sequence[Any]) -> dict[str, Any]:
    again = [judged.ratio for arm, judged in pairs if arm.name.endswith(AGAIN) and np.isfinite(judged.ratio)]
    found: dict[str, Any] = calibration.as_json() if calibration else {"capacity_rps": None}
    share = experiment.rate / found["capacity_rps"] if found["capacity_rps"] else None
    return found | {"load": share, "aa_ratio": again[0] if again else None}


def _run(run: Run, nodes: Sequence[dict[str, Any]], warm_up_s: float) -> dict[str, Any]:
    summary = summarize(run.records)
    return {
        "block": run.block, "order": run.order, "arm": run.arm.name, "algorithm": run.arm.algorithm,
        "t0": run.t0, "t1": run.t1, "valid": not run.why_invalid, "why_invalid": list(run.why_invalid),
        "lag": summary["lag"], "generator_cpu": summary["generator_cpu"], "latency": summary["latency"],
        "by_kind": summary["by_kind"], "by_node": node_figures(run, nodes, warm_up_s), "outcomes": summary["outcomes"],
        "throughput_rps": summary["achieved_rps"], "events": list(run.events),
    }  # fmt: skip


def _arm(runs: Sequence[Run], warm_up_s: float) -> dict[str, Any]:
    """All valid runs of an arm as one: histograms merged, never percentiles averaged."""
    if not runs:
        return {"latency": None, "by_kind": {}, "outcomes": {}, "spectrum": [], "over_time": []}
    records = merge([run.records for run in runs])
    return {
        "latency": latency(records.latencies_ms()),
        "by_kind": {kind: latency(records.of_kind(kind).latencies_ms()) for kind in records.kinds},
        "outcomes": records.counts(),
        "service_mean_ms": _service_mean(records.rows["service_ms"]),
        "spectrum": figures.spectrum(runs),
        "over_time": figures.over_time(runs, warm_up_s),
    }


def _service_mean(service_ms: Any) -> float | None:
    said = service_ms[~np.isnan(service_ms)]
    return float(np.mean(said)) if len(said) else None


def _comparison(a: str, b: str, measure: str, judged: Comparison) -> dict[str, Any]:
    def pair(interval: Any) -> list[float | None]:
        return [value if np.isfinite(value) else None for value in (interval.low, interval.high)]

    return {
        "a": a, "b": b, "metric": measure, "ratio": judged.ratio if np.isfinite(judged.ratio) else None,
        "ci95": pair(judged.ci95), "ci90": pair(judged.ci90), "bootstrap95": pair(judged.bootstrap95),
        "p": judged.p, "p_holm": judged.p_holm, "blocks": judged.blocks, "block_ratios": list(judged.block_ratios),
        "verdict": judged.verdict.value, "more_blocks": judged.more_blocks,
        "resolution_pct": judged.resolution_pct if np.isfinite(judged.resolution_pct) else None,
    }  # fmt: skip


def _invalid(experiment: Experiment) -> list[str]:
    bad = [run for run in experiment.runs if run.why_invalid]
    if not bad:
        return []
    lost = experiment.blocks - len(experiment.valid_blocks())
    different = list(dict.fromkeys(why for run in bad for why in run.why_invalid))
    reasons = "; ".join(different[:3]) + (f"; and {len(different) - 3} more reasons" if len(different) > 3 else "")
    return [f"{len(bad)} of {len(experiment.runs)} runs are invalid, so {lost} of {experiment.blocks} blocks do not "
            f"count: {reasons}"]  # fmt: skip


def to_csv(result: dict[str, Any]) -> str:
    """One line a run."""
    names = ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    shares = [f"share_{node['node']}" for node in result["topology"]]
    writer.writerow(["block", "order", "arm", "algorithm", "valid", "n", *names, "throughput_rps", "failed",
                     "lag_p99_ms", "generator_cpu", *shares])  # fmt: skip
    for run in result["runs"]:
        failed = sum(count for outcome, count in run["outcomes"].items() if outcome != "ok")
        writer.writerow([
            run["block"], run["order"], run["arm"], run["algorithm"], run["valid"], run["latency"]["n"],
            *(run["latency"][name] for name in names), run["throughput_rps"], failed, run["lag"]["p99_ms"],
            run["generator_cpu"], *(round(node["share"], 4) for node in run["by_node"].values()),
        ])  # fmt: skip
    return out.getvalue()


def measures_of(result: dict[str, Any]) -> list[str]:
    """Those that were compared, in their usual order."""
    there = {each["metric"] for each in result["comparisons"]}
    return [name for name in [*MEASURES, "throughput"] if name in there]


def _version() -> str:
    try:
        return version("fairlead")
    except PackageNotFoundError:
        return "source"


def _git() -> str | None:
    try:
        told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True,
                              timeout=5, check=False)  # fmt: skip
    except OSError:
        return None
    return told.stdout.strip() or None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
