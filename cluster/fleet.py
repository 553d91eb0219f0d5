"""Which fleet this process belongs to, and which part of it the process is."""

import os

from cluster import paths
from cluster.config import Balancer, Fleet, Node
from cluster.errors import ConfigError, Problem
from cluster.load import load


def this_fleet() -> Fleet:
    """The fleet that FAIRLEAD_CONFIG describes."""
    return load(paths.config_file())


def this_balancer() -> tuple[Fleet, Balancer]:
    """The balancer that FAIRLEAD_BALANCER names; the first one when it is not set."""
    fleet = this_fleet()
    name = os.environ.get("FAIRLEAD_BALANCER") or fleet.balancers[0].name
    try:
        return fleet, fleet.balancer(name)
    except KeyError:
        known = ", ".join(b.name for b in fleet.balancers)
        raise ConfigError("FAIRLEAD_BALANCER", [Problem("", f'"{name}" is not a balancer (known: {known})')]) from None


def this_node() -> tuple[Fleet, Node]:
    """The node that FAIRLEAD_NODE names."""
    fleet = this_fleet()
    name = os.environ.get("FAIRLEAD_NODE", "")
    try:
        return fleet, fleet.node(name)
    except KeyError:
        known = ", ".join(n.name for n in fleet.nodes)
        raise ConfigError("FAIRLEAD_NODE", [Problem("", f'"{name}" is not a node (known: {known})')]) from None
