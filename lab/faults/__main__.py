"""`python -m lab.faults`: break things under load and print what clients saw.

Rows go to stdout (a table, JSON with --json, Markdown with --markdown), what is going on to stderr. Exit codes: 0 every
promise of ours was kept; 1 one was not, or something did not start; 2 usage, or a program is missing; 130 Ctrl-C.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.bench.__main__ import facts
from lab.bench.place import find
from lab.bench.processes import StartError
from lab.faults.balancers import BALANCERS
from lab.faults.registry import FAULTS
from lab.faults.rows import Row
from lab.faults.stage import play
from lab.faults.table import listing, markdown, show


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    options = _options(argv)
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    if options.list:
        console.print(listing())
        return 0
    lacking = [b for b in options.balancer if (program := BALANCERS[b].program) and find(program) is None]
    if lacking:
        print(f"lab.faults: {', '.join(lacking)} not found; leave out with --balancer fairlead", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    rows: list[Row] = []
    begun, not_started = time.monotonic(), False
    try:
        _say(facts(options.balancer))
        with tempfile.TemporaryDirectory(prefix="fairlead-faults-") as folder:
            for fault in (FAULTS[key] for key in options.fault):
                for balancer in (key for key in options.balancer if key in fault.balancers):
                    try:
                        rows.append(play(fault, balancer, Path(folder) / f"{fault.key}-{balancer}"))
                        said = "; ".join(rows[-1]["missed"]) or "kept"
                    except StartError as error:
                        not_started, said = True, f"left out: {error}"
                    _say(f"{time.monotonic() - begun:4.0f} s  {fault.key}, {balancer}: {said}")
    except KeyboardInterrupt:
        print("lab.faults: stopped; everything that it started is ended", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(rows, indent=1))
    elif options.markdown:
        print(markdown(rows))
    else:
        show(rows, console)
    return int(not_started or any(row["missed"] for row in rows if row["balancer"] == "fairlead"))


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.faults", description="Break things under load.")
    parser.add_argument("--balancer", nargs="+", metavar="KEY", choices=list(BALANCERS), default=["fairlead"],
                        help=f"of: {', '.join(BALANCERS)} (default fairlead)")  # fmt: skip
    parser.add_argument("--fault", nargs="+", metavar="NAME", choices=list(FAULTS), help="see --list (default all)")
    parser.add_argument("--quick", action="store_true", help="the few that say most, in about a minute")
    parser.add_argument("--list", action="store_true", help="all faults, what happens and what is promised")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    options = parser.parse_args(argv)
    if options.fault is None:
        options.fault = [fault.key for fault in FAULTS.values() if fault.quick or not options.quick]
    return options


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
