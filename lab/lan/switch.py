"""The rules of the switch: which frames it drops. Pure, but for `load` and `dropped`.

They stand in the network namespace of the switch, not in a host: a host's own firewall can neither see nor flush them.
Partition and loss only drop; what needs a queue (delay, bandwidth) is the cable's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from lab.lan.fault import Fault
from lab.lan.lan import Lan

TABLE = "table bridge faults"

Way = tuple[str | None, str | None]
"""From whom, to whom; None is everybody."""


def ways(fault: Fault) -> list[Way]:
    """Which ways it concerns."""
    into: Way = (fault.peer, fault.host)
    out: Way = (fault.host, fault.peer)
    return {"in": [into], "out": [out], "both": [into, out]}[fault.direction]


def rules(faults: Sequence[Fault], ports: Mapping[str, str]) -> str:
    """The nftables text that makes the switch drop what these faults say, nothing else. `ports`: host -> its port."""
    lines = [
        f"{TABLE} {{}}",
        f"delete {TABLE}",
        f"{TABLE} {{",
        "chain forward {",
        "type filter hook forward priority 0",
    ]
    lines += [_rule(fault, way, ports) for fault in faults for way in _dropping(fault)]
    return "\n".join([*lines, "}", "}", ""])


def comment(fault: Fault, way: Way) -> str:
    """What marks one rule in nft's listing."""
    return f"{fault.kind} {way[0] or 'all'} {way[1] or 'all'}"


def load(lan: Lan) -> None:
    """Put the LAN's faults into force at once: nft replaces all rules in one step."""
    ports = {host.name: host.port_name for host in [*lan.hosts, lan.operator]}
    lan.at_switch(["nft", "-f", "-"], input=rules(lan.faults, ports))


def dropped(lan: Lan) -> dict[str, int]:
    """Frames dropped so far, by the rule's comment. A rule that is not loaded is not in it."""
    listing = json.loads(lan.at_switch(["nft", "-j", "list", "table", "bridge", "faults"]))["nftables"]
    found: dict[str, int] = {}
    for rule in (entry["rule"] for entry in listing if "rule" in entry):
        found[rule["comment"]] = next(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
    return found


def _dropping(fault: Fault) -> Iterator[Way]:
    if fault.kind in ("partition", "loss"):
        yield from ways(fault)


def _rule(fault: Fault, way: Way, ports: Mapping[str, str]) -> str:
    words = [_port("iifname", way[0], ports), _port("oifname", way[1], ports)]
    if fault.percent is not None:
        words.append(f"numgen random mod 100000 < {round(fault.percent * 1000)}")
    return " ".join([*filter(None, words), "counter drop comment", f'"{comment(fault, way)}"'])


def _port(match: str, host: str | None, ports: Mapping[str, str]) -> str:
    # With a slow cable in between, the host hangs on the switch by the cable's end.
    return f'{match} {{ "{ports[host]}", "{far_end(ports[host])}" }}' if host else ""


def far_end(port: str) -> str:
    """The name of a slow cable's end at the switch."""
    return port.replace("port", "cable")
