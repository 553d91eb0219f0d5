"""What a page shows before its script runs: figures of the whole, the count of states, and the traffic picture.

A browser on a slow machine needs a second longer for forty modules than for the page and its styles; the picture
must not wait for them. `static/js/format.js`, `status.js` and `topology.js` write the same a moment later.
"""

from typing import Any, NamedTuple

from dashboard.merge import NODE, TOTALS

ALWAYS = ("up", "draining", "down")
MOST_LANES = 10  # as in topology.js
FEW = 5
MOST_BLOCKS = 24  # as in stack.js
SOMETIMES = ("unknown", "ejected", "maintenance")


def sight(state: dict[str, Any]) -> dict[str, Any]:
    """What the page's template takes."""
    rows = state["tick"][2] if _fresh(state) else []
    numbers = [dict.fromkeys(NODE, 0) | dict(zip(NODE, row, strict=False)) for row in rows]
    return {
        "state": state,
        "numbers": numbers,
        "figures": figures(state),
        "counts": counts(state),
        "kinds": kinds(state),
        "edges": edges(state, [row["rps"] for row in numbers]),
        "labels": {algorithm["key"]: algorithm["label"] for algorithm in state["layout"]["algorithms"]},
        "blocks": blocks,
        "number": number,
    }


def figures(state: dict[str, Any]) -> dict[str, str]:
    """Text of each tile by its name; empty before the first tick, and while no balancer can be reached."""
    if not _fresh(state):
        return {}
    totals = dict(zip(TOTALS, state["tick"][1], strict=True))
    shown = {name: number(totals[name]) for name in ("rps", "p50_ms", "p95_ms", "p99_ms", "in_flight")}
    return {**shown, "errors": percent(totals["errors_per_s"], totals["rps"])}


def _fresh(state: dict[str, Any]) -> bool:
    return bool(state["tick"]) and any(balancer["reachable"] for balancer in state["layout"]["balancers"])


def counts(state: dict[str, Any]) -> str:
    """How many nodes are in which state."""
    states = [node["state"] for node in state["layout"]["nodes"]]
    shown = [*ALWAYS, *(word for word in SOMETIMES if word in states)]
    return " · ".join(f"{states.count(word)} {word}" for word in shown)


def kinds(state: dict[str, Any]) -> dict[str, list[int]]:
    """Indices of the nodes by kind, for tiles; empty where there are few enough for a lane each."""
    nodes = state["layout"]["nodes"]
    found: dict[str, list[int]] = {}
    for i, node in enumerate(nodes if len(nodes) > MOST_LANES else []):
        found.setdefault(node["kind"], []).append(i)
    return found


def blocks(in_flight: Any, slots: int | None) -> list[str]:
    """The stack of what a node has in flight: "full", "over" (waits at the node) or "" (a free slot) a block."""
    held = in_flight if isinstance(in_flight, int) else 0
    each = -(-max(held, slots or 0, 1) // MOST_BLOCKS)
    full, outlines = -(-held // each), -(-(slots or 0) // each)
    return ["" if i >= full else "over" if outlines and i >= outlines else "full" for i in range(max(full, outlines))]


class Edge(NamedTuple):
    """From the balancer to a node, in rem from the left of the balancer."""

    d: str
    wide: float
    ready: bool


class Edges(NamedTuple):
    """All edges of a picture with lanes; css/live.css has the sizes."""

    height: float
    paths: list[Edge]


def edges(state: dict[str, Any], rates: list[float | None]) -> Edges | None:
    """How requests go, as curves; None where boxes must be measured first: tiles, several balancers."""
    nodes = state["layout"]["nodes"]
    if not 0 < len(nodes) <= MOST_LANES or len(state["layout"]["balancers"]) != 1:
        return None
    lane, gap = (4.0, 0.9) if len(nodes) <= FEW else (2.7, 0.45)
    height = len(nodes) * (lane + gap) - gap
    sent = [rate or 0 if node["ready"] else 0 for node, rate in zip(nodes, rates, strict=False)] or [0] * len(nodes)
    paths = []
    for i, node in enumerate(nodes):
        y = f"{i * (lane + gap) + lane / 2:g}"
        wide = 1 + 9 * sent[i] / (sum(sent) or 1)
        paths.append(Edge(f"M13 {height / 2:g}C15.6 {height / 2:g} 15.2 {y} 17.8 {y}", round(wide, 1), node["ready"]))
    return Edges(round(height, 2), paths)


def number(value: Any) -> str:
    """Three figures at most, "–" for none. The values of a tick are rounded already."""
    return "–" if not isinstance(value, int | float) else f"{value:,.0f}" if value >= 10000 else f"{value:g}"


def percent(part: float | None, whole: float | None) -> str:
    """Per cent of a part in a whole; at most 100."""
    if not whole or not part:
        return "0"
    value = min(100, 100 * part / whole)
    return f"{value:.0f}" if value >= 10 else "<0.1" if value < 0.1 else f"{value:.1f}"
