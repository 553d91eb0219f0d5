"""The verbs: `python -m deploy.keeper start | stop | status | run`. scripts/windows/ calls it.

Exit codes as deploy.local's: 0 done · 1 a program did not start or stop · 2 usage or config.json · 3 (status) not well.
"""

import argparse
import sys
from pathlib import Path

from cluster import paths
from cluster.errors import FairleadError
from deploy.keeper import verbs


def main(argv: list[str] | None = None) -> int:
    """Run one verb; its exit code."""
    parser = argparse.ArgumentParser(prog="deploy.keeper", description="The fleet on this machine, kept by a keeper.")
    parser.add_argument("verb", choices=("start", "stop", "status", "run"))
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: config.json in the project")
    parser.add_argument("--lan", action="store_true", help="balancer and dashboard reachable from the LAN")
    parser.add_argument("--unless-stopped", action="store_true", help="run: do nothing after `stop`, until `start`")
    parser.add_argument("--json", action="store_true", help="status as one JSON object; see docs/commands.md")
    args = parser.parse_args(argv)
    config = (args.config or paths.config_file()).absolute()
    try:
        match args.verb:
            case "run":
                return verbs.run(config, args.lan, args.unless_stopped)
            case "start":
                return verbs.start(config, args.lan)
            case "stop":
                return verbs.stop()
        return verbs.status(config, args.json)
    except FairleadError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{error.filename or paths.state_dir()}: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
