"""The dashboard's web side: pages, orders and process reports over HTTP. What is known is in `picture`.

`application` is what gunicorn serves (see gunicorn_conf). It is made when first asked for, so that importing this
module reads no files.
"""

import os
import time
from typing import Any

import flask
from flask import Flask, Response, request

from cluster import auth, load, paths
from cluster.config import Fleet
from dashboard import access, actions, merge
from dashboard.access import Role
from dashboard.control import Control
from dashboard.feed import Feed
from dashboard.live import Live
from dashboard.picture import Picture
from dashboard.processes import BadReport

HEADERS = {
    # Sockets to our own origin are 'self' too. No inline script or style anywhere.
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; img-src 'self' data:; object-src 'none';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # the sign-in link holds the token; "no-referrer" would hide our own Origin too
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
MAX_BODY_BYTES = 512 * 1024
VENDOR = ("socket.io.min.js", "uPlot.iife.min.js", "uPlot.min.css")


class Dashboard:
    """One fleet's dashboard: the Flask application `app`, and the loops behind it."""

    def __init__(self, fleet: Fleet, token: str) -> None:
        self._fleet = fleet
        self._token = token
        self._release = paths.release()
        self.picture = Picture(fleet, time.time())
        self._actions = actions.Actions(fleet.balancers, self._control)
        self.app = Flask(__name__)
        self.app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
        self.live = Live(self.app, self.picture, self._role)
        self.feed = Feed(self.picture, self._control, self.live.send, lambda: self.live.watched)
        self.live.on_join = self.feed.hurry
        self._routes()

    def start(self) -> None:
        """Begin to ask the balancers."""
        self.feed.start()

    def stop(self) -> None:
        """End the loops and close the browsers' sockets, which would otherwise hold up a restart; they come back."""
        self.feed.stop()
        self.live.close_all()

    def _control(self, balancer: str) -> Control:
        spec = self._fleet.balancer(balancer)
        here = self._fleet.dashboard is not None and spec.host == self._fleet.dashboard.host
        # On the same host the control API may listen on loopback only.
        host = "127.0.0.1" if here else self._fleet.hosts[spec.host].address
        return Control(host, spec.control_port, self._token)

    def _role(self) -> Role | None:
        return access.role_of_request(request, self._token)

    def _routes(self) -> None:
        app = self.app
        app.get("/")(self._page)
        app.get("/state")(self._state)
        app.post("/sign-in")(self._sign_in)
        app.post("/sign-out")(self._sign_out)
        app.post("/actions/algorithm")(self._algorithm)
        app.patch("/actions/nodes/<name>")(self._node)
        app.post("/processes")(self._processes)
        app.get("/-/health")(self._health)
        app.after_request(self._with_headers)
        app.register_error_handler(actions.Denied, self._denied)

    def _page(self) -> Response:
        """The page; with `?token=` the token becomes a cookie and leaves the address."""
        given = request.args.get("token")
        if given is not None:
            return self._signed_in(given)
        role = self._role()
        if role is None:
            return self._login(401)
        static = self.app.static_folder or ""
        state = self.picture.state(time.time())
        body = flask.render_template(
            "dashboard.html",
            state=state,
            numbers=[dict(zip(merge.NODE, row, strict=True)) for row in state["tick"][2]] if state["tick"] else [],
            role=role.value,
            assets=all(os.path.isfile(os.path.join(static, "vendor", name)) for name in VENDOR),
            release=self._release,
        )
        return flask.make_response(body)

    def _signed_in(self, given: str) -> Response:
        role = access.role_of_token(given.strip(), self._token)
        if role is None:
            return self._login(401, wrong=True)
        answer = flask.make_response(flask.redirect("/", 303))
        answer.set_cookie(
            access.cookie_name(request),
            access.cookie_value(role, self._token),
            max_age=access.SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
        )
        return answer

    def _login(self, status: int, wrong: bool = False) -> Response:
        page = flask.render_template("login.html", fleet=self._fleet.fleet, wrong=wrong)
        return flask.make_response(page, status)

    def _sign_in(self) -> Response:
        self._own_origin()
        return self._signed_in(request.form.get("token", ""))

    def _sign_out(self) -> Response:
        self._own_origin()
        answer = flask.make_response(flask.redirect("/", 303))
        answer.delete_cookie(access.cookie_name(request), httponly=True, samesite="Strict")
        return answer

    def _state(self) -> Response:
        """The present as JSON, for a page without a socket: layout, newest tick, newest events."""
        if self._role() is None:
            raise actions.Denied(401, "signed out; sign in again")
        self.live.polled()
        return flask.jsonify({**self.picture.state(time.time()), "events": self.picture.log.newest(100)})

    def _algorithm(self) -> tuple[Response, int]:
        self._own_origin()
        return self._answer(self._actions.algorithm(self._role(), self._json(), self._who()))

    def _node(self, name: str) -> tuple[Response, int]:
        self._own_origin()
        return self._answer(self._actions.node(self._role(), name, self._json(), self._who()))

    def _answer(self, results: list[actions.Result]) -> tuple[Response, int]:
        self.feed.hurry()  # the tick that confirms it need not wait its turn
        body, status = actions.answer(results)
        return flask.jsonify(body), status

    def _processes(self) -> tuple[Response, int] | tuple[str, int]:
        """A host's Supervisor listener reports (wire.ProcessReport); bearer token, no cookie."""
        if not auth.matches(auth.bearer(request.headers.get("Authorization")), self._token):
            raise actions.Denied(401, "the bearer token is missing or wrong")
        try:
            self.picture.reported(self._json(), time.time())
        except BadReport as error:
            raise actions.Denied(400, str(error)) from None
        self.live.send(self.picture.new_events())
        return "", 204

    def _health(self) -> Response:
        return flask.jsonify({"name": "dashboard", "release": self._release})

    def _own_origin(self) -> None:
        if not access.same_origin(request):
            raise actions.Denied(403, "this request comes from a page of another site")

    def _json(self) -> Any:
        """The body. Only application/json, which a form of another site cannot send."""
        if not request.is_json:
            raise actions.Denied(415, "the body must be application/json")
        try:
            return request.get_json(silent=True)
        except RecursionError:  # brackets in brackets in brackets
            return None

    def _who(self) -> str:
        return f"operator at {request.remote_addr}"

    def _denied(self, error: actions.Denied) -> tuple[Response, int]:
        return flask.jsonify({"ok": False, "error": str(error)}), error.status

    def _with_headers(self, answer: Response) -> Response:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        if request.path.startswith("/static/"):
            answer.headers["Cache-Control"] = "no-cache"  # asks each time, by ETag: a new release shows at once
        else:
            answer.headers["Cache-Control"] = "no-store"
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
