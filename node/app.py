"""A node's web face: what is not under `/-/` is work; the routes below are for balancers, people and tests.

Run by hand: `FAIRLEAD_NODE=l1 python -m gunicorn -c python:node.gunicorn_conf node.app:application`
"""

import logging
import random
import time

import gevent
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from cluster import auth, paths
from cluster.wire import ORCA_HEADER, REQUEST_ID_HEADER, report_to_orca
from node import kinds, settings
from node.client import ClientGone, hang_up, watched
from node.fields import BadField
from node.work import SERVICE_HEADER, Backend, json_response

log = logging.getLogger("gunicorn.error")


def __getattr__(name: str) -> Flask:
    """`application`, made when it is first asked for: tests make apps of their own and need no environment."""
    if name != "application":
        raise AttributeError(name)
    backend = Backend(
        settings.this_node(), paths.release(), clock=time.monotonic, sleep=gevent.sleep, rng=random.Random()
    )
    globals()[name] = app = create_app(backend)
    return app


def create_app(backend: Backend) -> Flask:
    """The Flask app of one node."""
    app = Flask("node", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 16384  # for orders to /-/faults; work reads its body itself, in pieces
    app.config["PROPAGATE_EXCEPTIONS"] = True  # ClientGone goes on to the server, which then drops the connection
    started = backend.clock()
    name = backend.node.name

    def managed() -> bool:
        # As written, not decoded: a balancer keeps `/-/` back from the nodes, and `/%2D/` must be no way around it.
        raw: str = request.environ.get("RAW_URI", request.path)
        return raw.startswith("/-/")

    @app.before_request
    def work() -> Response | None:
        # Before routing, so that no path and no method is foreign to the work: "//x", "/a%2Fb", PURGE ...
        return None if managed() else backend.work(request)

    @app.after_request
    def sign(response: Response) -> Response:
        response.headers["X-Node"] = name
        report = backend.report()
        if SERVICE_HEADER in response.headers:
            report["request_ms"] = float(response.headers[SERVICE_HEADER])
        response.headers[ORCA_HEADER] = report_to_orca(report)
        if REQUEST_ID_HEADER in request.headers:
            response.headers[REQUEST_ID_HEADER] = request.headers[REQUEST_ID_HEADER]
        if not managed():
            backend.stats.errors += response.status_code >= 500
            backend.stats.rejected += 400 <= response.status_code < 500
        return response

    @app.errorhandler(BadField)
    def bad_field(error: BadField) -> Response:
        told = {"error": str(error), "field": error.field, "value": error.value, "rule": error.rule}
        return json_response(told, 400)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        response = json_response({"error": f"{error.name}: {request.method} {request.path}"}, error.code or 500)
        for field, value in error.get_headers():
            if field == "Allow":
                response.headers[field] = value
        return response

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        if isinstance(error, ClientGone):
            raise error
        log.exception("%s %s failed", request.method, request.path)
        return json_response({"error": "this node failed; the reason is in its error log", "node": name}, 500)

    @app.get("/-/health")
    def health() -> Response:
        verdict = backend.faults.draw(backend.rng, health=True)
        if verdict.crash:
            backend.die()
        if verdict.refuse:
            hang_up(request.environ)
        if verdict.error is not None:
            return json_response({"error": "a fault makes this node fail", "name": name}, verdict.error)
        with watched(request.environ):
            for fault in verdict.hangs:
                backend.faults.sit_out(fault)
            if verdict.add_ms:
                backend.sleep(verdict.add_ms / 1000)
        return json_response({"name": name, "release": backend.release})

    @app.get("/-/load")
    def load() -> Response:
        return json_response(backend.report())

    @app.get("/-/stats")
    def stats() -> Response:
        slots = backend.slots
        told = {
            "name": name,
            "kind": backend.node.kind.value,
            "release": backend.release,
            "uptime_s": round(backend.clock() - started, 3),
            "speed": backend.node.speed,
            "slots": slots.slots,
            "working": slots.working,
            "waiting": slots.waiting,
            "max_waiting": slots.max_waiting,
            "service_ms": round(backend.stats.service_ms, 3),
            "counters": backend.stats.counters(),
            "faults": backend.faults.view(),
            "service_times": {
                kind.value: {
                    "distribution": "lognormal",
                    "mean_ms": time_.mean_ms / backend.node.speed,  # here, by this node's speed
                    "scv": time_.scv,
                }
                for kind, time_ in kinds.SERVICE_TIMES.items()
            },
        }
        if request.args.get("executions") == "1":
            told["executions"] = backend.stats.executions()
        return json_response(told)

    @app.route("/-/faults", methods=["GET", "POST", "DELETE"])
    def faults() -> Response:
        if not auth.matches(auth.bearer(request.headers.get("Authorization")), auth.read_token()):
            response = json_response({"error": "this needs the operator's token: Authorization: Bearer TOKEN"}, 401)
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if request.method == "POST":
            try:
                order = request.get_json(force=True, silent=True)
            except RecursionError:  # brackets in brackets in brackets
                order = None
            fault = backend.faults.add(order)
            log.info("fault %s added: %s", fault.id, fault)
            return json_response(fault.view(backend.clock()), 201)
        if request.method == "DELETE":
            cleared = backend.faults.clear()
            log.info("%s faults cleared", cleared)
            return json_response({"cleared": cleared})
        return json_response({"faults": backend.faults.view()})

    return app
