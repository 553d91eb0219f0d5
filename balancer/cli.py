"""The command `fairlead`: looks at and steers a running balancer through its control API.

Data goes to stdout, talk to stderr. Exit codes: 0 done · 1 the control API said no or does not answer · 2 usage or
config.json. Answers of the control API are taken as they are in `cluster/wire.py`.
"""

import argparse
import contextlib
import difflib
import getpass
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from balancer import algorithms, cli_tables
from balancer.cli_client import Control
from cluster import auth, paths
from cluster.config import Balancer, Fleet
from cluster.errors import ConfigError, ControlError, FairleadError, Problem
from cluster.load import load
from cluster.programs import programs_of, reach

DRAIN_POLL_S = 0.5


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
        return code
    except FairleadError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `fairlead events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def status(args: argparse.Namespace) -> int:
    """The whole snapshot."""
    snapshot = _control(args).snapshot()
    _print_json(snapshot) if args.json else cli_tables.snapshot(snapshot)
    return 0


def algorithm(args: argparse.Namespace) -> int:
    """Switch, confirmed by the control API's answer."""
    control = _control(args)
    known = [a["key"] for a in control.snapshot()["algorithms"]]
    _must_know("algorithm", args.name, known)
    answer = control.switch_algorithm(args.name, _who())
    _print_json(answer) if args.json else print(f"algorithm is now {answer['algorithm']}")
    return 0


def admin(args: argparse.Namespace) -> int:
    """drain, enable and maintenance."""
    control = _control(args)
    _must_know("node", args.node, [n["name"] for n in control.snapshot()["nodes"]])
    node = control.change_node(args.node, admin=args.admin, who=_who())
    deadline = time.monotonic() + args.timeout if args.wait else 0.0
    shown = None
    while args.wait and node["in_flight"] > 0:
        if node["in_flight"] != shown:
            shown = node["in_flight"]
            print(f"{args.node}: {shown} in flight", file=sys.stderr)
        if time.monotonic() > deadline:
            raise ControlError(
                f"{args.node} still has {shown} in flight after {args.timeout:g} s; it stays {node['admin']}"
            )
        time.sleep(DRAIN_POLL_S)
        node = next(n for n in control.snapshot()["nodes"] if n["name"] == args.node)
    if args.json:
        _print_json(node)
    else:
        left = f", {node['in_flight']} in flight" if node["in_flight"] or args.admin != "enabled" else ""
        print(f"{args.node} is {node['admin']} ({node['state']}{left})")
    return 0


def weight(args: argparse.Namespace) -> int:
    """Set a node's weight."""
    control = _control(args)
    _must_know("node", args.node, [n["name"] for n in control.snapshot()["nodes"]])
    node = control.change_node(args.node, weight=args.weight, who=_who())
    _print_json(node) if args.json else print(
        f"{args.node} has weight {node['weight']} ({node['weight_in_file']} in the file)"
    )
    return 0


def events(args: argparse.Namespace) -> int:
    """Events since --after; with -f for ever. JSON: one object a line."""
    control = _control(args)
    after, boot = args.after, ""
    while True:
        got = control.events(after, wait_s=20 if args.follow and boot else 0)
        if boot and got["boot"] != boot:
            # Another control process counts from the beginning again: what it has is all new.
            print("control was restarted", file=sys.stderr)
            boot, after = got["boot"], 0
            continue
        boot = got["boot"]
        for event in got["events"]:
            print(json.dumps(event, ensure_ascii=False) if args.json else cli_tables.event_line(event), flush=True)
            after = max(after, event["seq"])
        if not args.follow:
            return 0


def check(args: argparse.Namespace) -> int:
    """What would run. ConfigError with all problems."""
    path = _config(args)
    fleet = load(path)
    problems = list(_problems(fleet))
    if problems:
        raise ConfigError(path.name, problems)
    programs = programs_of(fleet)
    if args.json:
        rows = [
            {"name": p.name, "role": p.role.value, "host": p.host, "part": p.part, "port": p.port} for p in programs
        ]
        _print_json({"config": str(path), "fleet": fleet.fleet, "programs": rows})
    else:
        cli_tables.programs(path.name, fleet, programs)
    return 0


def _problems(fleet: Fleet) -> Iterator[Problem]:
    """What the models cannot know: which algorithms there are, and whether certificates of this machine are of use."""
    for i, balancer in enumerate(fleet.balancers):
        text = algorithms.problem_with(balancer.algorithm)
        if text:
            yield Problem(f"balancers[{i}].algorithm", text)
        if balancer.tls and fleet.hosts[balancer.host].connection == "local":
            files = paths.PROJECT / balancer.tls.certificate, paths.PROJECT / balancer.tls.key
            missing = [file for file in files if not os.access(file, os.R_OK)]
            for file in missing:
                key = "certificate" if file == files[0] else "key"
                yield Problem(f"balancers[{i}].tls.{key}", f"{file} is not there or cannot be read")
            if missing:
                continue
            try:
                # An encrypted key would make the balancer ask for a passphrase where nobody can type one.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files, password="")
            except (ssl.SSLError, ValueError) as error:
                said = getattr(error, "reason", None) or error
                text = f"needs a certificate and its unencrypted key, both PEM; these cannot be used: {said}"
                yield Problem(f"balancers[{i}].tls", text)


def _control(args: argparse.Namespace) -> Control:
    """The control API that the options, the environment or config.json name."""
    if args.url:
        return Control(args.url.rstrip("/"), _token(), hint="")
    fleet = load(_config(args))
    balancer = _balancer(fleet, args.balancer)
    host = fleet.hosts[balancer.host]
    hint = "start it: scripts/linux/start_all.sh" if host.connection == "local" else f"is host {balancer.host} up?"
    return Control(f"http://{reach(host)}:{balancer.control_port}", _token(), hint)


def _token() -> str:
    """The token of the fleet that was started here. A fresh one would be of no use: what runs would not know it."""
    if not paths.token_file().exists():
        raise ControlError(
            f"{paths.token_file()} is not there. scripts/linux/start_all.sh makes it; if the fleet runs already, stop"
            " it first (scripts/linux/stop_all.sh)"
        )
    return auth.read_token()


def _balancer(fleet: Fleet, name: str | None) -> Balancer:
    known = [b.name for b in fleet.balancers]
    if name is not None:
        _must_know("balancer", name, known)
        return fleet.balancer(name)
    if len(known) > 1:
        raise ConfigError("--balancer", [Problem("balancers", f"there are several, say which: {', '.join(known)}")])
    return fleet.balancers[0]


class UnknownName(FairleadError):
    """A name that does not exist."""

    exit_code = 2


def _must_know(what: str, name: str, known: list[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"? ' if near else ""
        raise UnknownName(f'no {what} is called "{name}"; {hint}known: {", ".join(known)}')


def _config(args: argparse.Namespace) -> Path:
    path: Path = args.config or paths.config_file()
    return path.absolute()


def _who() -> str:
    """For the event log: user@machine."""
    user = os.environ.get("SUDO_USER", "")
    with contextlib.suppress(OSError, KeyError):
        user = user or getpass.getuser()
    return f"{user or 'somebody'}@{socket.gethostname()}"


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _weight(text: str) -> int:
    if not text.isdigit() or int(text) > 256:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number from 0 to 256')
    return int(text)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="JSON instead of a table")
    shared.add_argument("--config", type=Path, metavar="FILE", help="default: config.json in the project")
    remote = argparse.ArgumentParser(add_help=False, parents=[shared])
    remote.add_argument("--balancer", metavar="NAME", help="needed when the fleet has several")
    remote.add_argument(
        "--url", metavar="URL", default=os.environ.get("FAIRLEAD_URL"), help="another control API; also FAIRLEAD_URL"
    )
    parser = argparse.ArgumentParser(prog="fairlead", description="Look at and steer a running balancer.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, parent: argparse.ArgumentParser, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[parent], help=text, description=text)

    add("status", remote, "nodes, traffic and the algorithm in use").set_defaults(run=status)
    one = add("algorithm", remote, "switch the algorithm, in mid-traffic")
    one.add_argument("name", metavar="NAME")
    one.set_defaults(run=algorithm)
    for name, state, text in (
        ("drain", "draining", "give a node no new requests; those in flight are finished"),
        ("maintenance", "maintenance", "take a node out, whatever the probes say"),
        ("enable", "enabled", "let a node work again"),
    ):
        one = add(name, remote, text)
        one.add_argument("node", metavar="NODE")
        one.set_defaults(run=admin, admin=state, wait=False, timeout=60.0)
        if name != "enable":
            one.add_argument("--wait", action="store_true", help="return when nothing is in flight any more")
            one.add_argument(
                "--timeout", type=float, default=60.0, metavar="SECONDS", help="longest --wait (default 60)"
            )
    one = add("weight", remote, "set a node's weight")
    one.add_argument("node", metavar="NODE")
    one.add_argument("weight", metavar="N", type=_weight, help="0 to 256; 0 = picked by nobody")
    one.set_defaults(run=weight)
    one = add("events", remote, "what happened")
    one.add_argument("-f", "--follow", action="store_true", help="go on as they happen; Ctrl-C ends it")
    one.add_argument("--after", type=int, default=0, metavar="SEQ", help="only those newer than this number")
    one.set_defaults(run=events)
    add("check", shared, "check config.json and say what would run").set_defaults(run=check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
