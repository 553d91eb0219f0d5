"""The keeper of a host that `fab` deploys to: `python -m deploy.keeper.deployed ROOT`; launch.py there starts it.

How a program is started stands in the current release's own host/keeper.json, read at each start: after a switch of
the release a restart of the program brings the new one, and the keeper itself goes on.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cluster import auth, file_lock
from deploy.keeper.child import Recipe
from deploy.keeper.keeper import Keeper
from deploy.keeper.local_api import serve
from deploy.supervisor.listener import Sender, post

_NOT_INHERITED = ("FAIRLEAD_", "PYTHON")


class Current:
    """The release that the host is on."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def folder(self) -> Path:
        """Its own."""
        return self._root / "releases" / (self._root / "current").read_text().strip()

    def described(self) -> dict[str, Any]:
        """host, dashboard (address or None), programs."""
        found: dict[str, Any] = json.loads((self.folder / "host" / "keeper.json").read_text(encoding="utf-8"))
        return found

    def recipe(self, name: str) -> Recipe:
        """How a program is started now. KeyError: this release has none of that name."""
        folder = self.folder
        env = (folder / (folder / ".venv").read_text()).resolve()
        program = {p["name"]: p for p in self.described()["programs"]}[name]

        def filled(text: str) -> str:
            return text.replace("{release}", str(folder)).replace("{env}", str(env)).replace("{python}", sys.executable)

        outside = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        outside["PYTHONUTF8"] = "1"  # whatever Windows' code page
        environment = outside | {key: filled(value) for key, value in program["environment"].items()}
        argv = [filled(word) for word in program["argv"]]
        return Recipe(name, argv, folder, environment, True, program["stop_wait_s"])


def main(root: Path) -> int:
    """Until told to stop. A second one ends at once: 0."""
    state, logs = root / "shared" / "run", root / "shared" / "logs"
    try:
        with file_lock.alone(state / "keeper.lock", wait=False):
            _keep(Current(root), state, logs)
    except BlockingIOError:
        pass  # the boot task tries each minute
    return 0


def _keep(current: Current, state: Path, logs: Path) -> None:
    described = current.described()
    token = auth.read_token(state / "token")
    keeper = Keeper([current.recipe(p["name"]) for p in described["programs"]], logs, current.recipe)
    if described["dashboard"]:
        url = described["dashboard"]
        sender = Sender(described["host"], keeper.processes, lambda report: post(url, token, report))
        keeper.tell = lambda event, fields: sender.put(event, fields, time.time())
        threading.Thread(target=sender.run, daemon=True).start()
    end = serve(keeper, state, token)
    try:
        keeper.run()
    finally:
        end()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
