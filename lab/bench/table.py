"""The rows for people: one table a scenario, and what must be known to read it."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from lab.bench.rows import Row
from lab.bench.scenarios import SCENARIOS

_COLUMNS = (
    "balancer", "requests / CPU s", "± spread", "MB / CPU s", "p50 ms", "p99 ms", "memory MB", "errors",
    "vs haproxy", "vs envoy", "vs caddy", "vs naive", "requests / s", "its CPU", "load CPU",
)  # fmt: skip

DISTURBED_PCT = 10


def tables(rows: Sequence[Row]) -> list[Table]:
    """One table for each scenario, in the order of the rows."""
    return [_table(key, list(group)) for key, group in groupby(rows, key=lambda row: row["scenario"])]


def notes(rows: Sequence[Row]) -> list[str]:
    """Sentences about what the figures do not show by themselves."""
    said = []
    for row in rows:
        name = f"{row['scenario']}, {row['balancer']}"
        if row["limit"] == "load":
            said.append(
                f"{name}: wrk and the nodes had no CPU left ({row['load_cpu_pct']:.0f} %) while the balancer used "
                f"{row['cpu_pct']:.0f} % of its own: requests / s and latency are theirs, requests / CPU s is not."
            )
        if row["errors"]:
            said.append(f"{name}: {row['errors']} errors; its figures mean little.")
    disturbed = [row["other_cpu_pct"] for row in rows if row["other_cpu_pct"] > DISTURBED_PCT]
    if disturbed:
        said.append(
            f"Programs outside the bench used up to {max(disturbed):.0f} % of a CPU during {len(disturbed)} of "
            f"{len(rows)} rows (over {DISTURBED_PCT} %): repeat it on a quiet machine."
        )
    controlled = [row for row in rows if row["control_rss_mb"]]
    if controlled:
        said.append(
            f"{controlled[0]['balancer']}: its control process took up to "
            f"{max(row['control_cpu_pct'] for row in controlled):.1f} % of the CPU and "
            f"{max(row['control_rss_mb'] for row in controlled):.0f} MB; both are part of its figures."
        )
    return said


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the tables and the notes."""
    for table in tables(rows):
        console.print(table)
    for note in notes(rows):
        console.print(f"- {note}", highlight=False)


def _table(key: str, rows: list[Row]) -> Table:
    first = rows[0]
    rounds = f"{first['rounds']} x {first['seconds']} s, medians" if first["rounds"] > 1 else f"{first['seconds']} s"
    table = Table(title=f"{key}: {SCENARIOS[key].title} ({rounds})", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "balancer" else "right")
    for row in rows:
        table.add_row(
            row["balancer"],
            f"{row['requests_per_cpu_s']:,.0f}",
            f"{row['spread_pct'] / 2:.1f} %",
            f"{row['bytes_per_cpu_s'] / 1e6:,.1f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['rss_mb']:.0f}",
            str(row["errors"]),
            _ratio(row["vs_haproxy"]),
            _ratio(row["vs_envoy"]),
            _ratio(row["vs_caddy"]),
            _ratio(row["vs_naive"]),
            f"{row['requests_per_s']:,.0f}",
            f"{row['cpu_pct']:.0f} %",
            f"{row['load_cpu_pct']:.0f} %",
        )
    return table


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"
