"""`python -m lab.compare_algorithms [URL]`: compare algorithms on a running fleet.

Writes comparison.json, runs.csv and report.html into --out; the verdicts go to stdout, what is going on to stderr. The
algorithm that was in force is in force again afterwards, however it ends.

Exit codes: 0 compared, whatever came out; 1 a --fail-if condition holds, or it broke off (control or balancer did not
answer); 2 usage; 3 compared, but not to be believed: no valid block, or the A/A pair differs; 130 Ctrl-C (the
finished blocks are written).
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from cluster import paths
from cluster.errors import ConfigError, FairleadError, Problem, StartError
from lab.compare_algorithms import fail_if, report, result
from lab.compare_algorithms.calibrate import Calibration, calibrate
from lab.compare_algorithms.design import PRESETS, arms_of, fitted
from lab.compare_algorithms.experiment import Experiment, run_blocks
from lab.compare_algorithms.fleet import ControlledFleet, topology
from lab.compare_algorithms.view import TerminalView, table
from lab.load import workload
from lab.load.generator import Generator, Target
from lab.load.locust_master import LocustGenerator


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    begun = monotonic()
    options = _options(argv)
    console = Console(stderr=True)
    for name in ("SIGTERM", "SIGHUP"):  # the second is not there on Windows
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    try:
        conditions = [fail_if.parse(text) for text in options.fail_if]
        made = _compare(options, console, begun)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "comparison.json").write_text(json.dumps(made, indent=1))
        (options.out / "runs.csv").write_text(result.to_csv(made))
        (options.out / "report.html").write_text(report.page(made), encoding="utf-8")
    except FairleadError as error:
        print(f"lab.compare_algorithms: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"lab.compare_algorithms: cannot write to {options.out}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab.compare_algorithms: stopped before a block was finished; nothing is written", file=sys.stderr)
        return 130
    failed = [text for condition in conditions for text in fail_if.failures(condition, made)]
    _print(made, failed, options.out)
    if made["design"]["stopped"].startswith("stopped by hand"):
        return 130
    if not made["design"]["blocks_valid"] or any(text.startswith("A/A") for text in made["warnings"]):
        return 3
    return 1 if failed else 0


def _compare(options: argparse.Namespace, console: Console, begun: float) -> dict[str, Any]:
    """All of it; FairleadError, KeyboardInterrupt."""
    fleet = ControlledFleet(options.control, _token(options.token_file))
    shot = fleet.snapshot()
    known = [view["key"] for view in shot["algorithms"]]
    for key in [*options.algorithms, options.baseline]:
        if key not in known:
            raise ConfigError("--algorithms", [Problem(key, f"this fleet knows {', '.join(known)}")])
    arms = arms_of(options.algorithms, options.baseline)
    design = PRESETS[options.preset]
    given = {"blocks": options.blocks, "run_s": options.run_s, "warm_up_s": options.warm_up}
    if options.run_s is not None:
        given["total_s"] = None
    design = replace(design, **{k: v for k, v in given.items() if v is not None or k == "total_s"})
    load = workload.load(options.workload)
    load = workload.mixed(load, options.mix) if options.mix else load
    if design.deadline_s is not None:
        load = load.model_copy(update={"deadline_s": design.deadline_s})
    target = Target(options.url)
    sender = LocustGenerator(target, options.locust, options.locust_port, console.print) if options.locust \
        else Generator(target)  # fmt: skip
    warnings = [f"{node['name']} is {node['state']}" for node in shot["nodes"] if node["state"] != "up"]
    try:
        with fleet.put_back():
            calibration: Calibration | None = None
            fleet.switch(options.baseline)
            if options.rate is None:
                console.print("finding out how much the fleet takes", highlight=False)
                calibration = calibrate(sender, load, options.seed, lambda text: console.print(text, highlight=False))
                if calibration.limited_by == "generator":
                    warnings.append("the generator reached its limit before the fleet did: the capacity is higher, and "
                                    "the load a smaller share of it than asked")  # fmt: skip
            rate = options.rate or options.load * (calibration.capacity_rps if calibration else 0)
            design = fitted(design, len(arms), (design.total_s or 0) - (monotonic() - begun))
            console.print(
                f"{rate:.1f} requests a second, {design.blocks} blocks of {len(arms)} runs of {design.run_s:.1f} s",
                highlight=False,
            )
            experiment = Experiment(arms, design, load, rate, options.seed)
            until = begun + design.total_s - 4 if design.total_s else None
            with TerminalView(console, design.blocks, len(arms)) as view:
                run_blocks(experiment, sender, fleet, view, until)
    except ValueError as error:
        raise StartError(str(error)) from None
    finally:
        sender.close()
    if not experiment.blocks:
        raise KeyboardInterrupt
    if experiment.stopped:
        warnings.append(experiment.stopped)
    return result.make(
        experiment, topology(shot), calibration, margin=options.margin / 100, warnings=warnings,
        urls={"url": options.url, "fleet": shot["fleet"], "balancer": shot["balancer"]},
    )  # fmt: skip


def _token(path: Path | None) -> str:
    path = path or paths.token_file()
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigError("--token-file", [Problem(str(path), f"cannot be read ({error.strerror}); the fleet's token "
                                                              "is .run/token on its host")]) from None  # fmt: skip


def _print(made: dict[str, Any], failed: Sequence[str], out: Path) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=180)
    console.print(table(made))
    if made["headline"]["best"]:
        console.print(made["headline"]["best"], highlight=False)
    for warning in made["warnings"]:
        console.print(f"- {warning}", style="yellow", highlight=False)
    for text in failed:
        console.print(f"FAILED: {text}", style="red", highlight=False)
    console.print(f"{out}/report.html, comparison.json, runs.csv", highlight=False)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.compare_algorithms",
                                     description="Compare algorithms on a running fleet.")  # fmt: skip
    add = parser.add_argument
    add("url", nargs="?", default="http://127.0.0.1:8080", metavar="URL", help="the balancer (default %(default)s)")
    add("--control", default="http://127.0.0.1:8081", metavar="URL", help="its control API (default %(default)s)")
    add("--token-file", type=Path, metavar="FILE", help="the fleet's token (default .run/token)")
    add("--algorithms", nargs="+", metavar="KEY", default=["round_robin", "least_connections", "dynamic"],
        help="default: %(default)s")  # fmt: skip
    add(
        "--baseline",
        default="least_connections",
        metavar="KEY",
        help="what they are held against (default %(default)s)",
    )
    add("--preset", choices=list(PRESETS), default="standard", help="classroom: within 3 minutes (default %(default)s)")
    add("--load", type=_share, default=0.75, metavar="SHARE", help="of the fleet's capacity (default %(default)s)")
    add("--rate", type=_positive, metavar="RPS", help="requests a second, instead of finding the capacity")
    add("--blocks", type=_count, metavar="N", help="instead of the preset's")
    add("--run-s", type=_positive, metavar="S", help="measured part of a run, instead of the preset's")
    add("--warm-up", type=_positive, metavar="S", help="sent before it and not counted, instead of the preset's")
    add("--workload", default="typed", metavar="NAME|FILE", help=f"{', '.join(workload.WORKLOADS)} or a JSON file")
    add("--mix", metavar="KIND=SHARE,...", help="other shares of the workload's kinds")
    add("--margin", type=_positive, default=3.0, metavar="PCT", help="differences below it do not matter (default 3)")
    add("--seed", default="1", help="the same seed sends the same requests (default 1)")
    add("--fail-if", action="append", default=[], metavar="COND", help="such as 'p99>200ms', 'dynamic.ratio>1.05'")
    add("--locust", type=_count, metavar="N", help="let N Locust workers send the load, wherever they run")
    add("--locust-port", type=int, default=5557, help="where they find this process (default 5557)")
    add("--out", type=Path, default=Path("comparison"), metavar="FOLDER", help="default: comparison/")
    return parser.parse_args(argv)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1.5:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1.5")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 1000")
    return value


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
