"""What the command `fairlead` shows to people. Colours and tables by rich; plain text into a pipe."""

import sys
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.config import Fleet, Runs
from cluster.programs import Program
from cluster.wire import Event, Snapshot

_PIPE_WIDTH = 200  # columns are never cut off where nobody can widen the window
_STYLES = {
    "up": "green",
    "unknown": "yellow",
    "ejected": "red",
    "down": "red",
    "draining": "cyan",
    "maintenance": "cyan",
}


def snapshot(s: Snapshot) -> None:
    """Totals and one line a node."""
    console = _console()
    differs = "" if s["algorithm"] == s["algorithm_in_file"] else f" (in the file: {s['algorithm_in_file']})"
    totals, window = s["totals"], s["window"]
    console.print(f"fleet {s['fleet']} · balancer {s['balancer']} · algorithm {s['algorithm']}{differs}")
    console.print(
        f"{totals['requests']} requests · {totals['errors']} errors · {totals['retries']} retries ·"
        f" {totals['in_flight']} in flight · {window['rps']:.1f}/s · p50 {_ms(window['p50_ms'])}"
        f" · p99 {_ms(window['p99_ms'])} ms over {window['seconds']:g} s"
    )
    table = _table("node", "kind", "address", "state", "weight", "in flight", "per s", "p50 ms", "p95 ms", "p99 ms")
    for column in ("attempts", "errors"):
        table.add_column(column, justify="right")
    table.add_column("why", overflow="fold")
    for node in s["nodes"]:
        w = node["window"]
        table.add_row(
            node["name"],
            node["kind"],
            node["address"],
            Text(node["state"], style=_STYLES.get(node["state"], "")),
            str(node["weight"]),
            str(node["in_flight"]),
            f"{w['rps']:.1f}",
            _ms(w["p50_ms"]),
            _ms(w["p95_ms"]),
            _ms(w["p99_ms"]),
            str(node["attempts"]),
            str(node["errors"] + node["bad_answers"]),
            Text(node["cause"]),
        )
    console.print(table)
    if s["ejection_bypassed"]:
        console.print("every ready node was ejected, so ejected ones are used after all", style="yellow")


def programs(source: str, fleet: Fleet, listed: list[Program]) -> None:
    """What a configuration would run, host by host."""
    console = _console()
    console.print(f"{source} is fine: fleet {fleet.fleet}")
    table = _table("host", "address", "program", "port", "serves")
    for key, host in fleet.hosts.items():
        for program in (p for p in listed if p.host == key):
            table.add_row(key, host.address, program.name, str(program.port or "-"), _serves(fleet, program))
    for node in fleet.nodes:
        if node.runs is Runs.EXTERNAL:
            table.add_row("-", node.address or "", f"(external) {node.name}", str(node.port), node.kind)
    console.print(table)


def event_line(event: Event) -> str:
    """One line: number, local time, what, who."""
    at = time.strftime("%H:%M:%S", time.localtime(event["at"]))
    return f"{event['seq']:>6}  {at}  {event['kind']:<10} {event['text']}  ({event['who']})"


def _serves(fleet: Fleet, program: Program) -> str:
    if program.role != "node":
        return program.part if program.role in ("balancer", "control") else ""
    node = fleet.node(program.part)
    return f"{node.kind}: {node.command}" if node.command else str(node.kind)


def _console() -> Console:
    piped = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(highlight=False, markup=False, width=piped)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        number = column in ("weight", "in flight", "per s", "port") or column.endswith(" ms")
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
