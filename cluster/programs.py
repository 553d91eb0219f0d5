"""Which programs a fleet is made of, where they run, and what Supervisor calls them. Names are derived here only."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cluster.config import Fleet, Host, Node, Runs

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"


class Role(StrEnum):
    """What a program does."""

    NODE = "node"
    CONTROL = "control"
    BALANCER = "balancer"
    DASHBOARD = "dashboard"
    LISTENER = "listener"


@dataclass(frozen=True, slots=True)
class Program:
    """One supervised program."""

    name: str
    """Supervisor's name, unique on its host."""
    role: Role
    host: str
    """Key of its host."""
    part: str
    """Name of the balancer or node; for the others the program's own name."""
    port: int | None
    """Where it listens; None: it does not."""
    key: str
    """Where the port stands in config.json, such as `nodes[2].port`."""
    health_path: str | None
    """Answers 2xx or 3xx when it is well; None: an open port is all one can ask."""
    scheme: str = "http"
    """`https` for a balancer with its own certificate."""

    def url(self, address: str = LOOPBACK) -> str:
        """Where a person reaches it, without a slash at the end; "" when it does not listen."""
        return f"{self.scheme}://{address}:{self.port}" if self.port else ""


def programs_of(fleet: Fleet, hosts: tuple[str, ...] | None = None) -> list[Program]:
    """Programs on `hosts` (all when None), in the order in which they are started. External nodes are not ours.

    Where one host has several balancers their programs carry the balancer's name after a dot, which no name may
    contain, so that two never meet.
    """
    return [program for program in _all(fleet) if hosts is None or program.host in hosts]


def local_hosts(fleet: Fleet) -> tuple[str, ...]:
    """Keys of the hosts that are this machine."""
    return tuple(key for key, host in fleet.hosts.items() if host.connection == "local")


def reach(host: Host) -> str:
    """Name or address at which this machine reaches a host: loopback when the host is this machine."""
    return LOOPBACK if host.connection == "local" else host.address


def node_program(node: Node) -> str:
    """Supervisor's name for a node."""
    return f"node-{node.name}"


def node_of(program: str) -> str | None:
    """The node that a program is, by Supervisor's name; None for all others."""
    return program.removeprefix("node-") if program.startswith("node-") else None


def is_balancer(program: str) -> bool:
    """Whether a program is a balancer's data path, by Supervisor's name (its control is a program of its own)."""
    return program.partition(".")[0] == "balancer"


def bind_address(program: Program, fleet: Fleet, lan: bool) -> str:
    """Where a program listens: loopback, unless `lan` and someone on another machine needs it.

    Browsers and clients need the dashboard and the balancer; a balancer on another host needs the nodes; a
    dashboard on another host needs the control API. Where a host has an address on the LAN, a balancer reaches the
    nodes of its own host there, too.
    """
    needed_by = {
        Role.NODE: [balancer.host for balancer in fleet.balancers],
        Role.CONTROL: [fleet.dashboard.host] if fleet.dashboard else [],
    }
    users = needed_by.get(program.role)
    outside = users is None or any(user != program.host for user in users)
    outside = outside or (program.role is Role.NODE and fleet.hosts[program.host].connection == "ssh")
    return EVERYWHERE if lan and outside else LOOPBACK


def _all(fleet: Fleet) -> Iterator[Program]:
    for i, node in enumerate(fleet.nodes):
        if node.runs is not Runs.EXTERNAL:
            own = "/-/health" if node.runs is Runs.SIMULATED else node.probe.path
            yield Program(node_program(node), Role.NODE, node.host, node.name, node.port, f"nodes[{i}].port", own)
    alone = {host: sum(b.host == host for b in fleet.balancers) == 1 for host in fleet.hosts}
    for i, b in enumerate(fleet.balancers):
        name = "" if alone[b.host] else f".{b.name}"
        key = f"balancers[{i}]"
        control, traffic = f"balancer-control{name}", f"balancer{name}"
        yield Program(control, Role.CONTROL, b.host, b.name, b.control_port, f"{key}.control_port", "/-/health")
        scheme = "https" if b.tls else "http"
        yield Program(traffic, Role.BALANCER, b.host, b.name, b.port, f"{key}.port", "/-/health", scheme)
    if fleet.dashboard:
        where = fleet.dashboard.host
        yield Program(
            "dashboard", Role.DASHBOARD, where, "dashboard", fleet.dashboard.port, "dashboard.port", "/-/health"
        )
        ours = [node.host for node in fleet.nodes if node.runs is not Runs.EXTERNAL]
        for host in dict.fromkeys([*ours, *(b.host for b in fleet.balancers), where]):
            yield Program("fairlead-listener", Role.LISTENER, host, "fairlead-listener", None, "", None)
