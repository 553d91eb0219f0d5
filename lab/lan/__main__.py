"""`python -m lab.lan`: a virtual LAN on this machine.

Exit codes: 0 done; 1 it could not be done, stderr says why and what to do; 2 usage; 130 Ctrl-C. `exec` and `shell`
end as their program does.
"""

import argparse
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cluster.paths import state_dir
from lab.lan.errors import LanError
from lab.lan.fault import DIRECTIONS, DOES, Fault
from lab.lan.faults import clear, inject
from lab.lan.forward import forward
from lab.lan.host import Host
from lab.lan.lan import Lan

VALUES = {
    "percent": "loss: how many of a hundred frames",
    "delay_ms": "delay: one way",
    "jitter_ms": "delay: evenly so much more or less",
    "kbytes_s": "bandwidth: kilobytes a second",
    "leave_kb": "disk-full: what may still be written",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code."""
    options = _options(sys.argv[1:] if argv is None else list(argv))
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, _stop)
    try:
        code: int = options.verb(options)
        return code
    except LanError as error:
        print(f"lab.lan: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def up(options: argparse.Namespace) -> int:
    """Set up a LAN that stays until `down`."""
    begun = time.monotonic()
    lan = Lan.up(
        options.hosts,
        names=options.names,
        state=options.state,
        share=options.share,
        shells=dict(entry.split("=", 1) for entry in options.shell),
        systemd=options.systemd,
        disk_mb=options.disk_mb,
        stays=True,
    )
    print(f"{len(lan.hosts)} hosts are up after {time.monotonic() - begun:.2f} s", file=sys.stderr)
    return show(options)


def down(options: argparse.Namespace) -> int:
    """End the LAN in this folder."""
    Lan.load(options.state).down()
    return 0


def show(options: argparse.Namespace) -> int:
    """List the hosts."""
    lan = Lan.load(options.state)
    if options.json:
        print(json.dumps(lan.to_json(), indent=1))
        return 0
    if not lan.is_up:
        raise LanError(f"the LAN in {lan.state} has ended (its keeper is gone); `down` clears its folder away")
    table = Table("host", "address", "state", "faults")
    for host in [*lan.hosts, lan.operator]:
        faults = ", ".join(fault.describe() for fault in lan.faults if fault.host == host.name)
        table.add_row(host.name, host.address, "on" if host.is_on else "off", faults)
    console = Console()
    console.print(table)
    console.print(f"ssh, at the operator's place: ssh -F {lan.ssh_config} {lan.hosts[0].name}", soft_wrap=True)
    return 0


def execute(options: argparse.Namespace) -> int:
    """Run a program in a host, on this terminal."""
    return _attached(Lan.load(options.state).host(options.host), options.argv)


def shell(options: argparse.Namespace) -> int:
    """A shell at the operator's place, or the command given."""
    operator = Lan.load(options.state).operator
    return _attached(operator, options.argv or [os.environ.get("SHELL", "/bin/bash")])


def fault(options: argparse.Namespace) -> int:
    """Bring a fault about, and say what proves it."""
    said = {field.name: getattr(options, field.name) for field in dataclasses.fields(Fault)}
    print(inject(Lan.load(options.state), Fault(**said)))
    return 0


def take_back(options: argparse.Namespace) -> int:
    """End faults; turn on what is off."""
    for gone in clear(Lan.load(options.state), options.host, options.kind):
        print(f"{gone.host}: {gone.describe()} is over")
    return 0


def carry(options: argparse.Namespace) -> int:
    """A port of the LAN on this machine's loopback."""
    lan = Lan.load(options.state)

    def ready(port: int) -> None:
        print(f"http://127.0.0.1:{port}/ is port {options.port} of {options.host}; Ctrl-C ends it", flush=True)

    listen = options.port if options.listen is None else options.listen
    forward(lan, lan.host(options.host), options.port, listen=listen, ready=ready)
    return 0


def _attached(host: Host, argv: list[str]) -> int:
    if not argv:
        raise LanError("no command: python -m lab.lan exec HOST -- COMMAND ...")
    process = host.popen(argv)
    # Ctrl-C goes to the whole foreground group: the program decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = process.wait()
    return code if code >= 0 else 128 - code


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lab.lan", description="A virtual LAN on this machine (needs root)."
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(name: str, does: Any, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=does)
        sub.add_argument("--state", type=Path, default=state_dir() / "lan", metavar="DIR",
                         help="the LAN's folder (default .run/lan); another folder is another LAN")  # fmt: skip
        return sub

    setting_up = verb("up", up, "set up a LAN and say where it is")
    setting_up.add_argument("--hosts", type=int, default=5, metavar="N", help="how many, host1 host2 ... (default 5)")
    setting_up.add_argument("--names", nargs="+", metavar="NAME", help="host names of your own, instead of --hosts")
    setting_up.add_argument(
        "--share", nargs="+", type=Path, default=[], metavar="DIR", help="folders that all hosts see, read-only"
    )
    setting_up.add_argument(
        "--shell", nargs="+", default=[], metavar="HOST=PROGRAM", help="its sshd hands every command to PROGRAM"
    )
    setting_up.add_argument(
        "--systemd", nargs="+", default=[], metavar="HOST", help="hosts whose first process is systemd"
    )
    setting_up.add_argument(
        "--disk-mb", type=int, default=1024, metavar="MB", help="what a host can write, in memory (default 1024)"
    )
    setting_up.add_argument("--json", action="store_true", help="print the hosts as JSON")
    verb("down", down, "end it; nothing is left")
    verb("list", show, "hosts, addresses, ssh").add_argument("--json", action="store_true", help="print all as JSON")
    verb("exec", execute, "run a program in a host, past its network: exec HOST -- COMMAND ...").add_argument("host")
    verb("shell", shell, "a shell on the LAN, with this machine's files (or one command: shell -- COMMAND ...)")
    breaking = verb(
        "fault", fault, "bring a fault about, and prove it: " + "; ".join(f"{k}: {d}" for k, d in DOES.items())
    )
    breaking.add_argument("host", metavar="HOST")
    breaking.add_argument("kind", metavar="KIND", choices=list(DOES), help=", ".join(DOES))
    breaking.add_argument("--direction", choices=DIRECTIONS, default="both", help="seen from the host (default both)")
    breaking.add_argument("--peer", metavar="HOST", help="only between these two (partition, loss)")
    for name, text in VALUES.items():
        breaking.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="N", help=text)
    clearing = verb("clear", take_back, "take back all faults (or a host's, or a kind's); turn on what is off")
    clearing.add_argument("host", nargs="?", metavar="HOST")
    clearing.add_argument("kind", nargs="?", metavar="KIND", choices=list(DOES))
    forwarding = verb("forward", carry, "a port of a host on this machine's 127.0.0.1, for a browser")
    forwarding.add_argument("host", metavar="HOST")
    forwarding.add_argument("port", type=_port, metavar="PORT")
    forwarding.add_argument("--listen", type=_port, metavar="PORT", help="here (default the same; 0: any free one)")
    # What stands behind `--` is another program's, with options of its own.
    own = argv[: argv.index("--")] if "--" in argv else argv
    options = parser.parse_args(own)
    options.argv = argv[len(own) + 1 :]
    for entry in getattr(options, "shell", []):
        if "=" not in entry:
            parser.error(f"--shell {entry}: say HOST=PROGRAM")
    return options


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: say 0 to 65535")
    return int(text)


def _stop(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
