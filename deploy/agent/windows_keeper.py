"""The keeper of a host (deploy/keeper), spoken to as the agent speaks to Supervisor: groups of one, `name:name`."""

import json
from typing import Any

from deploy.agent.place import Place, Refused
from deploy.keeper.client import Client
from deploy.processes import Process, SupervisorGone


class KeeperOfHost:
    """See `machine.Supervises`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._keeper = Client(place.state)

    def pid(self) -> int:
        """The keeper's own."""
        return self._keeper.processes()[0]

    def processes(self) -> list[Process]:
        """Every program."""
        return [p._replace(id=f"{p.id}:{p.id}") for p in self._keeper.processes()[1]]

    def releases(self) -> dict[int, str]:
        """Process id -> release that it was started from."""
        return self._keeper.releases()

    def ports(self) -> set[int]:
        """Ports of the programs that it keeps; none when it does not run."""
        try:
            names = {process.name for process in self.processes()}
            return {p["port"] for p in self._described() if p["name"] in names}
        except (SupervisorGone, OSError):
            return set()

    def stop(self, process_id: str) -> None:
        """Begin to stop one."""
        self._order(process_id, "stop")

    def start(self, process_id: str) -> None:
        """Begin to start one, from the current release."""
        self._order(process_id, "start")

    def reread(self) -> tuple[list[str], list[str], list[str]]:
        """New and gone; none has changed, because the keeper reads how a program is started at each start."""
        wanted = [program["name"] for program in self._described()]
        kept = [process.name for process in self.processes()]
        return [name for name in wanted if name not in kept], [], [name for name in kept if name not in wanted]

    def add(self, group: str) -> None:
        """Keep one more."""
        self._order(group, "add")

    def remove(self, group: str) -> None:
        """Forget one that is stopped."""
        self._order(group, "remove")

    def shutdown(self) -> None:
        """Stop everything and end; returns at once."""
        self._keeper.stop()

    def _described(self) -> list[dict[str, Any]]:
        path = self._place.folder(self._place.release()) / "host" / "programs.json"
        found: list[dict[str, Any]] = json.loads(path.read_text())
        return found

    def _order(self, process_id: str, verb: str) -> None:
        try:
            self._keeper.order(process_id.partition(":")[0], verb)
        except KeyError as error:
            raise Refused("failed", f"the keeper cannot {verb} it: {error.args[0]}") from None
