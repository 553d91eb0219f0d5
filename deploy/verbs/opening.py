"""What every change of a fleet begins with: its hosts, all locked, and clients that watch it."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import FairleadError
from deploy.command import Command, Ends
from deploy.hosts.connection import HostRefused, Unreachable
from deploy.outcome import Code
from deploy.reach import Reach
from deploy.traffic import Traffic

LOCK_WAIT_S = 2.0


@contextmanager
def all_hosts(command: Command) -> Iterator[Reach]:
    """The chosen hosts, and those of the balancers, which drain and enable. A cut-off deploy is put right first."""
    balancers = [b.host for b in command.fleet.balancers]
    command.report.watch(command.hosts)
    with command.reach([*dict.fromkeys([*command.hosts, *balancers])]) as reach:
        gone = [host for host in balancers if host not in reach.hello]
        if gone and not command.options.get("force"):
            why = "; ".join(f"{host}: {_why_not(reach, host)}" for host in gone)
            refused = any(host in reach.refused for host in gone)
            raise Ends(
                Code.PREFLIGHT if refused else Code.UNREACHABLE,
                f"nothing was changed: nodes cannot be drained without their balancer ({why}); --force goes on without",
            )
        for host in command.hosts:
            if host in reach.hello and not reach.hello[host]["deployed"]["set_up"]:
                command.fail(host, "failed", "is not set up yet: fab setup")
        check_hosts(command)
        yield reach


def _why_not(reach: Reach, host: str) -> str:
    return reach.unreachable.get(host) or str(reach.refused.get(host, "not connected"))


def check_hosts(command: Command) -> None:
    """Hosts that refuse end the command; hosts that are off do not."""
    failed = [row for row in command.results.values() if row.result == "failed"]
    if failed:
        raise Ends(Code.PREFLIGHT, f"nothing was changed: {failed[0].host}: {failed[0].detail}")


def chosen(command: Command, reach: Reach) -> list[str]:
    return [host for host in command.hosts if host in reach.connected]


@contextmanager
def locked(command: Command, reach: Reach) -> Iterator[None]:
    """All hosts for us alone, taken in one order by everybody. What an earlier deploy left open is closed first."""
    wait_s = float(command.options.get("wait") or LOCK_WAIT_S)
    for host in sorted(reach.connected):
        try:
            reach.call(host, "lock", owner=command.owner, wait_s=wait_s, limit_s=wait_s + 10)
        except HostRefused as error:
            if error.kind != "locked":
                raise
            raise Ends(Code.LOCKED, f"{host} is locked: {error}") from None
        except Unreachable as error:
            command.fail(host, "unreachable", str(error))
    open_ends = [h for h in reach.connected if reach.hello[h]["deployed"]["switching"] or _held(reach, h)]
    for host, told in reach.on_all("recover", open_ends, limit_s=120).items():
        if isinstance(told, FairleadError):
            raise Ends(Code.PREFLIGHT, f"{host}: an earlier deploy was cut off and cannot be taken back: {told}")
        command.report.say(f"{host}: an earlier deploy was cut off here; it was taken back", "yellow")
        reach.hello[host]["deployed"] = reach.call(host, "deployed")
    yield
    reach.on_all("unlock")


def _held(reach: Reach, host: str) -> bool:
    return bool(reach.hello[host]["deployed"]["held"])


def serving_now(reach: Reach) -> list[str]:
    """Balancers that serve now."""
    found = []
    for balancer in reach.fleet.balancers:
        try:
            if reach.call(balancer.host, "snapshot", port=balancer.control_port):
                found.append(balancer.name)
        except FairleadError:
            continue
    return found


@contextmanager
def clients(command: Command, serving: list[str]) -> Iterator[Traffic]:
    """Clients of the balancers for as long as the block lasts; what they saw goes into the outcome."""
    traffic = Traffic(command.fleet, serving, command.options.get("probe_path") or "/")
    traffic.start()
    try:
        yield traffic
    finally:
        if serving:
            command.outcome.traffic = traffic.stop()
