"""What the terminal shows of a run, live and at its end."""

import json
from time import monotonic

import numpy as np
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lab.load.generator import Progress
from lab.load.schedule import Schedule
from lab.load.summary import Latency, Summary

_RECENT = 2000  # answers that the live percentiles are of


class LiveView:
    """Redrawn at each progress report."""

    def __init__(self, schedule: Schedule, url: str) -> None:
        self._schedule = schedule
        self._url = url
        self._begun = monotonic()

    def show(self, progress: Progress) -> RenderableType:
        """As it stands."""
        passed_s = min(monotonic() - self._begun, self._schedule.duration_s)
        recent = np.array(progress.latencies_ms[-_RECENT:])
        p50, p99 = np.quantile(recent, [0.5, 0.99]) if len(recent) else (0, 0)
        line = Text.assemble(
            f"{self._url}  {self._schedule.rate:.0f}/s  ",
            f"{progress.sent:,} of {len(self._schedule):,} sent, {progress.sent - progress.done} on the way, ",
            (f"{progress.failed} failed", "red" if progress.failed else "green"),
            f"  p50 {p50:.1f}  p99 {p99:.1f} ms  {self._schedule.duration_s - passed_s:.0f} s left",
        )
        return Group(line, ProgressBar(total=self._schedule.duration_s, completed=passed_s, width=60))


class ProgressLines:
    """For a program that follows: a line of JSON on stdout at each progress report."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._begun = monotonic()

    def show(self, progress: Progress) -> None:
        """As it stands; percentiles are of the last answers, None before the first."""
        elapsed_s = max(1e-3, monotonic() - self._begun)
        recent = progress.latencies_ms[-_RECENT:]
        told = {
            "elapsed_s": round(elapsed_s, 1),
            "offered_rps": round(len(self._schedule) / self._schedule.duration_s, 1),
            "achieved_rps": round((progress.done - progress.failed) / elapsed_s, 1),
            "errors": progress.failed,
            "p99_ms": round(float(np.quantile(recent, 0.99)), 1) if recent else None,
        }
        print(json.dumps(told), flush=True)


def table(summary: Summary) -> Table:
    """The figures of a finished run, all requests first, then kind by kind."""
    out = Table(title=f"{summary['offered_rps']:.1f}/s offered, {summary['achieved_rps']:.1f}/s achieved",
                title_justify="left")  # fmt: skip
    out.add_column("latency in ms")
    for name in ("n", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"):
        out.add_column(name, justify="right")
    out.add_row("all", *_cells(summary["latency"]))
    if len(summary["by_kind"]) > 1:
        for kind, figures in summary["by_kind"].items():
            out.add_row(kind, *_cells(figures))
    return out


def notes(summary: Summary) -> list[str]:
    """Sentences below the table."""
    lag = summary["lag"]
    said = [
        "answers: " + ", ".join(f"{count:,} {name}" for name, count in summary["outcomes"].items()),
        "nodes: " + (", ".join(f"{name} {count:,}" for name, count in summary["by_node"].items()) or "not said"),
        f"generator: lag p50 {lag['p50_ms']}, p99 {lag['p99_ms']}, max {lag['max_ms']} ms, "
        f"{summary['generator_cpu']:.0%} of a CPU",
    ]
    return said + [f"INVALID: {why}" for why in summary["why_invalid"]]


def _cells(figures: Latency) -> list[str]:
    names = ("mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
    values = [figures[name] for name in names]  # type: ignore[literal-required]
    return [f"{figures['n']:,}", *("n/a" if value is None else f"{value:.1f}" for value in values)]
