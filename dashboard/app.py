"""The dashboard's web side: pages, orders and process reports over HTTP. What is known is in `picture`.

`application` is what gunicorn serves (see gunicorn_conf). It is made when first asked for, so that importing this
module reads no files.
"""

import gzip
import time
from pathlib import Path
from typing import Any

import flask
from flask import Flask, Response, request

from cluster import auth, load, paths
from cluster.config import Dashboard as Settings
from cluster.config import Fleet, Runs
from dashboard import actions, first_sight, log_tail
from dashboard.access import Denied
from dashboard.control import Control
from dashboard.faults import NodeFaults
from dashboard.feed import Feed
from dashboard.lab import Lab
from dashboard.live import Live
from dashboard.picture import Picture
from dashboard.processes import BadReport
from dashboard.session import Session, json_body
from dashboard.sign_in import SignIn
from dashboard.static_files import StaticFiles

HEADERS = {
    # Sockets to our own origin are 'self' too. No inline script or style anywhere.
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; img-src 'self' data:; object-src 'none';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # the sign-in link holds the token; "no-referrer" would hide our own Origin too
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
MAX_BODY_BYTES = 512 * 1024


class Dashboard:
    """One fleet's dashboard: the Flask application `app`, and the loops behind it."""

    def __init__(self, fleet: Fleet, token: str) -> None:
        settings = fleet.dashboard or Settings()
        self._fleet = fleet
        self._token = token
        self._release = paths.release()
        self._session = Session(token, settings.anonymous_view)
        self.picture = Picture(fleet, time.time())
        self._actions = actions.Actions(fleet.balancers, self._control)
        self.app = Flask(__name__, static_folder=None)
        self.app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
        self.live = Live(self.app, self.picture, self._session.role)
        self.feed = Feed(self.picture, self._control, self.live.send, lambda: self.live.watched)
        self.live.on_join = self.feed.hurry
        self._sign_in = SignIn(self._session, token, fleet.fleet, self.picture)
        self._static = StaticFiles(Path(__file__).parent / "static")
        self._lab = self._make_lab() if settings.lab else None
        self._routes()

    def start(self) -> None:
        """Begin to ask the balancers."""
        self.feed.start()
        if self._lab:
            self._lab.start(lambda: self.live.watched)

    def stop(self) -> None:
        """End the loops and close the browsers' sockets, which would otherwise hold up a restart; they come back."""
        if self._lab:
            self._lab.stop()
        self.feed.stop()
        self.live.close_all()

    def _make_lab(self) -> Lab:
        faults = NodeFaults(self._fleet, lambda host, port: Control(host, port, self._token), self.picture.note)
        lab = Lab(self._fleet, self.picture, faults, self._session, self.feed.hurry)
        self.picture.beside = lab.view
        return lab

    def _control(self, balancer: str) -> Control:
        spec = self._fleet.balancer(balancer)
        here = self._fleet.dashboard is not None and spec.host == self._fleet.dashboard.host
        # On the same host the control API may listen on loopback only.
        host = "127.0.0.1" if here else self._fleet.hosts[spec.host].address
        return Control(host, spec.control_port, self._token)

    def _routes(self) -> None:
        app = self.app
        app.get("/")(self._page)
        app.get("/state")(self._state)
        app.get("/static/<path:name>", endpoint="static")(lambda name: self._static.answer(request, name))
        app.register_blueprint(self._sign_in.routes)
        if self._lab:
            app.register_blueprint(self._lab.routes)
        app.post("/actions/algorithm")(self._algorithm)
        app.patch("/actions/nodes/<name>")(self._node)
        app.get("/logs/<node>")(self._log_lines)
        app.post("/processes")(self._processes)
        app.post("/events")(self._events)
        app.get("/-/health")(self._health)
        app.after_request(self._with_headers)
        app.register_error_handler(Denied, self._denied)

    def _page(self) -> Response:
        """The page; with `?token=` the token becomes a cookie and leaves the address."""
        given = request.args.get("token")
        if given is not None:
            return self._sign_in.signed_in(given)
        role = self._session.role()
        if role is None:
            return self._sign_in.page(401)
        body = flask.render_template(
            "dashboard.html",
            **first_sight.sight(self.picture.state(time.time())),
            role=role.value,
            signed_in=self._session.signed_in(),
            lab=self._lab is not None,
            modules=self._static.modules(),
            release=self._release,
        )
        return flask.make_response(body)

    def _state(self) -> Response:
        """The present as JSON, for a page without a socket: layout, newest tick, newest events."""
        self._session.viewer()
        self.live.polled()
        return flask.jsonify({**self.picture.state(time.time()), "events": self.picture.log.newest(100)})

    def _algorithm(self) -> tuple[Response, int]:
        who = self._session.operator()
        return self._answer(self._actions.algorithm(json_body(), who))

    def _node(self, name: str) -> tuple[Response, int]:
        who = self._session.operator()
        return self._answer(self._actions.node(name, json_body(), who))

    def _answer(self, results: list[actions.Result]) -> tuple[Response, int]:
        self.feed.hurry()  # the tick that confirms it need not wait its turn
        body, status = actions.answer(results)
        return flask.jsonify(body), status

    def _log_lines(self, node: str) -> Response:
        """The last lines of a node's log, when it runs on this host; operators only: logs may hold anything."""
        self._session.operator()
        spec = next((n for n in self._fleet.nodes if n.name == node), None)
        here = self._fleet.dashboard.host if self._fleet.dashboard else "here"
        if spec is None or spec.runs is Runs.EXTERNAL or spec.host != here:
            raise Denied(404, f"{node} has no log on this host")
        return flask.jsonify({"lines": log_tail.last_lines(paths.log_dir() / f"node-{node}.log")})

    def _processes(self) -> tuple[str, int]:
        """A host's Supervisor listener reports (wire.ProcessReport); bearer token, no cookie."""
        self._bearer()
        try:
            self.picture.reported(json_body(), time.time())
        except BadReport as error:
            raise Denied(400, str(error)) from None
        self.live.send(self.picture.new_events())
        return "", 204

    def _events(self) -> tuple[str, int]:
        """A tool tells what it does, a deploy for instance: `{"source", "events": [wire.Event]}`; bearer token."""
        self._bearer()
        try:
            self.picture.told(json_body())
        except BadReport as error:
            raise Denied(400, str(error)) from None
        self.live.send(self.picture.new_events())
        return "", 204

    def _bearer(self) -> None:
        if not auth.matches(auth.bearer(request.headers.get("Authorization")), self._token):
            raise Denied(401, "the bearer token is missing or wrong")

    def _health(self) -> Response:
        return flask.jsonify({"name": "dashboard", "release": self._release})

    def _denied(self, error: Denied) -> tuple[Response, int, dict[str, str]]:
        return flask.jsonify({"ok": False, "error": str(error)}), error.status, error.headers

    def _with_headers(self, answer: Response) -> Response:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        if request.path.startswith("/static/"):
            answer.headers["Cache-Control"] = "no-cache"  # asks each time, by ETag: a new release shows at once
        else:
            answer.headers["Cache-Control"] = "no-store"
        if answer.mimetype == "text/html" and request.accept_encodings.quality("gzip") > 0 and not answer.is_streamed:
            answer.data = gzip.compress(answer.data, 6, mtime=0)
            answer.headers["Content-Encoding"] = "gzip"
            answer.headers["Vary"] = "Accept-Encoding, Cookie"
        return answer


def dashboard_from_environment() -> Dashboard:
    """The dashboard of the fleet that the environment names. ConfigError when config.json cannot be used."""
    return Dashboard(load.load(paths.config_file()), auth.read_token())


def __getattr__(name: str) -> Any:
    """`application`, and the `dashboard` behind it, on first use."""
    if name not in ("application", "dashboard"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = dashboard_from_environment()
    globals().update(dashboard=made, application=made.app)
    return globals()[name]
