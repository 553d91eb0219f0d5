"""`python -m lab.simulate`: simulate a fleet and print how far each algorithm is from what is possible.

The table (JSON with --json) goes to stdout, progress to stderr. Exit codes: 0 done, 2 usage or a scenario that cannot
be used, 130 Ctrl-C.
"""

import argparse
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cluster.errors import ConfigError, Problem
from lab.simulate.bounds import ORACLES
from lab.simulate.experiments import EXPERIMENTS
from lab.simulate.report import as_json, compare, table
from lab.simulate.result import KNOWN
from lab.simulate.runs import Done, processors
from lab.simulate.scenario import MIXED, Scenario, read_scenario

USUAL = ("round_robin", "least_connections", "power_of_two", "dynamic")


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    signal.signal(signal.SIGTERM, _stop)
    try:
        seeds = range(options.seed, options.seed + (options.seeds or (8 if options.experiment else 4)))
        if options.experiment:
            with _progress() as done:
                printed = EXPERIMENTS[options.experiment].run(seeds, options.processes, done)
            for part in printed:
                console.print(part, highlight=False)
            return 0
        scenario = _scenario(options)
        if options.print_scenario:
            print(scenario.model_dump_json(indent=1))
            return 0
        if options.plot and options.plot.suffix not in (".png", ".svg", ".pdf"):
            raise ConfigError("--plot", [Problem(str(options.plot), "must end in .png, .svg or .pdf")])
        with _progress() as done:
            report = compare(scenario, options.algorithm, seeds, options.processes, done)
    except (ConfigError, ValidationError) as error:
        print(f"lab.simulate: {_said(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lab.simulate: stopped", file=sys.stderr)
        return 130
    if options.json:
        print(as_json(report))
    else:
        console.print(table(report))
    if options.plot:
        from lab.simulate.plot import draw  # matplotlib takes a second to load

        draw(report, options.plot)
        print(f"lab.simulate: drew {options.plot}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.simulate",
        description="Simulate a fleet with the algorithms of the balancer. Flags change the scenario of the file, or "
        "the usual one: 4 nodes of speed 1, 3 of 2, 3 of 4, each with 4 slots, load 0.75.",
    )
    add = parser.add_argument
    add("scenario", nargs="?", type=Path, help="JSON file (--print-scenario writes one to begin with)")
    add("--algorithm", nargs="+", metavar="KEY", choices=[*KNOWN, *ORACLES], default=USUAL,
        help=f"of: {', '.join([*KNOWN, *ORACLES])} (default {' '.join(USUAL)})")  # fmt: skip
    add("--experiment", choices=list(EXPERIMENTS), help="a published table, set up anew and printed beside its figures")
    add("--seeds", type=_whole(1, 1000), help="runs of each algorithm, each with other requests (default 4; 8)")
    add("--seed", type=_whole(0, 2**31), default=1, help="the first of them (default 1)")
    add("--processes", type=_whole(1, 256), default=processors(), help="at once (default: one a processor)")
    add("--json", action="store_true", help="print all figures as JSON; the same bytes for the same run")
    add("--plot", type=Path, metavar="FILE", help="draw percentiles, distance to the bound, shares (png, svg, pdf)")
    add("--print-scenario", action="store_true", help="print the scenario as JSON and stop")
    changes = parser.add_argument_group("the scenario")
    add = changes.add_argument
    add("--servers", type=_whole(1, 100_000), help="so many nodes of speed 1")
    add("--nodes", nargs="+", metavar="COUNTxSPEED", help="for example 4x1 3x2 3x4; the weight is the speed")
    add("--slots", type=_whole(1, 10_000), help="of each node")
    add("--queueing", choices=("fifo", "sharing"), help="what a node does with more requests than slots")
    add("--load", type=float, help="offered work / capacity")
    add("--rate", type=float, metavar="RPS", help="instead of --load")
    add("--requests", type=_count, help="of one seed; 1e6 may be written so")
    add("--work", choices=("lognormal", "exponential", "constant", "normal", "mixed"),
        help="distribution of the work of a request; mixed: four kinds of different size")  # fmt: skip
    add("--mean-ms", type=float, help="mean work of a request on a node of speed 1")
    add("--arrivals", choices=("poisson", "constant", "bursts"), help="when requests come")
    add("--trace", metavar="CSV", help="requests from a file: at_s, and if it has them kind and work_ms")
    add("--balancers", type=_whole(1, 1000), help="each sees only its own requests and what nodes report")
    add("--rtt-ms", type=float, help="network between balancer and node, there and back")
    add("--late-binding", action="store_true", help="no node gets more requests than it has slots; the others wait")
    add("--deadline-ms", type=float, help="a request that takes longer fails")
    add("--no-reports", action="store_true", help="nodes do not report their load")
    add("--brown-out", type=_whole(1, 100_000), metavar="NODE",
        help="this node is 10 times slower in the middle third of the run, and that third is measured")  # fmt: skip
    return parser


def _scenario(options: argparse.Namespace) -> Scenario:
    """The file's scenario, or the usual one, with the flags put over it. ConfigError, ValidationError."""
    base = read_scenario(options.scenario) if options.scenario else Scenario()
    raw: dict[str, Any] = base.model_dump(mode="json")
    if options.servers:
        raw["nodes"] = [{"count": options.servers}]
    if options.nodes:
        raw["nodes"] = [_group(text) for text in options.nodes]
    if options.slots:
        raw["nodes"] = [{**group, "slots": options.slots} for group in raw["nodes"]]
    if options.work == "mixed":
        raw["kinds"] = {kind.value: work.model_dump(mode="json") for kind, work in MIXED.items()}
    elif options.work:
        raw["kinds"] = {kind: {**work, "distribution": options.work} for kind, work in raw["kinds"].items()}
    if options.mean_ms is not None:
        raw["kinds"] = {kind: {**work, "mean_ms": options.mean_ms} for kind, work in raw["kinds"].items()}
    if options.arrivals or options.trace:
        raw["arrivals"] = {"process": options.arrivals or "trace", "trace": options.trace}
    if options.rate is not None or options.load is not None:
        raw["load"], raw["rate_rps"] = options.load, options.rate
    if options.late_binding:
        raw["max_in_flight"] = "slots"
    if options.no_reports:
        raw["reports"] = False
    if options.brown_out:
        raw["brown_outs"], raw["measure"] = [{"node": options.brown_out}], [1 / 3, 2 / 3]
    for name in ("queueing", "requests", "balancers", "rtt_ms", "deadline_ms"):
        if (value := getattr(options, name)) is not None:
            raw[name] = value
    return Scenario.model_validate(raw)


def _group(text: str) -> dict[str, Any]:
    match = re.fullmatch(r"(\d+)x(\d+(?:\.\d+)?)", text)
    if match is None:
        raise ConfigError("--nodes", [Problem(text, "must be COUNTxSPEED, for example 3x2")])
    return {"count": int(match[1]), "speed": float(match[2]), "weight": max(1, round(float(match[2])))}


def _said(error: ConfigError | ValidationError) -> str:
    if isinstance(error, ConfigError):
        return str(error)
    found = error.errors(include_url=False)
    return "\n  ".join(
        ["the flags do not make a scenario:"]
        + [f"{'.'.join(map(str, e['loc'])) or 'scenario'}: {e['msg'].removeprefix('Value error, ')}" for e in found]
    )


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {most}")
        return int(text)

    return read


def _count(text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = 0.5
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number, such as 120000 or 1e6")
    return int(value)


@contextmanager
def _progress() -> Iterator[Done]:
    columns = (TextColumn("simulating"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda part: progress.update(task, completed=part)


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
