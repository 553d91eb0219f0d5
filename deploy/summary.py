"""What a person reads after a start: the addresses and what to do next, in at most 20 lines."""

import platform
import textwrap
from collections.abc import Iterable

from cluster.config import Fleet, Runs
from cluster.programs import Program, Role, local_hosts, reach
from deploy.addresses import lan_address
from deploy.fleet_here import Here

NODE_LINES = 4
"""More lines of nodes than this are not shown."""


def dashboard_link(fleet: Fleet, token: str, address: str | None = None) -> str:
    """The dashboard's address with the token that signs in; "" without a dashboard."""
    if fleet.dashboard is None:
        return ""
    host = address or reach(fleet.hosts[fleet.dashboard.host])
    return f"http://{host}:{fleet.dashboard.port}/?token={token}"


def running(
    fleet: Fleet,
    programs: list[Program],
    token: str,
    here: Here,
    *,
    lan: bool,
    took_s: float | None = None,
    already: bool = False,
    opened: bool = False,
) -> list[str]:
    """The lines. `took_s`: seconds the start took; `already`: it ran before this call."""
    is_or_was = "runs already" if already else "runs" if took_s is None else f"runs after {took_s:.1f} s"
    lines = [f"Fairlead · fleet {fleet.fleet} {is_or_was} · Python {platform.python_version()}"]
    balancers = [p for p in programs if p.role is Role.BALANCER]
    for program in balancers:
        balancer = fleet.balancer(program.part)
        workers = f"{balancer.workers} workers" if balancer.workers > 1 else "1 worker"
        lines.append(f"  balancer   {program.url()}/   {balancer.name}, {workers}")
    lines += _node_lines(fleet)
    for program in (p for p in programs if p.role is Role.CONTROL):
        lines.append(f"  control    {program.url()}   for the command scripts/linux/fairlead")
    if fleet.dashboard:
        note = "   opened in your browser" if opened else ""
        lines.append(f"  dashboard  {dashboard_link(fleet, token)}{note}")
    lines += _lan_lines(fleet, balancers, token, lan)
    elsewhere = [b.name for b in fleet.balancers if b.host not in local_hosts(fleet)]
    elsewhere += [n.name for n in fleet.nodes if n.runs is not Runs.EXTERNAL and n.host not in local_hosts(fleet)]
    if elsewhere:
        lines.append(f"  not started here, because they belong to other hosts: {', '.join(elsewhere)}")
    if balancers:
        lines.append(f"Try    curl -i {balancers[0].url()}/   X-Fairlead-Node names the node that answered")
        lines.append("       scripts/linux/fairlead status   and: scripts/linux/fairlead drain NODE, events -f")
    lines.append(f"Stop   scripts/linux/stop_all.sh   State  scripts/linux/status.sh   Logs  {here.logs}/")
    return lines


def _node_lines(fleet: Fleet) -> Iterable[str]:
    def shown() -> Iterable[str]:
        for node in fleet.nodes:
            address, port = fleet.address_of(node)
            outside = node.runs is Runs.EXTERNAL or node.host not in local_hosts(fleet)
            how = "" if node.runs is Runs.SIMULATED else f" ({node.runs})"
            yield f"{node.name} {node.kind} {address if outside else ''}:{port}{how}"

    lines = textwrap.wrap(" · ".join(entry.replace(" ", "\0") for entry in shown()), 100)
    lines = [line.replace("\0", " ") for line in lines]
    if len(lines) > NODE_LINES:
        lines = [*lines[: NODE_LINES - 1], f"... {len(fleet.nodes)} nodes in all: scripts/linux/fairlead status"]
    return [f"  {'nodes' if i == 0 else '':<9}  {line}" for i, line in enumerate(lines)]


def _lan_lines(fleet: Fleet, balancers: list[Program], token: str, lan: bool) -> Iterable[str]:
    if not lan:
        yield "  on the LAN: not reachable; start with --lan for that"
        return
    address = lan_address()
    if address is None:
        yield "  on the LAN: open on all interfaces, but this machine has no LAN address now"
        return
    for program in balancers:
        yield f"  on the LAN: {program.url(address)}/   (a firewall may still be in the way)"
    if fleet.dashboard and fleet.dashboard.host in local_hosts(fleet):
        yield f"              {dashboard_link(fleet, token, address)}"
