"""What a page shows before its script runs: figures of the whole and the count of states, in its words.

A browser on a slow machine needs a second longer for forty modules than for the page and its styles; the figures
must not wait for them. `static/js/format.js` and `status.js` write the same a moment later.
"""

from typing import Any

from dashboard.merge import TOTALS

ALWAYS = ("up", "draining", "down")
SOMETIMES = ("unknown", "ejected", "maintenance")


def figures(state: dict[str, Any]) -> dict[str, str]:
    """Text of each tile by its name; empty before the first tick, and while no balancer can be reached."""
    if not state["tick"] or not any(balancer["reachable"] for balancer in state["layout"]["balancers"]):
        return {}
    totals = dict(zip(TOTALS, state["tick"][1], strict=True))
    shown = {name: number(totals[name]) for name in ("rps", "p50_ms", "p95_ms", "p99_ms", "in_flight")}
    return {**shown, "errors": percent(totals["errors_per_s"], totals["rps"])}


def counts(state: dict[str, Any]) -> str:
    """How many nodes are in which state."""
    states = [node["state"] for node in state["layout"]["nodes"]]
    shown = [*ALWAYS, *(word for word in SOMETIMES if word in states)]
    return " · ".join(f"{states.count(word)} {word}" for word in shown)


def number(value: float | None) -> str:
    """Three figures at most, "–" for none. The values of a tick are rounded already."""
    return "–" if value is None else f"{value:,.0f}" if value >= 10000 else f"{value:g}"


def percent(part: float | None, whole: float | None) -> str:
    """Per cent of a part in a whole."""
    if not whole or not part:
        return "0"
    value = 100 * part / whole
    return f"{value:.0f}" if value >= 10 else "<0.1" if value < 0.1 else f"{value:.1f}"
