"""Supervisor's own view of the programs, over XML-RPC on its unix socket.

The standard library's client, with a time limit: Supervisor's own transport has none, and a stopped supervisord
would hang every command. Small enough for the event listener to import.
"""

import http.client
import socket
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from cluster import pair

STANDBY_SUFFIX = "-standby"
"""Marks, of the two processes of a balancer, the one that waits to take over."""


class Process(NamedTuple):
    """One process, as Supervisor says."""

    name: str
    """As people see it; see `shown_names`."""
    id: str
    """As Supervisor's commands want it: `group:name`."""
    state: str
    """STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN."""
    pid: int
    started_at: float
    """Seconds since the epoch; 0 when it never was."""
    stopped_at: float
    uptime_s: float
    description: str
    log: str
    """Path of its log file."""


def shown_names(pids: dict[str, int], state: Path) -> dict[str, str]:
    """The names of processes for people, of {`group:name`: pid, 0 when it does not run}.

    A balancer is a group of two (cluster/pair.py): the one that serves has the group's name. When neither does, the
    first has it.
    """
    names, groups = dict[str, str](), dict[str, list[str]]()
    for process in pids:
        groups.setdefault(process.partition(":")[0], []).append(process)
    for group, members in groups.items():
        serving = pair.read_pid(pair.serving_file(state, group)) if len(members) > 1 else 0
        first = next((member for member in members if serving and pids[member] == serving), members[0])
        names |= {member: group if member == first else group + STANDBY_SUFFIX for member in members}
    return names


class SupervisorGone(Exception):
    """Nobody answers on Supervisor's socket."""


class Supervisor:
    """The supervisord behind a unix socket. Every method raises SupervisorGone when it does not answer."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        self._transport = _UnixTransport(str(path), timeout_s)
        self._state = path.parent

    def pid(self) -> int:
        """supervisord's own process id."""
        return cast(int, self._call("getPID"))

    def processes(self) -> list[Process]:
        """Every process, in the order of the configuration."""
        found = {f"{info['group']}:{info['name']}": info for info in self._infos()}
        names = shown_names({key: info["pid"] for key, info in found.items()}, self._state)
        return [
            Process(
                name=names[key],
                id=key,
                state=info["statename"],
                pid=info["pid"],
                started_at=float(info["start"]),
                stopped_at=float(info["stop"]),
                uptime_s=float(max(0, info["now"] - info["start"])) if info["pid"] else 0.0,
                description=info["spawnerr"] or info["description"],
                log=info["stdout_logfile"] or info["stderr_logfile"],
            )
            for key, info in found.items()
        ]

    def _infos(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self._call("getAllProcessInfo"))

    def stop(self, process_id: str) -> None:
        """Begin to stop one process; returns at once. Stopping what does not run is no error."""
        try:
            self._call("stopProcess", process_id, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise

    def start(self, process_id: str) -> None:
        """Begin to start one process; returns at once. Starting what runs is no error."""
        try:
            self._call("startProcess", process_id, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise

    def reread(self) -> tuple[list[str], list[str], list[str]]:
        """Read the configuration file again: groups that are new in it, others than now, and gone from it.

        Nothing else happens; `add` and `remove` bring one group in line. ValueError when the file cannot be used.
        """
        try:
            ((added, changed, removed),) = cast(list[list[list[str]]], self._call("reloadConfig"))
        except xmlrpc.client.Fault as fault:
            raise ValueError(fault.faultString) from None
        return added, changed, removed

    def add(self, group: str) -> None:
        """Take in a group that `reread` found, and start it."""
        self._call("addProcessGroup", group)

    def remove(self, group: str) -> None:
        """Forget a group whose processes are all stopped."""
        self._call("removeProcessGroup", group)

    def shutdown(self) -> None:
        """Tell supervisord to end; returns at once."""
        self._call("shutdown")

    def _call(self, method: str, *args: object) -> object:
        proxy = xmlrpc.client.ServerProxy("http://supervisor", transport=self._transport)
        call = cast(Callable[..., object], getattr(proxy.supervisor, method))
        try:
            return call(*args)
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise SupervisorGone(str(error)) from None
        finally:
            # A connection a call: supervisord drops idle ones, and a stale one would look like a dead supervisord.
            self._transport.close()


_ALREADY_STARTED, _NOT_RUNNING = 60, 70  # supervisor.xmlrpc.Faults


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path, self._timeout_s)
        self._connection = (host, connection)  # where close() finds it
        return connection
