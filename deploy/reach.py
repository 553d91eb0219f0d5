"""Several hosts at once: connect to all, ask all the same, know which are gone. At most 16 at a time."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cluster.config import Fleet
from cluster.errors import FairleadError
from deploy.hosts.connection import Access, Connection, HostRefused, Unreachable

POOL = 16
T = TypeVar("T")


class Reach:
    """The hosts of a command. `open` first, `close` in any case."""

    def __init__(self, fleet: Fleet, hosts: list[str], access: Access, on_note: Callable[[str, str], None]) -> None:
        self.fleet = fleet
        self.hosts = hosts
        self.hello: dict[str, dict[str, Any]] = {}
        """What each connected host said first: machine, deployed."""
        self.unreachable: dict[str, str] = {}
        self.refused: dict[str, HostRefused] = {}
        self._access = access
        self.note = on_note
        self._connections: dict[str, Connection] = {}
        self._closing = threading.Lock()

    def open(self, as_root: bool = False) -> None:
        """Connect to all; who cannot be reached or refuses is noted, not raised."""

        def one(host: str) -> None:
            connection = Connection(host, self.fleet.hosts[host], self._access, self.note)
            self._connections[host] = connection
            try:
                self.hello[host] = connection.open(as_root)
            except Unreachable as error:
                self.unreachable[host] = str(error)
            except HostRefused as error:
                self.refused[host] = error
            if host not in self.hello:
                connection.close()
                del self._connections[host]

        self._each(one, self.hosts)

    @property
    def connected(self) -> list[str]:
        """Hosts that are there, in the order of a deploy."""
        return [host for host in self.hosts if host in self._connections and not self._connections[host].lost]

    def call(self, host: str, operation: str, **arguments: Any) -> Any:
        """One operation on one host; see `Connection.call`."""
        if host not in self._connections:
            raise Unreachable(self.unreachable.get(host, "not connected"))
        try:
            return self._connections[host].call(operation, **arguments)
        except Unreachable as error:
            self.unreachable.setdefault(host, str(error))
            raise

    def connection(self, host: str) -> Connection:
        """For uploads."""
        return self._connections[host]

    def on_all(self, operation: str, hosts: Iterable[str] | None = None, **arguments: Any) -> dict[str, Any]:
        """The same operation on many: each host's answer, or its FairleadError."""
        return self.each(lambda host: self.call(host, operation, **arguments), hosts)

    def each(self, work: Callable[[str], T], hosts: Iterable[str] | None = None) -> dict[str, T | FairleadError]:
        """Do something for many hosts at once; a FairleadError becomes that host's value."""
        found: dict[str, T | FairleadError] = {}

        def one(host: str) -> None:
            try:
                found[host] = work(host)
            except FairleadError as error:
                found[host] = error

        self._each(one, self.connected if hosts is None else hosts)
        return found

    def close(self) -> None:
        """End all connections: hosts without a balancer first, so that nodes are there again when they are enabled."""
        with self._closing:
            balancers = {balancer.host for balancer in self.fleet.balancers}
            for batch in ([h for h in self._connections if h not in balancers], [*balancers & set(self._connections)]):
                self._each(lambda host: self._connections[host].close(), batch)
            self._connections.clear()

    @staticmethod
    def _each(work: Callable[[str], None], hosts: Iterable[str]) -> None:
        hosts = list(hosts)
        if hosts:
            with ThreadPoolExecutor(min(POOL, len(hosts))) as pool:
                list(pool.map(work, hosts))
