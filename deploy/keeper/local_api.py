"""What the keeper answers: HTTP on loopback with the operator's token. client.py is the other end.

GET /processes · POST /stop · POST /programs/NAME/start, /stop, /restart, /add, /remove.
`keeper.json` in the state folder: the port.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster import auth
from deploy.keeper.client import FOUND_BY, LIMIT_S, LOOPBACK
from deploy.keeper.keeper import Keeper


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
    found = state / FOUND_BY
    fresh = found.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": os.getpid(), "port": server.server_address[1]}))
    fresh.replace(found)

    def end() -> None:
        with contextlib.suppress(OSError):
            found.unlink()
        server.shutdown()
        server.server_close()

    return end
