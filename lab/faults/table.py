"""The rows for people: one table, and under it what was missed, measured and noted."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from lab.faults.registry import FAULTS
from lab.faults.rows import Row

_COLUMNS = (
    "fault", "balancer", "sent", "failed GET", "failed POST", "twice", "cut idle", "slow", "max ms", "p99 ms",
    "whole after", "back after", "in flight", "verdict",
)  # fmt: skip


def table(rows: Sequence[Row]) -> Table:
    """One line a row, in their order."""
    made = Table(title="What clients saw while something was broken", title_justify="left")
    for column in _COLUMNS:
        made.add_column(column, justify="left" if column in ("fault", "balancer", "verdict") else "right")
    for each in rows:
        made.add_row(*cells(each))
    return made


def cells(row: Row) -> list[str]:
    """One row as words, in the order of the columns."""
    return [
        row["fault"],
        row["balancer"],
        f"{row['sent']:,}",
        kinds(row["failed_get"]),
        kinds(row["failed_post"]),
        str(row["executed_twice"]),
        str(row["idle_cut"]),
        str(row["slow"]),
        f"{row['max_ms']:,.0f}",
        f"{row['p99_ms']:.0f} ({row['normal_p99_ms']:.0f})",
        f"{row['whole_after_s']:.1f} s" if row["whole_after_s"] else "-",
        "-" if row["back_after_s"] is None else f"{row['back_after_s']:.1f} s",
        "-" if row["in_flight"] is None else str(row["in_flight"]),
        "kept" if not row["missed"] else "missed",
    ]


def kinds(failed: dict[str, int]) -> str:
    """`3 x 502, 1 x cut`."""
    return ", ".join(f"{count} x {kind}" for kind, count in failed.items()) or "0"


def notes(rows: Iterable[Row]) -> list[str]:
    """What the columns do not hold: promises that were not kept, what only one fault measures, what was noted."""
    said = []
    for row in rows:
        parts = [f"missed: {'; '.join(row['missed'])}"] if row["missed"] else []
        parts += [", ".join(f"{key} {value:g}" for key, value in row["measured"].items())] if row["measured"] else []
        parts += list(dict.fromkeys(row["notes"]))
        if parts:
            said.append(f"{row['fault']}, {row['balancer']}: {'. '.join(parts)}")
    return said


def markdown(rows: Sequence[Row]) -> str:
    """The same for a page."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    return "\n".join([*lines, *("| " + " | ".join(cells(row)) + " |" for row in rows)])


def listing() -> Table:
    """All faults, what happens and what is promised."""
    made = Table()
    for column in ("fault", "what happens", "what is promised", "done to"):
        made.add_column(column)
    for fault in FAULTS.values():
        happens = " ".join((fault.run.__doc__ or "").split())
        made.add_row(fault.key, happens, fault.target, " ".join(fault.balancers))
    return made


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table and the notes."""
    console.print(table(rows))
    for note in notes(rows):
        console.print(f"- {note}", highlight=False)
