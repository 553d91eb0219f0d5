"""What the terminal shows: how far it is and how long it will take, then the verdicts."""

from collections import Counter
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from lab.compare_algorithms.design import Arm
from lab.compare_algorithms.experiment import Run
from lab.load import generator

STYLES = {"faster": "green", "slower": "red", "equivalent": "cyan", "inconclusive": "yellow"}


class TerminalView:
    """On stderr: one line that is redrawn on a terminal, one line a block into a pipe."""

    def __init__(self, console: Console, blocks: int, arms: int) -> None:
        self._console = console
        self._arms = arms
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"),
            console=console, transient=True, refresh_per_second=2, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=blocks * arms, left="")
        self._label = ""
        self._in_block: Counter[int] = Counter()
        self._invalid: set[int] = set()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begins(self, block: int, arm: Arm, left_s: float) -> None:
        self._label = f"block {block + 1}  {arm.name}"
        minutes, seconds = divmod(round(left_s), 60)
        self._bar.update(self._task, description=self._label, left=f"{minutes}:{seconds:02} left")

    def progress(self, progress: generator.Progress) -> None:
        failed = f", {progress.failed} failed" if progress.failed else ""
        self._bar.update(self._task, description=f"{self._label}  {progress.done} answers{failed}")

    def ended(self, run: Run) -> None:
        for why in run.why_invalid:
            text = f"block {run.block + 1}, {run.arm.name}: INVALID: {why}"
            self._console.print(text, style="red", highlight=False, soft_wrap=True)
        self._in_block[run.block] += 1
        self._invalid |= {run.block} if run.why_invalid else set()
        self._bar.update(self._task, completed=self._in_block.total() - self._arms * len(self._invalid))

    def block_ended(self, block: int) -> None:
        if not self._console.is_terminal:
            self._console.print(f"block {block + 1} done", highlight=False)


def verdict_words(comparison: dict[str, Any]) -> str:
    """`faster`, or `inconclusive: about 12 more blocks`."""
    if comparison["verdict"] != "inconclusive":
        return str(comparison["verdict"])
    more = comparison["more_blocks"]
    return f"inconclusive: about {more} more blocks" if more else "inconclusive"


def table(result: dict[str, Any]) -> Table:
    """The verdicts in the measure of the headline, with the other figures beside."""
    measure = result["headline"]["measure"]
    baseline = result["design"]["arms"][0]["name"]
    out = Table(title=f"{measure} latency against {baseline}", title_justify="left")
    for name in ("algorithm", "verdict"):
        out.add_column(name)
    for name in ("ratio", "95 % interval", "p (Holm)", "mean ms", "p50 ms", "p99 ms", "failed"):
        out.add_column(name, justify="right")
    compared = {each["a"]: each for each in result["comparisons"] if each["metric"] == measure}
    for name, figures in result["arms"].items():
        found = figures["latency"] or {}
        ms = ["n/a" if found.get(f"{m}_ms") is None else f"{found[f'{m}_ms']:.1f}" for m in ("mean", "p50", "p99")]
        failed = str(sum(count for outcome, count in figures["outcomes"].items() if outcome != "ok"))
        each = compared.get(name)
        if each is None or each["ratio"] is None:
            out.add_row(name, "baseline" if each is None else "inconclusive", "", "", "", *ms, failed)
            continue
        style = STYLES[each["verdict"]]
        out.add_row(
            name, f"[{style}]{verdict_words(each)}[/]", f"{each['ratio']:.3f}", interval(each["ci95"]),
            f"{each['p_holm']:.3f}", *ms, failed,
        )  # fmt: skip
    return out


def interval(pair: list[float | None]) -> str:
    """Two figures, or a dash when there are too few blocks."""
    low, high = pair
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"
