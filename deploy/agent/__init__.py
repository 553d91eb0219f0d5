"""What `fab` runs on a host while it is connected: standard library only, nothing of it stays on the host's disk.

The operator's side sends this package over the SSH connection into the memory of one Python process (`hosts/`), and
then asks it things, one JSON object a line (`session`). When the connection ends, whatever the reason, the process
takes back what was only held for that connection: its lock, drained nodes, a release not yet found good.

place         where things lie on a host, and its one small state file
session       requests in, answers out, heartbeat, time limits, undo
releases      archives and environments in, switch, prune
programs      Supervisor's programs: restart one and see that it is well
trial         the gate before anything is switched
balancers     drain, enable, wait: the control API of a balancer on this host
machine       what differs from one operating system to the other; `linux` is one, with its `linux_*` parts
"""
