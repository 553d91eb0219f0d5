"""doctor: what is wrong with the hosts, and the one command that puts each thing right."""

from typing import Any

from cluster.errors import FairleadError
from deploy import plan
from deploy.command import Command
from deploy.outcome import Code
from deploy.reach import Reach

CLOCK_S = 5.0
LEAST_BYTES = 512 << 20


def doctor(command: Command) -> None:
    """Look at every host and from every host at the others. Exit 3: something is wrong."""
    found: list[dict[str, str]] = []

    def say(host: str, what: str, way_out: str) -> None:
        found.append({"host": host, "problem": what, "way_out": way_out})

    command.report.watch(command.hosts)
    with command.reach() as reach:
        for host in command.hosts:
            if host in reach.hello:
                _one(command, reach, host, say)
                command.results[host].result = "ok"
        _between(command, reach, say)
    for host, row in command.results.items():
        if row.result in ("unreachable", "failed"):
            say(host, row.detail, _way_in(row.detail, command.fleet.hosts[host].user or "YOU"))
    for item in found:
        command.results[item["host"]].result = command.results[item["host"]].result.replace("ok", "failed")
        command.report.print(f"{item['host']}: {item['problem']}\n    {item['way_out']}")
    command.outcome.more["problems"] = found
    command.outcome.code = Code.PREFLIGHT if found else Code.OK
    command.outcome.summary = f"{len(found)} problems" if found else "nothing is wrong"


def _way_in(detail: str, user: str) -> str:
    if "by key" in detail:
        return f"ssh-copy-id {user}@HOST, then fab setup"
    if "not known yet" in detail or "key is another" in detail:
        return "compare it at the machine (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then fab setup"
    if "SSH server" in detail:
        return "sudo apt install openssh-server, on that machine"
    if "Python" in detail:
        return "sudo apt install python3, on that machine"
    return "is it switched on, and on this network? ping it; look at its address in config.json"


def _one(command: Command, reach: Reach, host: str, say: Any) -> None:
    told = reach.hello[host]
    machine, deployed = told["machine"], told["deployed"]
    if not deployed["set_up"]:
        say(host, "is not set up", f"fab setup --hosts {host}")
        return
    skew_s = machine["ahead_s"]
    if abs(skew_s) > CLOCK_S:
        say(host, f"its clock is {skew_s:+.0f} s off ours", "sudo timedatectl set-ntp true, on that machine")
    if deployed["free_bytes"] < LEAST_BYTES:
        say(host, f"only {deployed['free_bytes'] >> 20} MB are free", f"fab exec 'df -h' --hosts {host}, and make room")
    if machine["supervised_by"] == "nobody":
        say(host, "nothing starts the fleet after a reboot: no systemd", "start supervisord from the system's own init")
    if deployed["switching"]:
        say(host, "a deploy was cut off here", "fab deploy takes it back and goes on")
    if not deployed["firewall"] and machine["firewall_managers"]:
        say(host, "its firewall was never set up by us", f"fab firewall --hosts {host}")
    try:
        reach.call(host, "ports", wanted=plan.ports(command.fleet, host))
    except FairleadError as error:
        say(host, str(error), "end that program, or change the port in config.json")
    states = reach.call(host, "states", programs=plan.wanted(command.fleet, host))
    if deployed["current"]:
        for row in states["programs"]:
            if not row["well"]:
                say(
                    host,
                    f"{row['name']}: {row['state']}, {row['answer']}",
                    f"fab logs --hosts {host} --programs {row['name']}",
                )


def _between(command: Command, reach: Reach, say: Any) -> None:
    """From each balancer to each node, from the dashboard to each control: as they themselves connect."""
    fleet = command.fleet
    wishes: dict[str, list[tuple[str, int]]] = {}
    for balancer in fleet.balancers:
        wishes.setdefault(balancer.host, []).extend(fleet.address_of(node) for node in fleet.nodes)
        if fleet.dashboard and fleet.dashboard.host != balancer.host:
            wishes.setdefault(fleet.dashboard.host, []).append(
                (fleet.hosts[balancer.host].address, balancer.control_port)
            )
    for host, targets in wishes.items():
        if host not in reach.connected or not reach.hello[host]["deployed"]["current"]:
            continue
        seen = reach.call(host, "connect", targets=targets, timeout_s=1.0, limit_s=10 + 2 * len(targets))
        for name, answer in seen.items():
            if answer != "open":
                say(host, f"does not reach {name}: {answer}", _way_through(answer))


def _way_through(answer: str) -> str:
    if answer == "Connection refused":
        return "it is there, but nothing listens: fab status"
    if answer == "no answer":
        return "it is off, or a firewall swallows it: fab firewall; then look at the cable or Wi-Fi (client isolation?)"
    return "a firewall turns it away: fab firewall"
