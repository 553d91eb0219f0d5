"""Nodes out of the balancers and back again, seen from the operator.

A balancer's host is asked again and again in short requests instead of once in a long one: it carries out one request
after the other, and several nodes may be on their way out or back at the same time.
"""

import time
from collections.abc import Iterable
from typing import Any

from cluster.config import Balancer
from deploy.hosts.connection import HostRefused
from deploy.reach import Reach

DRAIN_S = 30.0
READY_S = 15.0
POLL_S = 0.1


def drain(reach: Reach, node: str, balancers: Iterable[Balancer]) -> list[Balancer]:
    """No new requests for a node, then wait until it has none in flight, at most DRAIN_S. The balancers that know it.

    All are told before any is waited for.
    """
    until = time.monotonic() + DRAIN_S
    waiting = list(balancers)
    found = []
    while waiting:
        told = {b.name: reach.call(b.host, "drain", port=b.control_port, node=node) for b in waiting}
        found += [b for b in waiting if told[b.name]["known"] and b not in found]
        waiting = [b for b in waiting if told[b.name]["in_flight"]]
        if time.monotonic() > until:
            break
        time.sleep(POLL_S if waiting else 0)
    return found


def restore(reach: Reach, node: str, balancers: Iterable[Balancer], ready_s: float = READY_S) -> None:
    """Give back what `drain` took, and wait until each of the balancers picks the node again; else HostRefused.

    Not waited for: a node that was out before, and one that a balancer still expects at another address.
    """
    known = {n.name: "{}:{}".format(*reach.fleet.address_of(n)) for n in reach.fleet.nodes}
    until = time.monotonic() + ready_s
    waiting = list(balancers)
    while waiting:
        told: dict[str, Any] = {}
        for balancer in waiting:
            told[balancer.name] = reach.call(
                balancer.host, "restore", port=balancer.control_port, node=node, address=known.get(node, "")
            )
        waiting = [b for b in waiting if not told[b.name]["done"]]
        if waiting and time.monotonic() > until:
            state = told[waiting[0].name]["state"]
            text = f"{node} is {state} for balancer {waiting[0].name}, {ready_s:g} s after its restart"
            raise HostRefused("gate", text, [])
        time.sleep(POLL_S if waiting else 0)
