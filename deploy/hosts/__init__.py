"""The operator's end of the connection to a host.

connection   SSH by Fabric, and the agent at its other end: `call` an operation, `upload` a file
host_keys    who the host is: checked, pinned at the first set-up, never taken unseen
agent_archive  the package `deploy.agent` as one archive
system       what differs from one operating system to the other, on this side: how the agent is started, and paths
linux, windows  the two there are
"""

from deploy.hosts.linux import Linux
from deploy.hosts.system import HostSystem
from deploy.hosts.windows import Windows

SYSTEMS: dict[str, HostSystem] = {"linux": Linux(), "windows": Windows()}
"""By a host's `os` in config.json."""
