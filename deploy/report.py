"""What a person sees: one live line a host where there is a terminal, plain lines where not, a table at the end.

Everything also goes, with times, into a log file, which the last line names.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.outcome import Code, Outcome

COLOURS = {
    "new": "green", "changed": "green", "unchanged": "dim", "reverted": "yellow", "unreachable": "red", "skipped":
    "yellow", "failed": "red", "ok": "green",
}  # fmt: skip


class Report:
    """Progress and result of one command. Methods may be called from any thread."""

    def __init__(self, command: str, log: Path, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self._verbose = verbose
        self._began = time.monotonic()
        # Where the reader is a program or a file, lines are as long as they must be.
        width = None if sys.stdout.isatty() else 200
        self._out = Console(highlight=False, markup=False, soft_wrap=True, width=width)
        self._err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._phases: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._log_path = log
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = log.open("a", encoding="utf-8")
        self._write(f"--- fab {command} {time.strftime('%Y-%m-%d %H:%M:%S')}")

    def watch(self, hosts: list[str]) -> None:
        """Begin to show these hosts."""
        self._phases = {host: ("", time.monotonic()) for host in hosts}
        if self._err.is_terminal and not self.as_json and not self._verbose:
            self._live = Live(get_renderable=self._lines, console=self._err, refresh_per_second=8, transient=True)
            self._live.start()

    def note(self, host: str, text: str) -> None:
        """What a host does now."""
        with self._lock:
            self._phases[host] = (text, time.monotonic())
            self._write(f"{host}: {text}")
            if self._live is None and not self.as_json:
                self._err.print(f"{time.monotonic() - self._began:6.1f} s  {host}: {text}")

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        with self._lock:
            self._write(text)
            if not self.as_json:
                self._err.print(text, style=style)

    def raw(self, text: str) -> None:
        """For the log, and for who wants to see everything (-v)."""
        with self._lock:
            self._write(text)
            if self._verbose and not self.as_json:
                self._err.print(text, style="dim")

    def end(self, outcome: Outcome) -> int:
        """Show the result; the exit code."""
        outcome.took_s = time.monotonic() - self._began
        self.stop()
        self._write(json.dumps(outcome.to_json(), ensure_ascii=False))
        if self.as_json:
            print(json.dumps(outcome.to_json(), indent=2, ensure_ascii=False))
        else:
            self._table(outcome)
        self._log.close()
        return int(outcome.code)

    def stop(self) -> None:
        """No more live lines."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def print(self, what: Any) -> None:
        """Data for people, to standard output; programs (--json) get theirs with the outcome, all in one object."""
        self.stop()
        if not self.as_json:
            self._out.print(what)

    def _lines(self) -> Table:
        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        for host, (text, since) in list(self._phases.items()):
            table.add_row(host, f"{now - since:.0f} s", text)
        return table

    def _table(self, outcome: Outcome) -> None:
        if outcome.hosts:
            table = Table(box=None, pad_edge=False, header_style="bold")
            for column in ("host", "roles", "result", "release", "took", ""):
                table.add_column(column, overflow="fold")
            for row in outcome.hosts:
                moved = row.now if row.before in ("", row.now) else f"{row.before} -> {row.now}"
                took = f"{row.took_s:.1f} s" if row.took_s else ""
                result = Text(row.result, style=COLOURS.get(row.result, ""))
                table.add_row(row.host, ",".join(row.roles), result, moved, took, row.detail)
            self._out.print(table)
        for row in outcome.hosts:
            for line in row.log:
                self._out.print(f"  {row.host} | {line}", style="dim")
        if outcome.traffic is not None:
            style = "red" if outcome.traffic.failed else ""
            self._out.print(f"clients meanwhile: {outcome.traffic.sentence()}", style=style)
        style = "" if outcome.code in (Code.OK, Code.PENDING) else "bold red"
        self._out.print(f"{outcome.summary} ({outcome.took_s:.1f} s)", style=style)
        if outcome.code not in (Code.OK, Code.PENDING):
            print(f"the whole story: {self._log_path}", file=sys.stderr)

    def _write(self, text: str) -> None:
        if not self._log.closed:
            now = time.time()
            self._log.write(f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03d} {text}\n")
            self._log.flush()
