"""The running fleet, over its control API: what it is, switching its algorithm and putting it back."""

import contextlib
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from time import monotonic
from typing import Any, cast

import gevent

from cluster.errors import ControlError
from cluster.wire import Event, Events, Snapshot

WHO = "compare_algorithms"
FOLLOW_S = 10.0
"""For all workers to use a new algorithm."""
POLL_S = 0.02


class ControlledFleet:
    """One balancer's control API. All methods raise ControlError."""

    def __init__(self, control_url: str, token: str) -> None:
        self._url = control_url.rstrip("/")
        self._token = token
        # A proxy of the environment is for the internet; the LAN is asked directly.
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def snapshot(self) -> Snapshot:
        """Everything that control knows."""
        return cast(Snapshot, self._ask("/snapshot"))

    def events_after(self, seq: int) -> list[Event]:
        """What has happened since."""
        return cast(Events, self._ask(f"/events?after={seq}"))["events"]

    def switch(self, key: str) -> None:
        """Order the algorithm and wait until every worker uses it."""
        self._ask("/algorithm", {"algorithm": key, "who": WHO})
        self._until(
            lambda shot: all(worker["algorithm"] == key for worker in shot["workers"]),
            FOLLOW_S, f"not all workers follow the switch to {key}",
        )  # fmt: skip

    def drained(self, within_s: float) -> None:
        """Wait until no request is in flight, neither at the balancer nor at a node as far as it says."""
        self._until(
            lambda shot: shot["totals"]["in_flight"] == 0 and not any(node["in_flight"] for node in shot["nodes"]),
            within_s, "requests are still in flight: does somebody else send traffic?",
        )  # fmt: skip

    @contextlib.contextmanager
    def put_back(self) -> Iterator[None]:
        """Whatever happens within, the algorithm of now is ordered again at the end."""
        before = self.snapshot()["algorithm"]
        try:
            yield
        finally:
            old = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave it switched
            try:
                self.switch(before)
            finally:
                signal.signal(signal.SIGINT, old)

    def _until(self, true_of: Any, within_s: float, otherwise: str) -> None:
        ends = monotonic() + within_s
        while not true_of(self.snapshot()):
            if monotonic() > ends:
                raise ControlError(f"{otherwise} (after {within_s:g} s)")
            gevent.sleep(POLL_S)

    def _ask(self, path: str, body: object = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            with self._direct.open(urllib.request.Request(self._url + path, data, headers), timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(2000).decode(errors="replace").strip()
            hint = ": give the fleet's token with --token-file (it is .run/token there)" if error.code == 401 else ""
            raise ControlError(f"{self._url}{path} answered {error.code}{hint or ': ' + text}") from None
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise ControlError(f"{self._url} does not answer ({reason}): is that the control API?") from None


def topology(shot: Snapshot) -> list[dict[str, Any]]:
    """What the report says of each node; speeds are added when they were seen."""
    return [
        {
            "node": node["name"], "kind": node["kind"], "runs": node["runs"], "address": node["address"],
            "weight": node["weight"], "slots": node["slots"], "state": node["state"], "speed": None,
        }
        for node in shot["nodes"]
    ]  # fmt: skip


def changes(before: Snapshot, after: Snapshot, sent: int, algorithm: str) -> list[str]:
    """What happened to the fleet during a run and makes it no fair one; empty when nothing did."""
    found = []
    for now in after["nodes"]:
        then = next((node for node in before["nodes"] if node["name"] == now["name"]), None)
        if then is None or (then["state"], then["weight"]) != (now["state"], now["weight"]):
            was = "not there" if then is None else f"{then['state']}, weight {then['weight']}"
            found.append(f"{now['name']} was {was} and is {now['state']}, weight {now['weight']}")
    if after["algorithm"] != algorithm:
        found.append(f"somebody switched to {after['algorithm']}")
    seen = after["totals"]["requests"] - before["totals"]["requests"]
    if seen > sent * 1.01 + 2:
        found.append(f"the balancer saw {seen} requests, {sent} were ours: there is other traffic")
    if [w["pid"] for w in before["workers"]] != [w["pid"] for w in after["workers"]]:
        found.append("a balancer worker was replaced")
    return found
