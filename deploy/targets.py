"""Which hosts a command is about: --hosts, --roles and --except, as patterns. Pure."""

import fnmatch
from collections.abc import Iterable

from cluster.config import Fleet, Runs
from cluster.errors import ConfigError, Problem
from cluster.programs import Role, programs_of

ROLES = (Role.NODE.value, Role.BALANCER.value, Role.DASHBOARD.value)


def fleet_hosts(fleet: Fleet) -> list[str]:
    """Keys of the hosts on which something of ours runs, in the order of a deploy: nodes, balancers, dashboard."""
    used = {program.host for program in programs_of(fleet)}
    place = {"node": 0, "balancer": 2, "dashboard": 1}

    def turn(host: str) -> int:
        return max(place[role] for role in roles_of(fleet, host))

    return sorted(used, key=lambda host: (turn(host), list(fleet.hosts).index(host)))


def roles_of(fleet: Fleet, host: str) -> list[str]:
    """node, balancer, dashboard: what a host is there for."""
    has = {
        "node": any(node.host == host and node.runs is not Runs.EXTERNAL for node in fleet.nodes),
        "balancer": any(balancer.host == host for balancer in fleet.balancers),
        "dashboard": fleet.dashboard is not None and fleet.dashboard.host == host,
    }
    return [role for role in ROLES if has[role]]


def choose(fleet: Fleet, hosts: str = "", roles: str = "", besides: str = "") -> list[str]:
    """The hosts meant, in the order of a deploy. Each argument is a list with commas, of patterns such as `l*`.

    ConfigError when a pattern fits nothing: a typing error must not pass for "nothing to do".
    """
    every = fleet_hosts(fleet)
    problems = []
    for key in every:
        if fleet.hosts[key].connection == "local":
            problems.append(Problem(f"hosts.{key}.connection", "is local: `fab` is for hosts reached by ssh"))
    chosen = set(every)
    for option, text, fits in (
        ("--hosts", hosts, lambda pattern: fnmatch.filter(every, pattern)),
        ("--roles", roles, lambda pattern: [h for h in every if fnmatch.filter(roles_of(fleet, h), pattern)]),
        ("--except", besides, lambda pattern: fnmatch.filter(every, pattern)),
    ):
        patterns = [pattern.strip() for pattern in text.split(",") if pattern.strip()]
        found: set[str] = set()
        for pattern in patterns:
            fitting = fits(pattern)
            known = ROLES if option == "--roles" else every
            if not fitting:
                problems.append(Problem(option, f"{pattern!r} fits none of {_list(known)}"))
            found.update(fitting)
        if patterns:
            chosen = chosen - found if option == "--except" else chosen & found
    if problems:
        raise ConfigError("fab", problems)
    if not chosen:
        raise ConfigError("fab", [Problem("--hosts", "together with --roles and --except no host is left")])
    return [host for host in every if host in chosen]


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
