"""Who may connect to which port of a host: derived from the configuration, rendered for each firewall manager. Pure."""

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Any

from cluster.config import Fleet
from cluster.programs import Role, bind_address, programs_of, reach
from deploy import systemd
from deploy.hosts.system import HostSystem

TAG = "fairlead"


@dataclass(frozen=True)
class Rule:
    """One port."""

    port: int
    sources: tuple[str, ...]
    """Addresses and networks that may connect; loopback always may."""
    program: str


def rules(fleet: Fleet, host: str, lan: str, operator: str, addresses: dict[str, str]) -> list[Rule]:
    """The rules of a host. `lan`: its network; `operator`: the address that we come from; `addresses`: of every host.

    Browsers and clients on the LAN may reach dashboard and balancer. A node serves the balancers, control serves
    dashboards; the operator may look at both. What listens on loopback only needs no rule.
    """
    balancers = {addresses[b.host] for b in fleet.balancers}
    dashboards = {addresses[fleet.dashboard.host]} if fleet.dashboard else set()
    found = []
    for program in programs_of(fleet, (host,)):
        if program.port is None or bind_address(program, fleet, True).startswith("127."):
            continue
        match program.role:
            case Role.BALANCER | Role.DASHBOARD:
                sources = {lan}
            case Role.NODE:
                sources = {*balancers, operator}
            case _:
                sources = {*dashboards, operator}
        found.append(Rule(program.port, tuple(sorted(sources - {""})), program.name))
    return found


def wanted(found: list[Rule], system: HostSystem, lan: str = "") -> dict[str, Any]:
    """The rules in the language of every manager, for `agent.linux_firewall`; `digest`: another for other rules."""
    text = nftables(found)
    return {
        "digest": hashlib.sha256(text.encode()).hexdigest()[:12],
        "nftables": text,
        "ufw": [  # in the order in which `ufw show added` says them again, or they would not be known again
            ["from", source, "to", "any", "port", str(rule.port), "proto", "tcp"]
            for rule in found
            for source in rule.sources
        ],
        "firewalld": [
            f'rule family="ipv4" source address="{source}" port port="{rule.port}" protocol="tcp"'
            f' log prefix="{TAG}" level="debug" limit value="1/m" accept'
            for rule in found
            for source in rule.sources
        ],
        "netsh": [
            [
                *(f"Fairlead {rule.program}", "dir=in", "action=allow", "protocol=TCP", f"localport={rule.port}"),
                f"remoteip={','.join('LocalSubnet' if source == lan else source for source in rule.sources)}",
                "profile=private,domain",
            ]
            for rule in found
            if rule.sources
        ],
        "unit": systemd.unit(systemd.FIREWALL_UNIT, system.root, system.account, 0),
    }


def nftables(found: list[Rule]) -> str:
    """Our own table. Turns away whom no rule names, on these ports alone; everything else, SSH included, passes."""
    lines = [
        "# Made by `fab firewall` from config.json.",
        f"table inet {TAG}",
        f"delete table inet {TAG}",
        f"table inet {TAG} {{",
        "    chain input {",
        "        type filter hook input priority filter; policy accept;",
        '        iif "lo" accept',
    ]
    for rule in found:
        sources = ", ".join(rule.sources)
        lines.append(f"        # {rule.program}")
        if sources:
            lines.append(f"        ip saddr {{ {sources} }} tcp dport {rule.port} accept")
        lines.append(f"        tcp dport {rule.port} counter reject with icmpx admin-prohibited")
    return "\n".join([*lines, "    }", "}"]) + "\n"


def refused_network(lan: str) -> str:
    """Why a network is none that should be let in; "" when it is one. The whole internet is never meant."""
    try:
        network = ipaddress.ip_network(lan)
    except ValueError:
        return f"{lan!r} is no network"
    return f"{lan} is not a private network" if not network.is_private or network.prefixlen < 8 else ""


def lan_addresses(fleet: Fleet, told: dict[str, str]) -> dict[str, str]:
    """Address of every host: what it told itself, else what config.json says."""
    return {key: told.get(key) or reach(host) for key, host in fleet.hosts.items()}
