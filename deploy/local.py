"""The fleet on this machine: `python -m deploy.local start | stop | status`. scripts/linux/ calls it.

Exit codes: 0 done · 1 a program did not start or stop · 2 usage or config.json · 3 (status) not running, or not well.
"""

import argparse
import os
import sys
from pathlib import Path

from cluster import paths
from cluster.errors import FairleadError


def main(argv: list[str] | None = None) -> int:
    """Run one verb; its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without UTF-8 is no reason to fail
    args = _parser().parse_args(argv)
    try:
        if args.verb == "start":
            from deploy.start import start

            return start(_config(args), lan=args.lan, open_browser=not args.no_open)
        if args.verb == "stop":
            from deploy.fleet_here import Here
            from deploy.stop import stop

            here = Here()
            with here.alone():
                return stop(here)
        from deploy.status import status

        return status(_config(args), as_json=args.json)
    except FairleadError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `status.sh | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder of somebody else
        print(f"{error.filename or paths.state_dir()}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. scripts/linux/status.sh says what runs", file=sys.stderr)
        return 130


def _config(args: argparse.Namespace) -> Path:
    given: Path = args.config or paths.config_file()
    return given.absolute()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fairlead-local", description="The fleet on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name: str, script: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, prog=script, help=text, description=text)

    start = verb("start", "start_all.sh", "Start everything and wait until it answers. Running already is fine.")
    start.add_argument("--no-open", action="store_true", help="do not open a browser")
    start.add_argument("--lan", action="store_true", help="balancer and dashboard reachable from the LAN")
    verb("stop", "stop_all.sh", "Finish what is in hand, stop everything. Nothing running is fine.")
    status = verb("status", "status.sh", "Say what runs and what answers. Exit code 0: all is well, 3: not.")
    status.add_argument("--json", action="store_true", help="one JSON object; see docs/commands.md")
    for needs_config in (start, status):
        needs_config.add_argument("--config", type=Path, metavar="FILE", help="default: config.json in the project")
    return parser


if __name__ == "__main__":
    sys.exit(main())
