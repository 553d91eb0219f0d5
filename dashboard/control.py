"""Client of a balancer's control API: one kept-alive connection, JSON in and out."""

import http.client
import json
import socket
from typing import Any, cast

from cluster import wire
from cluster.errors import ControlError

NEEDED = ("boot", "algorithm", "algorithms", "totals", "window", "nodes")
MAX_BODY_BYTES = 16 * 1024 * 1024


class Refused(ControlError):
    """The control API answered, and said no. `status` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Control:
    """One balancer's control API. Not for two greenlets at once: each has its own."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host = host
        self._port = port
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    def snapshot(self, probes: bool = False, histograms: bool = False, timeout_s: float = 2.0) -> wire.Snapshot:
        """What the balancer sees now, `probes` with their history, windows with `histograms`. ControlError else."""
        more = [f"{name}=1" for name, wanted in (("probes", probes), ("histograms", histograms)) if wanted]
        value = self.call("GET", "/snapshot" + ("?" + "&".join(more) if more else ""), timeout_s=timeout_s)
        missing = [key for key in NEEDED if key not in value]
        if missing:
            raise ControlError(f"its snapshot lacks {', '.join(missing)}")
        return cast(wire.Snapshot, value)

    def events(self, after: int, wait_s: float) -> wire.Events:
        """Events newer than `after`; waits up to `wait_s` for one."""
        value = self.call("GET", f"/events?after={after}&wait_s={wait_s:g}", timeout_s=wait_s + 5)
        if not isinstance(value.get("events"), list) or "boot" not in value:
            raise ControlError("its events are not events")
        return cast(wire.Events, value)

    def call(self, method: str, path: str, body: object = None, timeout_s: float = 3.0) -> dict[str, Any]:
        """One request. Refused when the answer is not 2xx, ControlError when there is none.

        A kept connection that turns out to be closed is replaced once, for GET only: a change is never sent twice.
        """
        fresh = self._connection is None
        try:
            return self._call(method, path, body, timeout_s)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            if fresh or method != "GET":
                raise ControlError(_cause(error)) from None
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(_cause(error)) from None
        try:
            return self._call(method, path, body, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(_cause(error)) from None

    def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _call(self, method: str, path: str, body: object, timeout_s: float) -> dict[str, Any]:
        try:
            status, data = self._exchange(method, path, body, timeout_s)
        except BaseException:  # also a greenlet that is killed: half an answer must not be read as the next one
            self.close()
            raise
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if not 200 <= status < 300:
            said = value.get("error") if isinstance(value, dict) else None
            raise Refused(status, str(said) if said else f"it answered {status}")
        if not isinstance(value, dict):
            raise ControlError("its answer is not a JSON object")
        return value

    def _exchange(self, method: str, path: str, body: object, timeout_s: float) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sock.settimeout(timeout_s)
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, body=data, headers=headers)
        answer = self._connection.getresponse()
        content = answer.read(MAX_BODY_BYTES)
        if answer.will_close:
            self.close()
        return answer.status, content


def _cause(error: Exception) -> str:
    """In words of a person, without a class name."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return "no answer in time"
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            return "connection closed"
        case socket.gaierror():
            return "its host name is not known"
        case OSError():
            return error.strerror or "network error"
        case _:
            return "its answer is not HTTP"
