"""The keeper of a host (deploy/keeper), spoken to as the agent speaks to Supervisor: groups of one, `name:name`."""

import contextlib
import http.client
import json
from typing import Any

from deploy.agent.place import Place
from deploy.processes import Process, SupervisorGone

LIMIT_S = 5.0


class KeeperOfHost:
    """See `machine.Supervises`."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def pid(self) -> int:
        """The keeper's own."""
        return int(self._ask("GET", "/processes")["pid"])

    def processes(self) -> list[Process]:
        """Every program."""
        told = self._ask("GET", "/processes")["processes"]
        return [Process(**{**fields, "id": f"{fields['id']}:{fields['id']}"}) for fields in told]

    def releases(self) -> dict[int, str]:
        """Process id -> release that it was started from."""
        told = self._ask("GET", "/processes")
        return {p["pid"]: told["releases"][p["name"]] for p in told["processes"] if p["pid"]}

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
        self._ask("POST", "/stop")

    def _described(self) -> list[dict[str, Any]]:
        path = self._place.folder(self._place.release()) / "host" / "programs.json"
        found: list[dict[str, Any]] = json.loads(path.read_text())
        return found

    def _order(self, process_id: str, verb: str) -> None:
        self._ask("POST", f"/programs/{process_id.partition(':')[0]}/{verb}")

    def _ask(self, method: str, path: str) -> Any:
        state = self._place.state
        try:
            port = int(json.loads((state / "keeper.json").read_text())["port"])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
            with contextlib.closing(connection):
                token = (state / "token").read_text().strip()
                connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                body = json.loads(answer.read(1 << 20))
            if answer.status // 100 != 2:
                raise SupervisorGone(f"the keeper answers {answer.status}")
            return body
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise SupervisorGone(str(error)) from None
