"""The operator's end of the connection to a host.

connection   SSH by Fabric, and the agent at its other end: `call` an operation, `upload` a file
host_keys    who the host is: checked, pinned at the first set-up, never taken unseen
agent_archive  the package `deploy.agent` as one archive
linux        what differs from one operating system to the other, on this side: how the agent is started, and paths
"""
