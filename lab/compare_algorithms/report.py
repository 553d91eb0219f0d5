"""report.html: one file that says it all, without script or network; light and dark, for desk and phone."""

from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from cluster.paths import PROJECT
from lab.compare_algorithms import charts
from lab.compare_algorithms.design import AGAIN
from lab.compare_algorithms.result import measures_of
from lab.compare_algorithms.view import interval, verdict_words

SCARCE = 10
"""Columns of the kinds' table: below this many samples a mean is not shown."""


def page(result: dict[str, Any]) -> str:
    """The page of a comparison (`comparison.json`, read)."""
    environment = Environment(
        loader=FileSystemLoader(PROJECT / "lab" / "compare_algorithms"), autoescape=select_autoescape(default=True),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"ms": _ms, "interval": interval, "verdict": verdict_words, "pct": _pct}
    arms = list(result["arms"])
    return environment.get_template("report.html.j2").render(
        r=result,
        arms=arms,
        series={name: number for number, name in enumerate(arms)},
        measures=measures_of(result),
        verdicts=[each for each in result["comparisons"] if each["metric"] == result["headline"]["measure"]],
        forests=[(measure, Markup(_forest(result, arms, measure))) for measure in measures_of(result)],
        spectrum=Markup(_spectrum(result, arms)),
        over_time=Markup(_over_time(result, arms)),
        shares=Markup(_shares(result, arms)),
        bounds=[(name, Markup(picture)) for name, picture in _bounds(result, arms)],
        kinds=_kinds(result, arms),
        twins=_twins(result),
        events=_events(result),
        again=AGAIN,
    )


def _forest(result: dict[str, Any], arms: list[str], measure: str) -> str:
    rows = [
        charts.Row(
            each["a"], arms.index(each["a"]), each["ratio"], each["ci95"][0], each["ci95"][1], each["block_ratios"],
            each["verdict"],
        )
        for each in result["comparisons"]
        if each["metric"] == measure and each["ratio"] is not None and None not in each["ci95"]
    ]  # fmt: skip
    words = ("less", "more") if measure == "throughput" else ("faster", "slower")
    return charts.forest(rows, result["design"]["margin"], arms[0], words)


def _spectrum(result: dict[str, Any], arms: list[str]) -> str:
    def label(value: float) -> str:
        return "p" + f"{100 * (1 - 1 / value):.4g}"

    return charts.curves([result["arms"][name]["spectrum"] for name in arms], arms, "latency by percentile",
                         "percentile", x_log=True, x_label=label)  # fmt: skip


def _over_time(result: dict[str, Any], arms: list[str]) -> str:
    def of(key: str) -> list[list[tuple[float, float]]]:
        return [[(p["at_s"], p[key]) for p in result["arms"][name]["over_time"]] for name in arms]

    return charts.curves(of("p50_ms"), arms, "latency over the course of a run", "s since the warm-up", x_log=False,
                         x_label=lambda value: f"{value:.1f}", dashed=of("p90_ms"))  # fmt: skip


def _shares(result: dict[str, Any], arms: list[str]) -> str:
    nodes = [node["node"] for node in result["topology"]]
    rows = [(name, [result["fairness"][name]["share"][node] for node in nodes]) for name in arms]
    if all(node["slots"] and node["speed"] for node in result["topology"]):
        capacity = [node["slots"] * node["speed"] for node in result["topology"]]
        rows.append(("capacity (slots × speed)", [each / sum(capacity) for each in capacity]))
    return charts.stacked(rows, nodes)


def _bounds(result: dict[str, Any], arms: list[str]) -> list[tuple[str, str]]:
    bounds = result["bounds"]
    if bounds is None:
        return []
    out = []
    for measure in ("mean_ms", "p99_ms"):
        unit = bounds["central_queue"][measure]
        rows = [
            (name, number, result["arms"][name]["latency"][measure] / unit)
            for number, name in enumerate(arms)
            if result["arms"][name]["latency"] and result["arms"][name]["latency"][measure] is not None
        ]
        marks = [("central queue", 1.0), ("ideal pool", bounds["ideal_pool"][measure] / unit)]
        out.append(
            (
                measure.removesuffix("_ms"),
                charts.bars(rows, f"{measure} as a multiple of the central queue", "×", marks),
            )
        )
    return out


def _kinds(result: dict[str, Any], arms: list[str]) -> list[dict[str, Any]]:
    """By kind: latency of each arm, and its ratio to the baseline's."""
    kinds = list(result["workload"]["kinds"])
    rows = []
    for kind in kinds if len(kinds) > 1 else []:
        base = result["arms"][arms[0]]["by_kind"].get(kind, {})
        for name in arms:
            figures = result["arms"][name]["by_kind"].get(kind)
            if not figures or figures["n"] < SCARCE:
                continue
            ratio = figures["mean_ms"] / base["mean_ms"] if base.get("mean_ms") else None
            rows.append({"kind": kind, "arm": name, "ratio": ratio, **figures})
    return rows


def _twins(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Live beside simulated, for arms that the simulator knows."""
    return [
        {"arm": name, "measures": [{"live": live[m], "simulated": figures[m]} for m in ("p50_ms", "p99_ms")]}
        for name, figures in result["twin"].items()
        if (live := result["arms"][name]["latency"])
    ]


def _events(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"block": run["block"] + 1, "arm": run["arm"], "after_s": event["at"] - run["t0"], "text": event["text"]}
        for run in result["runs"]
        for event in run["events"]
    ]


def _ms(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def _pct(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1%}"
