"""status, releases, logs, audit: how the hosts are."""

import time
from typing import Any

from rich.table import Table

from cluster.errors import ConfigError, FairleadError, Problem
from deploy import plan
from deploy.command import Command
from deploy.outcome import Code

FOLLOW_S = 1.0


def status(command: Command) -> None:
    """Release, health and uptime of each program, and what the balancers say. Exit 1 when something is not well."""
    with command.reach([*dict.fromkeys([*command.hosts, *(b.host for b in command.fleet.balancers)])]) as reach:
        found = reach.each(
            lambda h: reach.call(h, "states", programs=plan.wanted(command.fleet, h), limit_s=30),
            [host for host in command.hosts if host in reach.connected],
        )
        shots = {
            b.name: reach.call(b.host, "snapshot", port=b.control_port)
            for b in command.fleet.balancers
            if b.host in reach.connected
        }
        hello = reach.hello
    ill = []
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("host", "program", "state", "pid", "up", "release", "answer", "for the balancer"):
        table.add_column(column, overflow="fold")
    for host in command.hosts:
        row = command.results[host]
        states = found.get(host)
        if states is None or isinstance(states, FairleadError):
            ill.append(host)
            continue
        current = hello[host]["deployed"]["current"]
        row.now, row.result = current, "ok"
        for program in states["programs"]:
            seen = _seen(program["name"], shots)
            bad = not program["well"] or program["release"] != current
            if bad:
                row.result, row.detail = "failed", f"{program['name']}: {program['state']}, {program['answer']}"
            elif down := _down(program["name"], shots):
                bad, row.result, row.detail = True, "failed", f"{down}; `fab doctor` says what is between them"
            if bad:
                ill.append(f"{program['name']} on {host}")
            table.add_row(
                host, program["name"], program["state"], str(program["pid"] or "-"), f"{program['uptime_s']:.0f} s",
                program["release"] or "-", program["answer"], seen, style="red" if bad else "",
            )  # fmt: skip
        if hello[host]["deployed"]["lock"]:
            command.report.say(f"{host} is locked: {hello[host]['deployed']['lock']}", "yellow")
        command.outcome.more.setdefault("programs", {})[host] = states["programs"]
    if not command.options.get("json"):
        command.report.print(table)
        command.outcome.hosts = [r for r in command.outcome.hosts if r.result not in ("ok",)]
    releases = sorted({hello[h]["deployed"]["current"] or "none" for h in command.hosts if h in hello})
    command.outcome.more["balancers"] = shots
    command.outcome.code = Code.FAILED if ill else Code.OK
    drift = f"; the hosts are on different releases: {', '.join(releases)}" if len(releases) > 1 else ""
    command.outcome.summary = (f"not well: {', '.join(ill)}" if ill else f"all is well on {releases[0]}") + drift


def _seen(program: str, shots: dict[str, Any]) -> str:
    """What the balancers say of a node."""
    words = []
    for name, shot in shots.items():
        for node in shot["nodes"] if shot else []:
            if f"node-{node['name']}" == program:
                words.append(f"{node['state']}" if len(shots) == 1 else f"{name}: {node['state']}")
    return ", ".join(words)


def _down(program: str, shots: dict[str, Any]) -> str:
    """What a balancer's probes say of a node that they do not get an answer from; "" when they do.

    On its own host it may answer all the same: probes go through both firewalls and the network, as requests do.
    """
    for name, shot in shots.items():
        for node in shot["nodes"] if shot else []:
            if f"node-{node['name']}" == program and node["health"] == "down":
                return f"{program} answers on its host, but is down for balancer {name} ({node['cause']})"
    return ""


def releases(command: Command) -> None:
    """Which releases are on each host, which is current, which are good to go back to."""
    with command.reach() as reach:
        for host in command.hosts:
            if host not in reach.hello:
                continue
            told = reach.hello[host]["deployed"]
            row = command.results[host]
            row.result, row.now = "ok", told["current"]
            row.detail = (
                f"back to: {', '.join(told['previous']) or 'none'}; here: {', '.join(told['releases']) or 'none'}"
            )
            command.outcome.more.setdefault("releases", {})[host] = {
                key: told[key] for key in ("current", "previous", "releases", "envs", "free_bytes")
            }
    command.outcome.code = command.code_of_hosts()
    command.outcome.summary = "`fab rollback` goes to the first of `back to`; --release ID to another"


def logs(command: Command) -> None:
    """The newest lines of the programs' logs; --follow: and what comes."""
    names = [name for name in str(command.options.get("programs") or "").split(",") if name]
    lines = int(command.options.get("lines") or 20)
    wanted = str(command.options.get("grep") or "")
    follow = bool(command.options.get("follow"))
    if follow and command.options.get("json"):
        raise ConfigError("fab", [Problem("--follow", "has no end, and --json is one object: leave one of them out")])
    marks: dict[str, dict[str, int]] = {}
    with command.reach() as reach:
        width = max(map(len, command.hosts))
        while True:
            found = reach.each(
                lambda host: reach.call(host, "logs", names=names, lines=lines, after=marks.get(host, {}))
            )
            for host in command.hosts:
                told = found.get(host)
                if not isinstance(told, dict):
                    continue
                marks[host] = {name: entry["size"] for name, entry in told.items()}
                fitting = {name: [line for line in entry["lines"] if wanted in line] for name, entry in told.items()}
                command.outcome.more.setdefault("logs", {})[host] = fitting
                for name, said in fitting.items():
                    for line in said:
                        command.report.print(f"{host:<{width}} {name}: {line}")
            if not follow or not reach.connected:
                break
            time.sleep(FOLLOW_S)
    command.outcome.hosts = [row for row in command.outcome.hosts if row.result]
    command.outcome.code = command.code_of_hosts()
    command.outcome.summary = f"logs of {len(marks)} hosts"


def audit(command: Command) -> None:
    """Who did what on each host: its audit log's newest lines."""
    with command.reach() as reach:
        found = reach.on_all("audit", last=int(command.options.get("lines") or 20))
    for host in command.hosts:
        told = found.get(host)
        for line in told if isinstance(told, list) else []:
            command.report.print(f"{host}: {line}")
    command.outcome.hosts = [row for row in command.outcome.hosts if row.result]
    command.outcome.more["audit"] = {h: v for h, v in found.items() if isinstance(v, list)}
    command.outcome.code = command.code_of_hosts()
    command.outcome.summary = f"audit logs of {len(found)} hosts"
