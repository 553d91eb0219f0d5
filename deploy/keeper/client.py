"""How the keeper is asked and told from its host: by its own verbs, and by the agent of `fab`, which is sent to hosts.

Standard library only, for that reason. What it answers, and to what, local_api.py says.
"""

import contextlib
import http.client
import json
from pathlib import Path
from typing import Any

from deploy.processes import Process, SupervisorGone

LOOPBACK = "127.0.0.1"
LIMIT_S = 5.0
FOUND_BY = "keeper.json"
"""File in the state folder that names the port."""
ORDERS = ("start", "stop", "restart", "add", "remove")


class KeeperGone(SupervisorGone):
    """No keeper answers."""


class Client:
    """The keeper of a state folder, running or not. Every method raises KeeperGone when it does not answer."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def processes(self) -> tuple[int, list[Process]]:
        """The keeper's own pid and every program."""
        told = self._ask("GET", "/processes")
        return told["pid"], [Process(**fields) for fields in told["processes"]]

    def releases(self) -> dict[int, str]:
        """Process id -> release that it was started from, of what runs."""
        told = self._ask("GET", "/processes")
        return {p["pid"]: told["releases"][p["name"]] for p in told["processes"] if p["pid"]}

    def stop(self) -> None:
        """Tell it to stop everything and end; returns at once."""
        self._ask("POST", "/stop")

    def order(self, program: str, verb: str) -> None:
        """One of ORDERS for one program; returns at once. KeyError when it keeps, or can keep, none of that name."""
        if verb not in ORDERS:
            raise ValueError(f"{verb}: an order is one of {', '.join(ORDERS)}")
        self._ask("POST", f"/programs/{program}/{verb}")

    def _ask(self, method: str, path: str) -> Any:
        try:
            port = int(json.loads((self._state / FOUND_BY).read_text())["port"])
            token = (self._state / "token").read_text().strip()
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=LIMIT_S)
            with contextlib.closing(connection):
                connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                told = json.loads(answer.read(1 << 20))
            if answer.status == 404:
                raise KeyError(told["error"])
            if answer.status // 100 != 2:  # somebody else has the port of a keeper that died
                raise KeeperGone(f"port {port} answers {answer.status}")
            return told
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise KeeperGone(str(error)) from None
