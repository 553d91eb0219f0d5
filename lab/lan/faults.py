"""Faults of a LAN: `inject` brings one about and proves it, `clear` takes back. lan.json lists what is in force."""

from collections.abc import Callable
from typing import NamedTuple

from lab.lan import of_host, of_network
from lab.lan.errors import LanError
from lab.lan.fault import Fault
from lab.lan.lan import Lan, locked


class Kind(NamedTuple):
    """What makes a fault be, what proves that it is, and what ends it. `lan.faults` already says what shall be."""

    begin: Callable[[Lan, Fault], None]
    prove: Callable[[Lan, Fault], str]
    end: Callable[[Lan, Fault], None]


def _arrange(lan: Lan, fault: Fault) -> None:
    of_network.arrange(lan)


KINDS: dict[str, Kind] = {
    "partition": Kind(_arrange, of_network.prove_partition, _arrange),
    "loss": Kind(_arrange, of_network.prove_loss, _arrange),
    "delay": Kind(_arrange, of_network.prove_delay, _arrange),
    "bandwidth": Kind(_arrange, of_network.prove_bandwidth, _arrange),
    "freeze": Kind(of_host.freeze, of_host.prove_freeze, of_host.thaw),
    "disk-full": Kind(of_host.fill, of_host.prove_full, of_host.empty),
    "kill": Kind(of_host.cut_power, of_host.prove_off, of_host.boot),
}


def inject(lan: Lan, fault: Fault) -> str:
    """Bring a fault about; returns what proves that it is in force. One of the same place is replaced.

    Raises LanError when the host is unknown, or when the fault cannot be seen to be in force; then it is taken back.
    """
    kind = KINDS[fault.kind]
    with locked(lan.state):
        lan.refresh()
        lan.host(fault.host)
        if fault.peer:
            lan.host(fault.peer)
        before = list(lan.faults)
        lan.faults = [other for other in before if other.place != fault.place] + [fault]
        lan.save()
        try:
            kind.begin(lan, fault)
            return kind.prove(lan, fault)
        except BaseException:
            lan.faults = before
            lan.save()
            kind.end(lan, fault)
            raise


def clear(lan: Lan, host: str | None = None, kind: str | None = None) -> list[Fault]:
    """Take back all faults, or those of a host, or of a kind; returns them. Hosts that are off for any reason boot.

    Raises LanError when a host that nothing more concerns does not answer.
    """
    with locked(lan.state):
        lan.refresh()
        if host is not None:
            lan.host(host)
        if kind is not None and kind not in KINDS:
            raise LanError(f"fault {kind!r}: there are {', '.join(KINDS)}")
        gone = [f for f in lan.faults if host in (None, f.host) and kind in (None, f.kind)]
        lan.faults = [fault for fault in lan.faults if fault not in gone]
        lan.save()
        for fault in gone:
            KINDS[fault.kind].end(lan, fault)
        for other in lan.hosts:
            if host in (None, other.name) and kind in (None, "kill") and not other.is_on:
                of_host.boot(lan, Fault(other.name, "kill"))
        of_network.prove_whole(lan)
        return gone
