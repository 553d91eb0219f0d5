"""The control API from outside, for the command line."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, cast

from cluster.errors import ControlError
from cluster.wire import Events, NodeView, Snapshot

TIMEOUT_S = 5.0


class Control:
    """One balancer's control API. Every method raises ControlError with the way out."""

    def __init__(self, url: str, token: str, hint: str) -> None:
        self._url = url
        self._token = token
        self._hint = hint
        # A proxy of the environment is for the internet; the LAN is asked directly.
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def snapshot(self) -> Snapshot:
        """Everything."""
        return cast(Snapshot, self._ask("GET", "/snapshot"))

    def events(self, after: int, wait_s: int) -> Events:
        """Events newer than `after`; waits up to `wait_s` for one."""
        return cast(Events, self._ask("GET", f"/events?after={after}&wait_s={wait_s}", timeout_s=wait_s + TIMEOUT_S))

    def switch_algorithm(self, key: str, who: str) -> dict[str, Any]:
        """{"algorithm": KEY, "seq": event}."""
        return cast(dict[str, Any], self._ask("POST", "/algorithm", {"algorithm": key, "who": who}))

    def change_node(self, name: str, *, who: str, admin: str | None = None, weight: int | None = None) -> NodeView:
        """The node after the change."""
        body = {"admin": admin, "weight": weight, "who": who}
        given = {key: value for key, value in body.items() if value is not None}
        return cast(NodeView, self._ask("PATCH", f"/nodes/{urllib.parse.quote(name)}", given))

    def _ask(self, method: str, path: str, body: object = None, timeout_s: float = TIMEOUT_S) -> object:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self._url + path, data, headers, method=method)
            with self._direct.open(request, timeout=timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ControlError(self._refusal(error)) from None
        except json.JSONDecodeError:
            raise ControlError(f"{self._url}{path} does not answer in JSON: is it a control API?") from None
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            hint = f"; {self._hint}" if self._hint else ""
            raise ControlError(f"control does not answer at {self._url} ({reason}){hint}") from None

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        with error:
            text = error.read(65536).decode(errors="replace")
        try:
            text = json.loads(text)["error"]
        except (ValueError, TypeError, KeyError):
            text = error.reason
        if error.code == 401:
            return (
                f"{self._url} does not take this token: either FAIRLEAD_STATE is not that of the fleet which runs"
                " there, or the file token in it was replaced since the start (stop_all.sh, then start_all.sh)"
            )
        return f"control said no ({error.code}): {text}"
