"""The control API on its own port: see everything, switch the algorithm, take nodes out and back.

JSON in and out, bearer token, nothing changes by GET, every change is an event that says who. It runs in a process of
its own and shares nothing with the workers but the scoreboard.
"""

from time import monotonic
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from balancer.algorithms import ALGORITHMS
from balancer.datapath import open_scoreboard
from balancer.events import EventLog
from balancer.metrics import Metrics
from balancer.monitor import Monitor
from balancer.snapshot import node_view, snapshot
from cluster import auth, paths
from cluster.fleet import this_balancer
from cluster.logs import LineLog
from cluster.states import Admin, admin_from

MAX_BODY = 10_000
MAX_EVENT = 300
LONGEST_WAIT_S = 25.0


def create() -> Flask:
    """Control of the balancer that the environment names, probing and watching from now on."""
    fleet, balancer = this_balancer()
    events = EventLog(LineLog(paths.log_dir() / "events.jsonl"))
    monitor = Monitor(fleet, balancer, open_scoreboard(fleet, balancer), events)
    monitor.start()
    return make_app(monitor, auth.read_token(), paths.release())


class BadOrder(Exception):
    """An order that cannot be carried out: field, value, rule."""

    def __init__(self, text: str, status: int = 400, **more: Any) -> None:
        super().__init__(text)
        self.status = status
        self.more = more


def make_app(monitor: Monitor, token: str, release: str) -> Flask:
    """The Flask application over a monitor."""
    app = Flask("balancer-control")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    metrics = Metrics(monitor)
    events = monitor.events

    @app.before_request
    def check_token() -> tuple[Response, int] | None:
        if request.path == "/-/health":
            return None
        if not auth.matches(auth.bearer(request.headers.get("Authorization")), token):
            return jsonify(error="a token is needed: Authorization: Bearer TOKEN (it is in the state folder)"), 401
        return None

    @app.get("/-/health")
    def health() -> Response:
        return jsonify(name=f"{monitor.balancer.name}-control", release=release, boot=events.boot)

    @app.get("/snapshot")
    def get_snapshot() -> Response:
        probes, histograms = (request.args.get(name) == "1" for name in ("probes", "histograms"))
        return jsonify(snapshot(monitor, probes=probes, histograms=histograms))

    @app.get("/events")
    def get_events() -> Response:
        after = _number("after", request.args.get("after", "0"), 0, 1 << 53)
        wait_s = _number("wait_s", request.args.get("wait_s", "0"), 0, LONGEST_WAIT_S)
        return jsonify(events.after(int(after), wait_s))

    @app.post("/events")
    def post_event() -> Response:
        body = _body({"text", "who"})
        text = body.get("text")
        if not isinstance(text, str) or not 0 < len(text) <= MAX_EVENT or not text.isprintable():
            raise BadOrder(f"text: must be 1 to {MAX_EVENT} printable characters")
        return jsonify(seq=events.add("deploy", text, who=_who(body)))

    @app.get("/metrics")
    def get_metrics() -> Response:
        return Response(metrics.text(), mimetype="text/plain; version=0.0.4")

    @app.post("/algorithm")
    def post_algorithm() -> Response:
        body = _body({"algorithm", "who"})
        key = body.get("algorithm")
        if not isinstance(key, str) or key not in ALGORITHMS:
            raise BadOrder(f"algorithm: {key!r} is not one of them", known=list(ALGORITHMS))
        if reason := monitor.why_disabled(key):
            raise BadOrder(f"algorithm: {key} needs what is not there: {reason}", 409)
        return jsonify(algorithm=key, seq=monitor.order_algorithm(key, _who(body)))

    @app.patch("/nodes/<name>")
    def patch_node(name: str) -> Response:
        body = _body({"admin", "weight", "who"})
        admin: Admin | None = None
        if "admin" in body:
            try:
                admin = admin_from(str(body["admin"]))
            except KeyError:
                words = ", ".join(a.word for a in Admin)
                raise BadOrder(f"admin: {body['admin']!r} is not one of {words}") from None
        weight = body.get("weight")
        if weight is not None and (type(weight) is not int or not 0 <= weight <= 256):
            raise BadOrder(f"weight: {weight!r} is not a whole number from 0 to 256")
        if admin is None and weight is None:
            raise BadOrder("nothing to do: give admin, weight or both")
        try:
            record = monitor.order_node(name, admin, weight, _who(body))
        except KeyError:
            known = [node.name for node in monitor.fleet.nodes]
            raise BadOrder(f"there is no node {name!r}", 404, known=known) from None
        return jsonify(node_view(monitor, record, monotonic()))

    @app.errorhandler(BadOrder)
    def bad_order(error: BadOrder) -> tuple[Response, int]:
        return jsonify(error=str(error), **error.more), error.status

    @app.errorhandler(OSError)
    def not_kept(error: OSError) -> tuple[Response, int]:
        text = f"the order cannot be kept in {paths.state_dir()} ({error.strerror}), so nothing was changed"
        return jsonify(error=text), 507  # Insufficient Storage, RFC 4918 section 11.5

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=f"{error.name}: {error.description}"), error.code or 500

    return app


def _body(known: set[str]) -> dict[str, Any]:
    try:
        body = request.get_json(force=True, silent=True)
    except RecursionError:  # brackets in brackets in brackets
        body = None
    if not isinstance(body, dict):
        raise BadOrder("the body must be a JSON object")
    unknown = set(body) - known
    if unknown:
        raise BadOrder(f"unknown key {sorted(unknown)[0]!r}", known=sorted(known))
    return body


def _who(body: dict[str, Any]) -> str:
    who = body.get("who", "operator")
    if not isinstance(who, str) or not 0 < len(who) <= 64 or not who.isprintable():
        raise BadOrder("who: must be 1 to 64 printable characters")
    return who


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise BadOrder(f"{name}: {text!r} is not a number from {low:g} to {high:.16g}")
    return value
