"""What Supervisor says of every process, pushed by each host's event listener."""

import math
from typing import Any, TypedDict

from cluster import wire

SILENT_S = 12.0
"""A listener reports every 5 s; after two missed reports its host's processes are `unknown`."""

END_OF_TIME = 1e11
"""Seconds since 1970 that a browser still takes for a time; one event of a later day would blind every page."""

STATES = frozenset({"STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"})


class ProcessRow(TypedDict):
    """One process for the page. `state` is UNKNOWN from `since` on when its host has fallen silent."""

    host: str
    name: str
    state: str
    pid: int
    since: float
    restarts: int
    heard: bool  # False: no word from this host's listener, then or now


class BadReport(ValueError):
    """A report that is not a wire.ProcessReport; the text says where."""


class Processes:
    """The newest report of each host; `at` is our clock, since hosts' clocks differ."""

    def __init__(self, hosts: list[str]) -> None:
        self._hosts = hosts
        self._reports: dict[str, tuple[float, wire.ProcessReport]] = {}

    def report(self, body: Any, now: float) -> wire.ProcessReport:
        """Take a listener's report. BadReport when it is none of ours."""
        report = checked(body)
        if report["host"] not in self._hosts:
            known = ", ".join(self._hosts)
            raise BadReport(f'host: "{report["host"]}" is not in hosts (known: {known})')
        self._reports[report["host"]] = (now, report)
        return report

    def rows(self, now: float) -> list[ProcessRow]:
        """Every process that was ever reported, by host and name."""
        rows = []
        for host, (heard_at, report) in sorted(self._reports.items()):
            heard = now - heard_at <= SILENT_S
            for process in sorted(report["processes"], key=lambda p: p["name"]):
                rows.append(
                    ProcessRow(
                        host=host,
                        name=process["name"],
                        state=process["state"] if heard else "UNKNOWN",
                        pid=process["pid"] if heard else 0,
                        since=round(process["since"] if heard else heard_at, 3),
                        restarts=process["restarts"],
                        heard=heard,
                    )
                )
        return rows


def checked(body: Any) -> wire.ProcessReport:
    """A process report whose parts have the right types; BadReport names the first that has not."""
    fields = {"host": str, "at": (int, float), "processes": list, "events": list}
    process = {"name": str, "state": str, "pid": int, "since": (int, float), "restarts": int}
    _has(body, fields, "report")
    for i, item in enumerate(body["processes"]):
        _has(item, process, f"processes[{i}]")
        if item["state"] not in STATES:
            raise BadReport(f"processes[{i}].state: not a state of Supervisor")
    _check_events(body)
    report: wire.ProcessReport = body
    return report


def checked_events(body: Any) -> tuple[str, list[wire.Event]]:
    """Source and events that a tool posts: `{"source", "events"}`; BadReport as above."""
    _has(body, {"source": str, "events": list}, "body")
    _check_events(body)
    return body["source"], body["events"]


def _check_events(body: Any) -> None:
    event = {"seq": int, "at": (int, float), "kind": str, "who": str, "text": str}
    for i, item in enumerate(body["events"]):
        _has(item, event, f"events[{i}]")
        if not 0 <= item["at"] < END_OF_TIME:
            raise BadReport(f"events[{i}].at: is no time, in seconds since 1970")
        item.setdefault("node", None)


def _has(item: Any, fields: dict[str, Any], where: str) -> None:
    if not isinstance(item, dict):
        raise BadReport(f"{where}: is not an object")
    for name, kind in fields.items():
        value = item.get(name)
        # Python's JSON knows NaN and Infinity, a browser's does not: one in here would blind every page.
        odd = isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value))
        if not isinstance(value, kind) or odd:
            raise BadReport(f"{where}.{name}: is missing or of the wrong type")
