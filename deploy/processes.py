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

HOLDER_SUFFIX = "-socket"
"""Marks the process that only holds a balancer's listening socket."""


class Process(NamedTuple):
    """One process, as Supervisor says."""

    name: str
    """As people see it; see `shown_name`."""
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


def shown_name(group: str, name: str) -> str:
    """The name of a process for people.

    A balancer is a group of two: process 0 holds the listening socket, process 1 is the balancer.
    """
    if name == f"{group}_0":
        return group + HOLDER_SUFFIX
    return group if name == f"{group}_1" else name


class SupervisorGone(Exception):
    """Nobody answers on Supervisor's socket."""


class Supervisor:
    """The supervisord behind a unix socket. Every method raises SupervisorGone when it does not answer."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        self._transport = _UnixTransport(str(path), timeout_s)

    def pid(self) -> int:
        """supervisord's own process id."""
        return cast(int, self._call("getPID"))

    def processes(self) -> list[Process]:
        """Every process, in the order of the configuration."""
        return [
            Process(
                name=shown_name(info["group"], info["name"]),
                id=f"{info['group']}:{info['name']}",
                state=info["statename"],
                pid=info["pid"],
                started_at=float(info["start"]),
                stopped_at=float(info["stop"]),
                uptime_s=float(max(0, info["now"] - info["start"])) if info["pid"] else 0.0,
                description=info["spawnerr"] or info["description"],
                log=info["stdout_logfile"] or info["stderr_logfile"],
            )
            for info in cast(list[dict[str, Any]], self._call("getAllProcessInfo"))
        ]

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
