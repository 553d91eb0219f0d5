"""Become one node: `python -m deploy.run_node l1`. For Supervisor (nodes that run a command) and for people.

The process replaces itself, so that Ctrl-C and Supervisor's signals reach the node itself.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cluster import paths
from cluster.config import Fleet, Node, Runs
from cluster.errors import ConfigError, FairleadError, Problem, StartError
from cluster.load import load
from cluster.programs import EVERYWHERE, LOOPBACK
from deploy import procfs


class Plan(NamedTuple):
    """What a node's process is."""

    argv: list[str]
    directory: Path
    environment: dict[str, str]


def plan(node: Node, environment: Mapping[str, str], project: Path, python: str) -> Plan:
    """The process of a node. StartError for an external one."""
    env = {key: value for key, value in environment.items() if key != "PYTHONPATH"} | {"FAIRLEAD_NODE": node.name}
    if node.runs is Runs.EXTERNAL:
        raise StartError(f"{node.name} is external, at {node.address}:{node.port}: nothing is started for it")
    if node.runs is Runs.SIMULATED:
        gunicorn = ["gunicorn", "-c", "python:node.gunicorn_conf", "node.app:application"]
        env |= {"PYTHONPATH": str(project)} if sys.platform == "win32" else {}
        return Plan([python, "-m", *(["node.serve"] if sys.platform == "win32" else gunicorn)], project, env)
    home = project
    if node.app:
        home = project / node.app.path
        programs = home / ".venv" / ("Scripts" if sys.platform == "win32" else "bin")
        env["PATH"] = os.pathsep.join([*([str(programs)] if programs.is_dir() else []), env.get("PATH", os.defpath)])
    return Plan(command_words(node), home / (node.directory or ""), env | node.environment)


def command_words(node: Node) -> list[str]:
    """A command node's program and arguments, `{port}` and `{name}` filled in. No shell: quotes group, nothing else."""
    split = shlex.shlex(node.command or "", posix=True, punctuation_chars=False)
    split.whitespace_split, split.commenters = True, ""
    if sys.platform == "win32":
        split.escape = ""  # there a backslash parts folders
    words = list(split)
    return [word.replace("{port}", str(node.port)).replace("{name}", node.name) for word in words]


def main(argv: list[str] | None = None) -> int:
    """Does not return when all goes well. 1: it cannot be started; 2: usage or configuration."""
    parser = argparse.ArgumentParser(
        prog=os.environ.get("FAIRLEAD_PROG") or "run_node",
        description="Run one node in the foreground; Ctrl-C stops it.",
    )
    parser.add_argument("name", metavar="NODE", help="its name in config.json")
    parser.add_argument("--config", type=Path, default=paths.config_file(), metavar="FILE", help="default: config.json")
    parser.add_argument("--port", type=int, help="another port than the configured one; also the variable PORT")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--host", metavar="ADDRESS", help=f"listen on this address (default {LOOPBACK})")
    where.add_argument("--lan", action="store_true", help="listen on all interfaces, so that other machines reach it")
    args = parser.parse_args(argv)
    try:
        _become(args.name, args.config.absolute(), _port(args.port, os.environ), EVERYWHERE if args.lan else args.host)
    except FairleadError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 1


def _port(given: int | None, environment: Mapping[str, str]) -> int | None:
    text = str(given) if given is not None else environment.get("PORT", "")
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ConfigError("PORT", [Problem(text, "a port is a number from 1 to 65535")])
    return int(text)


def _become(name: str, config: Path, port: int | None, address: str | None) -> None:
    fleet = load(config)
    known = {node.name: node for node in fleet.nodes}
    if name not in known:
        raise ConfigError(config.name, [Problem("nodes", f'none is called "{name}" (known: {", ".join(known)})')])
    node = known[name]
    by_hand = "SUPERVISOR_ENABLED" not in os.environ
    bind = address or os.environ.get("FAIRLEAD_BIND") or LOOPBACK
    release = paths.release()  # the user's program cannot say which release it is of; its environment can
    environment = {**os.environ, "FAIRLEAD_CONFIG": str(config), "FAIRLEAD_BIND": bind, "FAIRLEAD_RELEASE": release}
    if by_hand and port is not None and port != node.port:
        node = node.model_copy(update={"port": port})
        fleet = fleet.model_copy(update={"nodes": tuple(node if n.name == name else n for n in fleet.nodes)})
        environment["FAIRLEAD_CONFIG"] = str(_with_other_port(fleet, name))
    what = plan(node, environment, paths.PROJECT, sys.executable)
    if by_hand:  # under Supervisor a dead predecessor's workers may hold it for a moment more
        error = procfs.bind_error(bind, node.port)
        if error:
            raise StartError(f"{node.port} {procfs.why(error, node.port)}; take another with --port N")
        print(f"{name} ({node.kind}) on http://{bind}:{node.port}/ · Ctrl-C stops it", file=sys.stderr, flush=True)
    try:
        os.chdir(what.directory)
        if sys.platform == "win32":  # whose exec ends the caller before the new program has begun
            sys.exit(subprocess.call(what.argv, env=what.environment))
        os.execvpe(what.argv[0], what.argv, what.environment)
    except OSError as error:
        raise StartError(f"{name}: {shlex.join(what.argv)} in {what.directory}: {error.strerror}") from None


def _with_other_port(fleet: Fleet, name: str) -> Path:
    """A copy of the configuration in which this node has the port given by hand: processes read ports there only."""
    path = paths.state_dir() / f"{name}.config.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(fleet.model_dump_json(indent=2, exclude_unset=True))
    return path


if __name__ == "__main__":
    sys.exit(main())
