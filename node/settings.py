"""Which node this process is."""

import os
import signal

from cluster import load, paths
from cluster.config import Node, Runs
from cluster.errors import StartError


def this_node() -> Node:
    """The node that FAIRLEAD_NODE names, from config.json. StartError or ConfigError when it cannot be one of ours."""
    path = paths.config_file()
    fleet = load.load(path)
    ours = [node.name for node in fleet.nodes if node.runs is Runs.SIMULATED]
    known = f"{path.name} has these simulated nodes: {', '.join(ours) or 'none'}"
    name = os.environ.get("FAIRLEAD_NODE")
    if not name:
        raise StartError(f"FAIRLEAD_NODE is not set: it says which node this process is; {known}")
    if name not in ours:
        raise StartError(f'FAIRLEAD_NODE is "{name}"; {known}')
    return fleet.node(name)


def die() -> None:
    """End this node's process as a crash would: without a word, gunicorn's master too, so that Supervisor sees it."""
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        os.kill(os.getppid(), signal.SIGKILL)
    os._exit(70)
