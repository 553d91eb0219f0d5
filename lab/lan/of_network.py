"""Faults of the network: partition, loss, delay, bandwidth; brought about, and proven by probes.

`arrange` makes switch and cables what the LAN's list of faults says, so beginning and ending a fault is the same step.
"""

import math
import statistics
import time
from collections.abc import Iterator

from lab.lan import cables, switch
from lab.lan.errors import LanError
from lab.lan.fault import Fault
from lab.lan.host import Host
from lab.lan.lan import Lan
from lab.lan.probe import MOST_BYTES, burst, round_trips

# What a busy machine adds to a round trip of ours.
SLACK_S = 0.1


def arrange(lan: Lan) -> None:
    """Make the network what `lan.faults` says."""
    cables.arrange(lan)
    switch.load(lan)


def prove_partition(lan: Lan, fault: Fault) -> str:
    """No probe is answered, and the switch counts them as dropped."""
    total = 0
    for source, target, comment in _roads(lan, fault):
        before = switch.dropped(lan).get(comment)
        _hold(before is not None, fault, f"the switch has no rule {comment!r}")
        answered = len(round_trips(source, target, count=3, wait_s=0.1))
        lost = switch.dropped(lan)[comment] - (before or 0)
        _hold(answered == 0, fault, f"{answered} of 3 probes from {source.name} to {target.name} were answered")
        _hold(lost >= 3 or _also_cut(lan, fault, source, target), fault, f"the switch dropped {lost} of 3 frames")
        total += lost
    return f"no answer to probes, {total} frames dropped"


def prove_loss(lan: Lan, fault: Fault) -> str:
    """As many probes are lost as the dice may say (four standard deviations), and the switch counts drops."""
    share = (fault.percent or 0.0) / 100
    said = []
    for source, target, comment in _roads(lan, fault):
        before = switch.dropped(lan).get(comment)
        _hold(before is not None, fault, f"the switch has no rule {comment!r}")
        count = min(3000, max(200, round(30 / share)))
        seen = burst(source, target, count=count, every_s=0.0005, wait_s=SLACK_S + _slowest_s(lan))
        passes = math.prod(1 - other for other in _shares(lan, source, target))
        expected, spread = count * (1 - passes), math.sqrt(count * passes * (1 - passes))
        lost = seen.sent - seen.answered
        _hold(abs(lost - expected) <= 4 * spread + 3, fault,
              f"{lost} of {count} probes were lost, where {expected:.0f} were expected")  # fmt: skip
        dropped = switch.dropped(lan)[comment] - (before or 0)
        _hold(dropped > 0 or count * share < 20, fault, f"the switch dropped none of {count} frames")
        said.append(f"{100 * lost / count:.1f} % of {count} round trips {source.name} - {target.name} lost")
    return "; ".join(said)


def prove_delay(lan: Lan, fault: Fault) -> str:
    """Round trips take as long as both ways of the cable say."""
    host, peer = _ends(lan, fault)
    shortest = longest = 0.0
    for name in (host.name, peer.name):
        for way in (cables.settings(lan.faults, name) or {}).values():
            shortest += (way.get("delay_ms", 0.0) - way.get("jitter_ms", 0.0)) / 1000
            longest += (way.get("delay_ms", 0.0) + way.get("jitter_ms", 0.0)) / 1000
    count = max(4, min(20, int(2 / max(longest, 0.01))))
    trips = round_trips(peer, host, count=count, wait_s=longest + 1)
    _hold(bool(trips), fault, "no probe was answered: clear what else cuts the host off")
    expected = f"{1000 * shortest:.0f} to {1000 * longest:.0f} ms"
    true = min(trips) >= shortest - 0.001 and statistics.median(trips) <= longest + SLACK_S
    _hold(true, fault, f"round trips took {_ms(trips)}, where {expected} were expected")
    return f"round trips {peer.name} - {host.name} take {_ms(trips)}"


def prove_bandwidth(lan: Lan, fault: Fault) -> str:
    """Large probes pass no faster than told."""
    host, peer = _ends(lan, fault)
    limit = 1000 * (fault.kbytes_s or 0.0)
    count = max(4, min(400, int(0.3 * limit / MOST_BYTES)))
    said = []
    for way in ("in", "out") if fault.direction == "both" else (fault.direction,):
        source, target = (peer, host) if way == "in" else (host, peer)
        # Sent a little faster than they may pass, and less than the queue holds.
        every_s = MOST_BYTES / (2 * limit)
        wait_s = SLACK_S + _slowest_s(lan) + 3 * MOST_BYTES / limit
        seen = burst(source, target, count=count, every_s=every_s, wait_s=wait_s, size=MOST_BYTES)
        _hold(seen.answered > 1, fault, "too few probes were answered: clear what else cuts the host off")
        _hold(seen.bytes_s <= 1.2 * limit, fault, f"{seen.bytes_s / 1000:.0f} kB/s passed {way}")
        said.append(f"{seen.bytes_s / 1000:.0f} kB/s {way}")
    return ", ".join(said)


def prove_whole(lan: Lan) -> None:
    """Every host that is on and that no fault concerns answers the operator. LanError names one that does not."""
    concerned = {name for fault in lan.faults for name in (fault.host, fault.peer)}
    for host in lan.hosts:
        if host.is_on and not concerned & {host.name, lan.operator.name}:
            limit = time.monotonic() + 5
            while not round_trips(lan.operator, host, count=1, wait_s=0.5):
                if time.monotonic() > limit:
                    raise LanError(f"{host.name} does not answer although nothing is in force: down, then up")


def _roads(lan: Lan, fault: Fault) -> Iterator[tuple[Host, Host, str]]:
    """For each way of a fault: who probes whom through it, and its rule's name."""
    host, peer = _ends(lan, fault)
    for way in switch.ways(fault):
        source, target = (host, peer) if way[0] == fault.host else (peer, host)
        yield source, target, switch.comment(fault, way)


def _ends(lan: Lan, fault: Fault) -> tuple[Host, Host]:
    """The host, and who sees what becomes of it: the peer, else the operator (for the operator's own faults a host)."""
    host = lan.host(fault.host)
    others = [lan.operator, *lan.hosts]
    peer = lan.host(fault.peer) if fault.peer else next(other for other in others if other is not host and other.is_on)
    return host, peer


def _shares(lan: Lan, source: Host, target: Host) -> Iterator[float]:
    """The shares that the list of faults loses of a round trip, rule by rule."""
    for road in ((source.name, target.name), (target.name, source.name)):
        for fault in lan.faults:
            for way in switch.ways(fault) if fault.kind in ("loss", "partition") else []:
                if all(wanted in (None, name) for wanted, name in zip(way, road, strict=True)):
                    yield (fault.percent if fault.kind == "loss" and fault.percent else 100.0) / 100


def _also_cut(lan: Lan, fault: Fault, source: Host, target: Host) -> bool:
    """Whether another fault drops the same frames before this one's rule sees them."""
    others = [other for other in lan.faults if other.place != fault.place and other.kind in ("partition", "loss")]
    names = {source.name, target.name}
    return any({other.host, other.peer} & names for other in others) or not target.is_on


def _slowest_s(lan: Lan) -> float:
    return sum((fault.delay_ms or 0) + (fault.jitter_ms or 0) for fault in lan.faults) / 500


def _hold(true: bool, fault: Fault, text: str) -> None:
    if not true:
        raise LanError(f"{fault.describe()} of {fault.host} is not in force: {text}")


def _ms(trips: list[float]) -> str:
    return f"{1000 * min(trips):.1f} to {1000 * max(trips):.1f} ms"
