"""A picture of a report: the whole distribution, the distance to the bound, and who got the work.

Colours are Okabe and Ito's, which people with any of the usual colour blindnesses tell apart; lines also differ in
dash, and every mark has its figure beside it.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from lab.simulate.bounds import BOUNDS
from lab.simulate.figures import SPECTRUM, UNSTABLE, Figures
from lab.simulate.report import Report, describe

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
TICKS = {0.5: "50 %", 0.9: "90 %", 0.99: "99 %", 0.999: "99.9 %", 0.9999: "99.99 %"}
MOST_NODES = 40  # beside each other in the picture of shares


def draw(report: Report, path: Path) -> None:
    """Write it in the format that the path's ending says."""
    figure = Figure(figsize=(12, 8.5), layout="constrained")
    axes = figure.subplots(2, 2, gridspec_kw={"width_ratios": (3, 2)})
    figure.suptitle(_wrapped(describe(report.scenario, report)), fontsize=10)
    _spectrum(axes[0, 0], report)
    _distance(axes[0, 1], report)
    _nodes(axes[1, 0], report, "share", "share of the requests, %")
    _nodes(axes[1, 1], report, "utilization", "slots at work, %")
    figure.savefig(path, dpi=110)


def _style(report: Report, rule: str) -> tuple[str, str]:
    place = list(report.rows).index(rule) - len(BOUNDS)
    if place < 0:
        return "#999999", DASHES[place]
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]


def _spectrum(axes: Axes, report: Report) -> None:
    at = 1 / (1 - np.array(SPECTRUM))
    for rule, rows in report.rows.items():
        colour, dash = _style(report, rule)
        enough = (at > 1.1) & (at <= min(row["requests"] for row in rows) / 10)
        latency_ms = np.mean([row["spectrum"] for row in rows], axis=0)
        axes.plot(at[enough], latency_ms[enough], dash, color=colour, label=rule, linewidth=1.8)
    axes.set(xscale="log", yscale="log", ylabel="latency, ms", xlabel="share of the requests that are faster")
    axes.xaxis.set_major_locator(FixedLocator([1 / (1 - quantile) for quantile in TICKS]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(list(TICKS.values()))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    axes.set_title("latency, mean over the seeds", fontsize=10)


def _distance(axes: Axes, report: Report) -> None:
    rules = [rule for rule in report.rows if rule != "central queue"]
    rules.reverse()
    for offset, metric, marker in ((0.15, "mean", "o"), (-0.15, "p99", "s")):
        for place, rule in enumerate(rules):
            found = report.ratio(rule, metric)
            if found is None:
                continue
            colour = _style(report, rule)[0]
            x = min(found.value, UNSTABLE)
            said = f"{metric} {found.value:.2f}" if found.value <= UNSTABLE else f"{metric} > {UNSTABLE:.0f}"
            width = found.half_width if found.value <= UNSTABLE else 0
            axes.errorbar(x, place + offset, xerr=width, fmt=marker, color=colour, capsize=3, markersize=5)
            axes.annotate(said, (x + width, place + offset), xytext=(8, -3), textcoords="offset points", fontsize=7)
    axes.axvline(1, color="#999999", linewidth=1)
    axes.set(xscale="log", yticks=range(len(rules)), yticklabels=rules, xlabel="times the central queue")
    axes.set_xlim(right=axes.get_xlim()[1] * 1.6)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title("distance to the bound, 95 % intervals", fontsize=10)


def _nodes(axes: Axes, report: Report, what: str, label: str) -> None:
    rules = report.algorithms
    count = report.scenario.count
    if count > MOST_NODES:
        for rule in rules:
            colour, dash = _style(report, rule)
            axes.plot(100 * np.sort(_mean(report.rows[rule], what)), dash, color=colour, label=rule)
        axes.set(xlabel="nodes, from least to most", ylabel=label)
    else:
        width = 0.8 / max(1, len(rules))
        for place, rule in enumerate(rules):
            at = np.arange(count) + (place - (len(rules) - 1) / 2) * width
            axes.bar(at, 100 * _mean(report.rows[rule], what), width, color=_style(report, rule)[0], label=rule)
        speeds = [f"n{i + 1}\n×{group.speed:g}" for i, group in enumerate(report.scenario.each)]
        axes.set(xticks=range(count), xticklabels=speeds, ylabel=label)
        axes.tick_params(axis="x", labelsize=7)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)


def _mean(rows: list[Figures], what: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.mean([row[what] for row in rows], axis=0)  # type: ignore[literal-required, no-any-return]


def _wrapped(text: str, width: int = 150) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word + " "
    return "\n".join(line.strip() for line in lines)
