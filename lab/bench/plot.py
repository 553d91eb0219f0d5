"""A picture of the rows: requests per CPU second of each balancer, against HAProxy's in the same scenario."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

from lab.bench.rows import Row

COLOURS = {
    "fairlead": "#0072B2", "haproxy": "#999999", "nginx": "#009E73", "envoy": "#CC79A7", "caddy": "#E69F00",
    "naive": "#000000",
}  # fmt: skip
"""Okabe and Ito's, which people with any of the usual colour blindnesses tell apart; the ratio is beside each bar."""


def draw(rows: Sequence[Row], facts: str, path: Path) -> None:
    """Write it in the format that the path's ending says. `facts`: when, where and what was measured."""
    picture(rows, facts).savefig(path, dpi=110)


def picture(rows: Sequence[Row], facts: str) -> Figure:
    """One bar for each row whose scenario was measured with HAProxy, too."""
    shown = [row for row in rows if row["vs_haproxy"] is not None]
    figure = Figure(figsize=(9, 1.2 + 0.15 * len(shown)), layout="constrained")
    axes = figure.subplots()
    at, ticks, labels = 0.0, [], []
    for scenario, group in groupby(shown, key=lambda row: row["scenario"]):
        begin = at
        for row in group:
            ratio = row["vs_haproxy"] or 0.0
            axes.barh(at, ratio, height=0.85, color=COLOURS[row["balancer"]])
            axes.text(ratio, at, f" {ratio:.2f} {row['balancer']}", va="center", fontsize=6)
            at += 1
        ticks.append((begin + at - 1) / 2)
        labels.append(scenario)
        at += 0.7
    axes.axvline(1, color="#999999", linewidth=0.8)
    axes.set_yticks(ticks, labels)
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.01)
    axes.set_xlabel("requests per CPU second of the balancer's processes; HAProxy = 1")
    axes.set_title(facts, fontsize=7, loc="left", wrap=True)
    return figure
