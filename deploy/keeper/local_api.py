"""How the keeper is spoken to: HTTP on loopback with the operator's token; and how one finds it.

GET /processes · POST /stop · POST /programs/NAME/start, /stop, /restart, /add, /remove.
`keeper.json` in the state folder: the port.
"""

import contextlib
import http.client
import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster import auth
from deploy.keeper.keeper import Keeper
from deploy.processes import Process

LIMIT_S = 5.0
LOOPBACK = "127.0.0.1"


class KeeperGone(Exception):
    """No keeper answers."""


def serve(keeper: Keeper, state: Path, token: str) -> Callable[[], None]:
    """Begin to answer; returns what ends it. OSError."""

    class Handler(BaseHTTPRequestHandler):
        timeout = LIMIT_S

        def do_GET(self) -> None:
            if not self._may():
                return
            if self.path != "/processes":
                return self._say(404, {"error": f"{self.path}: there is /processes"})
            found = keeper.processes()
            releases = {p.name: keeper.release(p.name) for p in found}
            self._say(200, {"pid": os.getpid(), "processes": [p._asdict() for p in found], "releases": releases})

        def do_POST(self) -> None:
            if not self._may():
                return
            words = self.path.strip("/").split("/")
            orders = {"start": keeper.start, "stop": keeper.stop, "restart": keeper.restart, "remove": keeper.remove}
            if words == ["stop"]:
                keeper.leave()
            elif len(words) == 3 and words[0] == "programs" and words[2] == "add":
                try:
                    keeper.add(words[1])
                except KeyError:
                    return self._say(404, {"error": f"{words[1]}: the current release has no such program"})
            elif len(words) == 3 and words[0] == "programs" and words[2] in orders:
                if not keeper.knows(words[1]):
                    return self._say(404, {"error": f"{words[1]}: no such program here"})
                orders[words[2]](words[1])
            else:
                return self._say(404, {"error": f"{self.path}: there are /stop and /programs/NAME/start|stop|restart"})
            self._say(202, {"ok": True})

        def log_message(self, format: str, *args: Any) -> None:
            """Requests are not worth a line."""

        def _may(self) -> bool:
            if auth.matches(auth.bearer(self.headers.get("Authorization")), token):
                return True
            self._say(401, {"error": "this needs the operator's token: Authorization: Bearer TOKEN"})
            return False

        def _say(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    found = state / "keeper.json"
    fresh = found.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": os.getpid(), "port": server.server_address[1]}))
    fresh.replace(found)

    def end() -> None:
        with contextlib.suppress(OSError):
            found.unlink()
        server.shutdown()
        server.server_close()

    return end


class Client:
    """The keeper of a state folder, running or not. Every method raises KeeperGone when it does not answer."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def processes(self) -> tuple[int, list[Process]]:
        """The keeper's own pid and every program."""
        said = self._ask("GET", "/processes")
        return said["pid"], [Process(**fields) for fields in said["processes"]]

    def stop(self) -> None:
        """Tell it to stop everything and end; returns at once."""
        self._ask("POST", "/stop")

    def order(self, program: str, verb: str) -> None:
        """start, stop or restart one program; returns at once. KeyError when it keeps none of that name."""
        if verb not in ("start", "stop", "restart"):
            raise ValueError(f"{verb}: an order is start, stop or restart")
        self._ask("POST", f"/programs/{program}/{verb}")

    def _ask(self, method: str, path: str) -> Any:
        try:
            port = int(json.loads((self._state / "keeper.json").read_text())["port"])
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=LIMIT_S)
            with contextlib.closing(connection):
                token = auth.read_token(self._state / "token")
                connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                body = answer.read(1 << 20)
            if answer.status == 404:
                raise KeyError(json.loads(body)["error"])
            if answer.status // 100 != 2:  # somebody else has the port of a keeper that died
                raise KeeperGone(f"port {port} answers {answer.status}")
            return json.loads(body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise KeeperGone(str(error)) from None
