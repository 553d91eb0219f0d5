"""The Lab: faults, demo traffic, a comparison; only where config.json says `"lab": true`. Orders come over HTTP, what
runs is told to all pages as the key `lab` of the layout.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import flask
import gevent
from flask import Blueprint, Response

from cluster import paths
from cluster.config import Fleet
from cluster.errors import ControlError
from dashboard import comparison, traffic
from dashboard.access import Denied
from dashboard.control import Refused
from dashboard.faults import NodeFaults, follow
from dashboard.picture import Picture
from dashboard.runs import Reads, Run
from dashboard.session import Session, json_body


class Lab:
    """What can be tried from the page. `hurry` brings the next tick forward."""

    def __init__(
        self, fleet: Fleet, picture: Picture, faults: NodeFaults, session: Session, hurry: Callable[[], None]
    ) -> None:
        self._fleet = fleet
        self._picture = picture
        self._faults = faults
        self._session = session
        self._hurry = hurry
        self._runs: dict[str, Run] = {}
        self._looking: gevent.Greenlet[..., None] | None = None
        self.routes = Blueprint("lab", __name__, url_prefix="/lab")
        self.routes.post("/faults")(self._add_fault)
        self.routes.delete("/faults")(self._clear_faults)
        self.routes.post("/traffic")(self._start_traffic)
        self.routes.delete("/traffic")(self._stop_traffic)
        self.routes.post("/comparison")(self._start_comparison)
        self.routes.delete("/comparison")(self._stop_comparison)
        self.routes.get("/report/<path:name>")(self._report)

    def view(self, now: float) -> dict[str, Any]:
        """For the layout."""
        runs = {name: run.view() for name, run in self._runs.items()}
        return {"lab": {"can_fault": self._faults.names, "faults": self._faults.view(), **runs}}

    def start(self, watching: Callable[[], bool]) -> None:
        """Begin to ask nodes for their faults."""
        self._looking = gevent.spawn(follow, self._faults, watching)

    def stop(self) -> None:
        """End what runs: the dashboard ends."""
        if self._looking is not None:
            self._looking.kill(block=False)
        for run in self._runs.values():
            run.stop()

    def _add_fault(self) -> Response:
        who = self._session.operator()
        body = json_body()
        fault = body.get("fault") if isinstance(body, dict) else None
        if not isinstance(fault, dict) or not isinstance(body.get("node"), str):
            raise Denied(400, 'the body is {"node": NAME, "fault": {"kind": ...}}')
        name = body["node"]
        if name not in self._faults.names:
            raise Denied(404, f"{name!r} is not a simulated node (known: {', '.join(self._faults.names)})")
        try:
            self._faults.add(name, fault, who)
        except Refused as error:
            raise Denied(error.status if error.status == 400 else 502, f"{name}: {error}") from None
        except ControlError as error:
            raise Denied(502, f"{name} cannot be asked ({error})") from None
        return self._done()

    def _clear_faults(self) -> Response:
        who = self._session.operator()
        wrong = self._faults.clear(self._faults.names, who)
        if wrong:
            raise Denied(502, "; ".join(wrong))
        return self._done()

    def _start_traffic(self) -> Response:
        who = self._session.operator()
        order = traffic.checked(json_body())
        arguments = traffic.arguments(order, self._url("port"))
        self._start("traffic", [traffic.MODULE, *arguments], traffic.about(order), traffic.progress, who)
        return self._done()

    def _start_comparison(self) -> Response:
        who = self._session.operator()
        order = comparison.checked(json_body(), [a["key"] for a in self._picture.algorithms])
        folder = self._reports / time.strftime("%Y-%m-%dT%H%M%S")
        arguments = comparison.arguments(order, folder, self._url("port"), self._url("control_port"))
        about = comparison.about(order, folder)
        self._start("comparison", [comparison.MODULE, *arguments], about, comparison.progress, who)
        return self._done()

    def _start(self, name: str, command: list[str], about: dict[str, Any], reads: Reads, who: str) -> None:
        for other, run in self._runs.items():
            if run.state == "running":  # two at once would measure each other
                raise Denied(409, f"{other} is running; stop it first")

        def ended(run: Run) -> None:
            reason = f": {run.error}" if run.error else ""
            self._picture.note(time.time(), "load", f"{about['text']}: {run.state}{reason}", who="lab")
            self._hurry()

        run = Run(about, reads, ended)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        try:
            run.start(command, paths.PROJECT, environment)
        except OSError as error:
            raise Denied(507, f"it cannot be started: {error.strerror}") from None
        self._runs[name] = run
        self._picture.note(time.time(), "load", f"{about['text']}: started", who=who)

    def _stop_traffic(self) -> Response:
        return self._stop("traffic")

    def _stop_comparison(self) -> Response:
        return self._stop("comparison")

    def _stop(self, name: str) -> Response:
        self._session.operator()
        if name in self._runs:
            self._runs[name].stop()
        return self._done()

    def _report(self, name: str) -> Response:
        """A file of a comparison's report. Its own policy: a report may hold inline styles and pictures, no scripts."""
        self._session.viewer()
        answer = flask.send_from_directory(self._reports, name)
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; sandbox"
        )
        return answer

    @property
    def _reports(self) -> Path:
        return paths.state_dir() / "reports"

    def _url(self, which: Literal["port", "control_port"]) -> str:
        """One of the two ports of the first balancer, as this host reaches it."""
        spec = self._fleet.balancers[0]
        here = self._fleet.dashboard is not None and spec.host == self._fleet.dashboard.host
        host = "127.0.0.1" if here else self._fleet.hosts[spec.host].address
        scheme = "https" if spec.tls and which == "port" else "http"
        return f"{scheme}://{host}:{getattr(spec, which)}"

    def _done(self) -> Response:
        self._hurry()
        return flask.jsonify({"ok": True, "error": ""})
