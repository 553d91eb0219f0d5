"""How many hosts may be without their nodes at the same time. Pure: what is in flight in, hosts out."""

from cluster.config import Fleet

HEADROOM = 1.5
"""Nodes that stay must have slots for so many times what is in flight now."""


def next_batch(fleet: Fleet, waiting: list[str], in_flight: dict[str, int], most: int = 0) -> list[str]:
    """The first of `waiting`, and those after it that may be out together with it.

    `in_flight`: of each node that serves now. `most`: so many, whatever they serve; 0: as many as leave enough.
    """
    if most:
        return waiting[:most]
    batch = waiting[:1]
    for host in waiting[1:]:
        if _leaves_enough(fleet, {*batch, host}, in_flight):
            batch.append(host)
    return batch


def _leaves_enough(fleet: Fleet, out: set[str], in_flight: dict[str, int]) -> bool:
    """Of each kind of node at most half are out, and the others' slots suffice. Unknown slots suffice for nothing."""
    for kind in {node.kind for node in fleet.nodes if node.host in out}:
        nodes = [node for node in fleet.nodes if node.kind is kind]
        leaving = [node for node in nodes if node.host in out]
        slots = [node.known_slots for node in nodes if node not in leaving and node.name in in_flight]
        if 2 * len(leaving) > len(nodes) + 1 or None in slots:
            return False
        if sum(filter(None, slots)) < max(1, HEADROOM * sum(in_flight.get(node.name, 0) for node in nodes)):
            return False
    return True
