"""Windows' firewall: `python -m deploy.windows.firewall [--remove]`, by netsh. Needs an elevated prompt.

Rules are told apart by their names, which carry the program's. netsh translates what it prints, so only exit codes
are read; and it adds a second rule rather than replace one, so each is deleted first.
https://learn.microsoft.com/windows-server/networking/technologies/netsh/netsh-advfirewall-firewall-control-windows-firewall
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cluster import paths
from cluster.config import Fleet
from cluster.errors import FairleadError
from cluster.programs import Program, Role, bind_address
from deploy.fleet_here import read_fleet

Run = Callable[[list[str]], int]
NEEDS_ELEVATION = 5  # ERROR_ACCESS_DENIED


def rule_name(program: Program) -> str:
    """Unique on a host."""
    return f"Fairlead {program.name}"


def sources(program: Program, fleet: Fleet) -> list[str]:
    """Who may connect, in netsh's words: balancers to nodes, dashboards to control, the subnet to the rest."""
    match program.role:
        case Role.NODE:
            found = [fleet.hosts[balancer.host].address for balancer in fleet.balancers]
        case Role.CONTROL:
            found = [fleet.hosts[fleet.dashboard.host].address] if fleet.dashboard else []
        case _:
            return ["LocalSubnet"]
    # A name or loopback is nothing that a rule can hold.
    numbers = [a for a in dict.fromkeys(found) if a.replace(".", "").isdigit() and not a.startswith("127.")]
    return numbers or ["LocalSubnet"]


def delete(name: str) -> list[str]:
    """The command that takes a rule away."""
    return ["netsh", "advfirewall", "firewall", "delete", "rule", f"name={name}"]


def add(program: Program, fleet: Fleet) -> list[str]:
    """The command that makes a program's rule. Networks that Windows calls public stay closed."""
    return [
        *("netsh", "advfirewall", "firewall", "add", "rule", f"name={rule_name(program)}"),
        *("dir=in", "action=allow", "protocol=TCP", f"localport={program.port}"),
        *(f"remoteip={','.join(sources(program, fleet))}", "profile=private,domain"),
    ]


def apply(fleet: Fleet, programs: list[Program], remove: bool, made: Path, run: Run) -> list[str]:
    """Bring the rules in line; what could not be done, in sentences.

    `made`: file with the names of the rules that were made, so that those of programs that are no more go, too.
    """
    before = json.loads(made.read_text()) if made.exists() else []
    ours = [program for program in programs if program.port is not None]
    for name in dict.fromkeys([*before, *map(rule_name, ours)]):
        run(delete(name))  # fails when there is none, which is fine
    wanted = [p for p in ours if not remove and not bind_address(p, fleet, lan=True).startswith("127.")]
    made.write_text(json.dumps([rule_name(program) for program in wanted]))
    refused = [program for program in wanted if run(add(program, fleet))]
    return [f"{rule_name(p)}: netsh did not take the rule for port {p.port}" for p in refused]


def _run(command: list[str]) -> int:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30).returncode


def main(argv: list[str] | None = None) -> int:
    """0: done · 1: netsh refused a rule · 2: usage or config.json · 5: not elevated."""
    parser = argparse.ArgumentParser(prog="setup_firewall.bat", description="Open this host's ports to the fleet.")
    parser.add_argument("--remove", action="store_true", help="take the rules away")
    parser.add_argument("--config", type=Path, default=paths.config_file(), metavar="FILE")
    args = parser.parse_args(argv)
    try:
        fleet, programs = read_fleet(args.config.absolute())
    except FairleadError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if _run(["net", "session"]):  # what only an elevated prompt may ask
        print("Firewall rules need an administrator: open the prompt with 'Run as administrator'", file=sys.stderr)
        return NEEDS_ELEVATION
    paths.state_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
    failed = apply(fleet, programs, args.remove, paths.state_dir() / "rules.json", _run)
    print("\n".join(failed) or ("The rules are gone" if args.remove else "The rules are in place"), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
