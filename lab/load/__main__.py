"""`python -m lab.load URL`: send a seeded open-loop load and say what came of it.

The figures go to stdout (a table, or JSON with --json), the live view to stderr. Exit codes: 0 measured; 1 no request
was answered well; 2 usage; 3 measured, but invalid: the generator was late or out of breath; 130 Ctrl-C (what was
measured so far is printed).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.live import Live

from cluster.errors import FairleadError
from lab.load import workload
from lab.load.generator import Generator, Interrupted, Progress, Target
from lab.load.locust_master import LocustGenerator
from lab.load.records import Records
from lab.load.schedule import Schedule, draw
from lab.load.summary import Summary, summarize
from lab.load.view import LiveView, ProgressLines, notes, table


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    options = _options(argv)
    try:
        load = workload.load(options.workload)
        if options.mix:
            load = workload.mixed(load, options.mix)
        changed = {"arrivals": options.arrivals, "deadline_s": options.deadline}
        load = load.model_copy(update={key: value for key, value in changed.items() if value is not None})
        schedule = draw(load, options.rate, options.duration, options.seed, ramp_to=options.ramp_to)
        target = Target(options.url)
        generator = LocustGenerator(target, options.locust, options.locust_port, _say) if options.locust \
            else Generator(target)  # fmt: skip
    except (FairleadError, ValueError) as error:
        print(f"lab.load: {error}", file=sys.stderr)
        return 2
    code = 0
    try:
        records = _run(generator.run, schedule, options.url, options.progress_json)
    except Interrupted as stopped:
        records, code = stopped.records, 130
    except FairleadError as error:
        print(f"lab.load: {error}", file=sys.stderr)
        return 1
    finally:
        generator.close()
    summary = summarize(records)
    _print(summary, options.json)
    return code or (1 if not summary["outcomes"].get("ok") else 0 if summary["valid"] else 3)


def _run(run: Callable[..., Records], schedule: Schedule, url: str, progress_json: bool) -> Records:
    if progress_json:
        return run(schedule, ProgressLines(schedule).show)
    console = Console(stderr=True)
    if not console.is_terminal:
        return run(schedule)
    view = LiveView(schedule, url)
    with Live(view.show(Progress()), console=console, auto_refresh=False, transient=True) as live:
        return run(schedule, lambda progress: live.update(view.show(progress), refresh=True))


def _print(summary: Summary, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, indent=1))
        return
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    console.print(table(summary))
    for note in notes(summary):
        console.print(f"- {note}", highlight=False, style="red" if note.startswith("INVALID") else None)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.load", description="Send an open-loop load.")
    parser.add_argument("url", metavar="URL", help="address of a balancer (or of anything that speaks HTTP/1.1)")
    parser.add_argument("--rate", type=float, default=50, help="requests a second (default 50)")
    parser.add_argument("--ramp-to", type=float, metavar="RATE", help="go straight from --rate to this")
    parser.add_argument("--duration", type=float, default=10, metavar="S", help="seconds (default 10)")
    parser.add_argument("--workload", default="typed", metavar="NAME|FILE",
                        help=f"{', '.join(workload.WORKLOADS)} or a JSON file (default typed)")  # fmt: skip
    parser.add_argument("--mix", metavar="KIND=SHARE,...", help="other shares of the workload's kinds")
    parser.add_argument("--arrivals", choices=["poisson", "constant", "bursts"], help="instead of the workload's")
    parser.add_argument("--deadline", type=float, metavar="S", help="instead of the workload's")
    parser.add_argument("--seed", default="1", help="the same seed sends the same requests (default 1)")
    parser.add_argument("--locust", type=int, metavar="N", help="let N Locust workers send it, wherever they run")
    parser.add_argument("--locust-port", type=int, default=5557, help="where they find this process (default 5557)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--progress-json", action="store_true", help="live figures, a line of JSON twice a second")
    return parser.parse_args(argv)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
