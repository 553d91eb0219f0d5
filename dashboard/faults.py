"""Faults on simulated nodes: who has which, adding one, clearing all. Nodes are asked for theirs, because others than
this page may add some; what they answer is the truth that is shown.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.pool import Pool

from cluster.config import Fleet, Runs
from cluster.errors import ControlError
from dashboard.control import Control, Refused

EVERY_S = 3.0
AT_ONCE = 10
TIMEOUT_S = 1.0

Note = Callable[[float, str, str, str | None, str], None]
"""Tells the event log: at, kind, text, node, who."""


class NodeFaults:
    """The faults of every simulated node, asked for while somebody watches."""

    def __init__(self, fleet: Fleet, connect: Callable[[str, int], Control], note: Note) -> None:
        self._nodes = {n.name: fleet.address_of(n) for n in fleet.nodes if n.runs is Runs.SIMULATED}
        self._connect = connect
        self._note = note
        self._known: dict[str, list[dict[str, Any]]] = {}

    @property
    def names(self) -> list[str]:
        """The nodes that can have faults."""
        return list(self._nodes)

    def view(self) -> dict[str, list[dict[str, Any]]]:
        """By node, only those that have any: `{id, text, kind, ends_at}`, ends_at in seconds since the epoch."""
        return {name: faults for name, faults in self._known.items() if faults}

    def look(self) -> None:
        """Ask all nodes once. One that does not answer keeps what is known of it until it would have ended."""
        pool = Pool(AT_ONCE)
        pool.map(self._look_at, list(self._nodes))

    def add(self, name: str, order: dict[str, Any], who: str) -> None:
        """Put a fault on a node. KeyError when there is no such simulated node; ControlError with its reason."""
        self._ask(name, "POST", order)
        self._look_at(name, who)

    def clear(self, names: Sequence[str], who: str) -> list[str]:
        """End all faults of these nodes; the reasons of those that could not be asked."""
        wrong: list[str] = []

        def clear_one(name: str) -> None:
            try:
                cleared = self._ask(name, "DELETE", None).get("cleared", 0)
            except Refused as error:
                wrong.append(f"{name}: {error}")
            except ControlError as error:
                wrong.append(f"{name} cannot be asked ({error})")
            else:
                self._known[name] = []
                if cleared:
                    self._note(time.time(), "fault", f"faults of {name} were cleared", name, who)

        Pool(AT_ONCE).map(clear_one, names)
        return wrong

    def _look_at(self, name: str, who: str = "node") -> None:
        now = time.time()
        before = self._known.get(name, [])
        try:
            told = self._ask(name, "GET", None).get("faults", [])
        except ControlError:
            self._known[name] = [fault for fault in before if fault["ends_at"] > now]
            return
        known = {fault["id"]: fault for fault in before}
        for fault in told:
            if fault["id"] not in known:
                self._note(now, "fault", f"fault on {name}: {sentence(fault)}", name, who)
        after = []
        for fault in told:
            ends_at = round(now + fault["left_s"])
            old = known.get(fault["id"])
            # A second's difference is the journey, not news.
            kept = old["ends_at"] if old and abs(old["ends_at"] - ends_at) <= 2 else ends_at
            after.append({"id": fault["id"], "kind": fault["kind"], "text": sentence(fault), "ends_at": kept})
        self._known[name] = after
        if before and not after:
            self._note(now, "fault", f"{name} has no faults any more", name, "node")

    def _ask(self, name: str, method: str, order: dict[str, Any] | None) -> dict[str, Any]:
        client = self._connect(*self._nodes[name])
        try:
            return client.call(method, "/-/faults", order, timeout_s=TIMEOUT_S)
        finally:
            client.close()


def sentence(fault: dict[str, Any]) -> str:
    """What a fault does, for people: "slow, 10 times as long, 30 % of requests"."""
    kind = fault["kind"]
    if kind == "slow":
        parts = [f"{fault['factor']:g} times as long"] if fault.get("factor", 1) != 1 else []
        if fault.get("add_ms"):
            jitter = f" ± {fault['jitter_ms']:g}" if fault.get("jitter_ms") else ""
            parts.append(f"+{fault['add_ms']:g}{jitter} ms")
        what = "slow, " + " and ".join(parts or ["by nothing"])
    elif kind == "error":
        what = f"errors, status {fault.get('status', 500)}"
    else:
        what = {"hang": "hangs", "refuse": "refuses connections", "crash": "crashes"}.get(kind, str(kind))
    share = fault.get("probability", 1)
    return what if share >= 1 else f"{what}, {100 * share:g} % of requests"


def follow(faults: NodeFaults, watching: Callable[[], bool]) -> None:
    """For ever, in a greenlet: look while somebody watches."""
    while True:
        if watching():
            faults.look()
        gevent.sleep(EVERY_S)
