"""From what each balancer says to one picture of the fleet. Pure.

Two shapes leave this file. The *layout* holds words: names, states, causes, weights; it travels whole once and then
only as changes. The *tick* holds numbers, as arrays in the order of TOTALS and NODE, by node index of the layout.
Over several balancers counts and rates are summed, and percentiles come from their histograms added up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cluster import wire
from cluster.config import Balancer, Fleet, Node, Runs
from cluster.histogram import added_up, percentiles
from dashboard.flow import NOTHING, Passed, errors_of
from dashboard.probes import Probes
from dashboard.processes import ProcessRow

Number = float | None
Count = Literal["in_flight", "requests", "errors", "connections", "queued"]
Rate = Literal["rps", "errors_per_s"]
Percentile = Literal["p50_ms", "p95_ms", "p99_ms"]

COUNTS: tuple[Count, ...] = ("in_flight", "requests", "errors", "connections", "queued")
RATES: tuple[Rate, ...] = ("rps", "errors_per_s")
PERCENTILES: tuple[Percentile, ...] = ("p50_ms", "p95_ms", "p99_ms")
SHARES = (0.50, 0.95, 0.99)
WINDOW = (*RATES, *PERCENTILES)
TOTALS = (*WINDOW, *COUNTS)
# A row ends with its last figure that is not 0.
NODE = ("in_flight", *WINDOW, "errors", "slow_start", "per_s", "failed", "retried")
BALANCER = ("rps", "errors_per_s", "p99_ms", "in_flight")
WORDS = (
    "kind",
    "runs",
    "host",
    "address",
    "admin",
    "health",
    "state",
    "ready",
    "cause",
    "weight",
    "weight_in_file",
    "slots",
)

Layout = dict[str, Any]
Numbers = tuple[list[Number], list[list[Number]], list[list[Number]]]


@dataclass(frozen=True)
class Seen:
    """What the dashboard knows of one balancer now."""

    spec: Balancer
    snapshot: wire.Snapshot | None  # the last one, also while the balancer cannot be reached
    reachable: bool
    cause: str  # why not
    since: float  # of the last change of `reachable`


def layout(
    fleet: Fleet,
    balancers: Sequence[Seen],
    processes: Sequence[ProcessRow],
    probes: Probes,
) -> Layout:
    """Everything that is words. Nodes in the order of config.json, then those that only a balancer knows."""
    heard = [b for b in balancers if b.snapshot is not None]
    views: dict[str, list[tuple[str, wire.NodeView]]] = {node.name: [] for node in fleet.nodes}
    for seen in heard:
        assert seen.snapshot is not None
        for view in seen.snapshot["nodes"]:
            views.setdefault(view["name"], []).append((seen.spec.name, view))
    supervised = {(row["host"], row["name"]): row for row in processes}
    first = heard[0].snapshot if heard else None
    return {
        "fleet": fleet.fleet,
        "dashboard_host": fleet.dashboard.host if fleet.dashboard else None,
        "balancers": [_balancer(fleet, seen) for seen in balancers],
        "algorithm": first["algorithm"] if first else None,
        "algorithm_in_file": first["algorithm_in_file"] if first else None,
        "algorithms": first["algorithms"] if first else [],
        "ejection_bypassed": any(b.snapshot["ejection_bypassed"] for b in heard if b.snapshot),
        "nodes": [
            {**_node(fleet, name, told, supervised), "probe": probes.about(name)} for name, told in views.items()
        ],
        "processes": list(processes),
    }


def _balancer(fleet: Fleet, seen: Seen) -> dict[str, Any]:
    snapshot = seen.snapshot
    address = fleet.hosts[seen.spec.host].address
    return {
        "name": seen.spec.name,
        "host": seen.spec.host,
        "url": f"http://{address}:{seen.spec.port}/",
        "control": f"{address}:{seen.spec.control_port}",
        "reachable": seen.reachable,
        "cause": seen.cause,
        "since": round(seen.since, 3),
        "algorithm": snapshot["algorithm"] if snapshot else None,
        "release": snapshot.get("release", "") if snapshot else "",
        "workers": len(snapshot.get("workers", [])) if snapshot else 0,
    }


def _node(
    fleet: Fleet,
    name: str,
    told: Sequence[tuple[str, wire.NodeView]],
    supervised: dict[tuple[str, str], ProcessRow],
) -> dict[str, Any]:
    if told:
        view = told[0][1]
        node: dict[str, Any] = {"name": name, **{word: view[word] for word in WORDS}}  # type: ignore[literal-required]
        node["since"] = round(view["since"], 1)
    else:
        node = {"name": name, **_from_file(fleet, fleet.node(name)), "since": None}
    of_first = [node[word] for word in ("admin", "weight", "state")]
    node["differs"] = [b for b, v in told[1:] if [v["admin"], v["weight"], v["state"]] != of_first]
    row = supervised.get((node["host"], f"node-{name}"))
    node["process"] = {key: row[key] for key in ("state", "pid", "since", "restarts", "heard")} if row else None
    return node


def _from_file(fleet: Fleet, node: Node) -> dict[str, Any]:
    """A node that no balancer has spoken of yet: what config.json says."""
    host, port = fleet.address_of(node)
    return {
        "kind": str(node.kind),
        "runs": str(node.runs),
        "host": node.host if node.runs is not Runs.EXTERNAL else host,
        "address": f"{host}:{port}",
        "admin": "enabled",
        "health": "unknown",
        "state": "unknown",
        "ready": False,
        "cause": "no balancer has reported it yet",
        "weight": node.weight,
        "weight_in_file": node.weight,
        "slots": node.known_slots,
    }


def reached(balancers: Sequence[Seen]) -> list[wire.Snapshot]:
    """The snapshots that are no older than a tick."""
    return [b.snapshot for b in balancers if b.reachable and b.snapshot is not None]


def tick(names: Iterable[str], balancers: Sequence[Seen], passed: Mapping[str, Passed]) -> Numbers | None:
    """Totals, a row a node, and (with several balancers) a row a balancer; None when none can be reached."""
    snapshots = reached(balancers)
    if not snapshots:
        return None
    windows = _window([s["window"] for s in snapshots])
    totals = [s["totals"] for s in snapshots]
    counts = [sum(t.get(c, 0) for t in totals) for c in COUNTS]
    by_name: dict[str, list[wire.NodeView]] = {}
    for snapshot in snapshots:
        for view in snapshot["nodes"]:
            by_name.setdefault(view["name"], []).append(view)
    rows = [_row(by_name.get(name, []), passed.get(name, NOTHING)) for name in names]
    several = [_balancer_row(seen) for seen in balancers] if len(balancers) > 1 else []
    return [*windows, *counts], rows, several


def _balancer_row(seen: Seen) -> list[Number]:
    if seen.snapshot is None or not seen.reachable:
        return [None] * len(BALANCER)
    rps, errors_per_s, _, _, p99_ms = _window([seen.snapshot["window"]])
    return [rps, errors_per_s, p99_ms, seen.snapshot["totals"]["in_flight"]]


def _row(views: Sequence[wire.NodeView], passed: Passed) -> list[Number]:
    if not views:
        return [None] * len(NODE)
    row = [
        sum(v["in_flight"] for v in views),
        *_window([v["window"] for v in views]),
        sum(errors_of(v) for v in views),
        _short(min(v.get("slow_start", 1.0) for v in views)),
        round(passed.per_s),  # dots are counted, not read
        passed.failed,
        passed.retried,
    ]
    while row[-1] == 0:  # mostly nothing failed: a quarter of a hundred nodes' tick
        row.pop()
    return row


def _window(windows: Sequence[wire.Window]) -> list[Number]:
    rates = [sum(w[name] for w in windows) for name in RATES]
    return [None if value is None else _short(value) for value in [*rates, *_percentiles(windows)]]


def _percentiles(windows: Sequence[wire.Window]) -> list[Number]:
    """Of all together. A balancer of a release that tells no histogram leaves only the worst of each."""
    if len(windows) == 1:
        return [windows[0][name] for name in PERCENTILES]
    told = [w["histogram"] for w in windows if "histogram" in w]
    if len(told) == len(windows):
        return percentiles(added_up(told), SHARES)
    return [max((v for w in windows if (v := w[name]) is not None), default=None) for name in PERCENTILES]


def _short(value: float) -> float:
    """Three or four figures are what a person reads; each digit more is sent twice a second."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    short = round(value, digits)
    return int(short) if short == int(short) else short  # "0", not "0.0"


def change(old: Layout, new: Layout) -> Layout | None:
    """What differs: top-level keys as they are, nodes as {index: {key: value}}; None when nothing does.

    A different list of nodes is sent whole.
    """
    changed = {key: value for key, value in new.items() if key != "nodes" and old.get(key) != value}
    before, after = old.get("nodes", []), new["nodes"]
    if [n["name"] for n in before] != [n["name"] for n in after]:
        return {**changed, "all_nodes": after}
    nodes = {}
    for i, (was, now) in enumerate(zip(before, after, strict=True)):
        if was != now:
            nodes[str(i)] = {key: value for key, value in now.items() if was.get(key) != value}
    if nodes:
        changed["nodes"] = nodes
    return changed or None
