"""One request of work, from its arrival to its answer. Read this first.

    draw the service time and the faults -> take in the body -> queue -> slot -> work -> answer

The service time is spent asleep in a slot: what is real about the work is its concurrency, its bytes and its time, not
its heat. All but videos give their slot back before the answer is sent; a video holds it until its last byte is out.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flask import Request, Response

from cluster.config import Kind, Node
from cluster.wire import REQUEST_ID_HEADER, SEED_HEADER, NodeReport
from node import kinds, settings, video
from node.client import Body, ClientGone, hang_up, take_in, watched
from node.faults import Faults, Verdict
from node.fields import number, whole
from node.slots import Place, QueueFull, Slots
from node.stats import Stats

MAX_SERVICE_MS = 60_000
MAX_PIXELS = 2048  # a side
SERVICE_HEADER = "X-Service-Ms"  # what this request's work took


def json_response(value: Any, status: int = 200) -> Response:
    """JSON, one line and a newline, so that curl reads well."""
    return Response(json.dumps(value) + "\n", status=status, content_type="application/json")


class Task(NamedTuple):
    """What a request asks for, and what it will cost."""

    kind: Kind
    service_ms: float  # by this node's speed, faults included
    width: int
    height: int
    size: int  # bytes of a video


class Backend:
    """One node: its slots, faults and counters, and the work it does. `sleep` and `clock` are in seconds."""

    def __init__(
        self,
        node: Node,
        release: str,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        rng: random.Random,
        die: Callable[[], None] = settings.die,
    ) -> None:
        self.node = node
        self.release = release
        self.slots = Slots(node.known_slots or 1)
        self.faults = Faults(clock)
        self.stats = Stats()
        self.clock = clock
        self.sleep = sleep
        self.rng = rng
        self.die = die

    def report(self) -> NodeReport:
        """What the node says of itself, for /-/load and the ORCA header."""
        return NodeReport(rif=self.slots.rif, slots=self.slots.slots, service_ms=self.stats.service_ms)

    def work(self, request: Request) -> Response:
        """Do what `request` asks for. BadField: 400; ClientGone: there is nobody to answer."""
        kind = kinds.kind_of(request.path)
        self.stats.by_kind[kind] += 1
        seed = request.headers.get(SEED_HEADER)
        rng = self.rng if seed is None else random.Random(seed)
        drawn_ms = kinds.SERVICE_TIMES[kind].draw_ms(rng)  # before the faults: they must not change the work
        verdict = self.faults.draw(rng)
        task = self._read(request, kind, drawn_ms, verdict)
        if verdict.crash:
            self.die()
        if verdict.refuse:
            self.stats.refused += 1
            hang_up(request.environ)
        try:
            response = self._answer(request, task, verdict)
        except ClientGone:
            self.stats.aborted += 1
            raise
        if response.status_code < 400:  # else no work was done
            response.headers[SERVICE_HEADER] = f"{task.service_ms:.3f}"
        return response

    def _read(self, request: Request, kind: Kind, drawn_ms: float, verdict: Verdict) -> Task:
        """The query's orders, and the price of the work."""
        ask = request.args.get
        base_ms = number("service_ms", ask("service_ms", drawn_ms), 0, MAX_SERVICE_MS)
        service_ms = base_ms / self.node.speed * verdict.factor + verdict.add_ms
        width = whole("width", ask("width", 128), 1, MAX_PIXELS)
        height = whole("height", ask("height", 128), 1, MAX_PIXELS)
        size = whole("bytes", ask("bytes", video.DEFAULT_BYTES), 1, video.MAX_BYTES)
        return Task(kind, service_ms, width, height, size)

    def _answer(self, request: Request, task: Task, verdict: Verdict) -> Response:
        body = take_in(request.environ)
        self.stats.bytes_in += body.length
        if verdict.error is not None:
            return json_response({"error": "a fault makes this node fail", "node": self.node.name}, verdict.error)
        try:
            place = self.slots.enter()
        except QueueFull as full:
            self.stats.turned_away += 1
            response = json_response({"error": f"queue full: {full}", "node": self.node.name}, 503)
            response.headers["Retry-After"] = "1"
            return response
        try:
            with watched(request.environ):
                place.wait()
                self.stats.executed(request.headers.get(REQUEST_ID_HEADER))
                for fault in verdict.hangs:
                    self.faults.sit_out(fault)
                if task.kind is Kind.VIDEO and request.method != "HEAD":
                    return self._video(request, task, place)
                self.stats.served(self._spend(task.service_ms / 1000))
            response = self._made(request, task, body)
        except BaseException:  # GreenletExit, when the worker stops, is not an Exception
            place.leave()
            raise
        place.leave()
        return response

    def _spend(self, service_s: float) -> float:
        """Be at work so long; how long it really was, in ms."""
        started = self.clock()
        self.sleep(service_s)
        return (self.clock() - started) * 1000

    def _made(self, request: Request, task: Task, body: Body) -> Response:
        """The answer of every kind when all of the service time is behind it."""
        name, path = self.node.name, request.path
        if task.kind is Kind.API:
            response = json_response(_api(name, request, task, body))
        elif task.kind is Kind.IMAGE:
            response = Response(kinds.png(name, task.width, task.height), content_type="image/png")
        elif task.kind is Kind.VIDEO:
            made = video.Video(path, task.size)
            return video.head(Response(), made, video.span_of(request, made))
        else:
            page = kinds.page(name, path, task.service_ms)
            response = Response(page, content_type="text/html; charset=utf-8")
        if request.method != "HEAD":
            self.stats.bytes_out += response.content_length or 0
        return response

    def _video(self, request: Request, task: Task, place: Place) -> Response:
        """A stream whose service time is spread over its bytes: the first share before the head, the rest between."""
        made = video.Video(request.path, task.size)
        span = video.span_of(request, made)
        if span is None:
            place.leave()
            return video.head(Response(), made, None)
        chunks = made.chunks(span.start, span.stop)
        pace = video.Pace(task.service_ms / 1000, span.stop - span.start, self._spend)
        first = next(chunks)
        pace.before(first)
        environ = request.environ  # the stream runs when Flask's `request` is no longer this one

        def stream() -> Iterator[bytes]:
            with watched(environ):
                self.stats.bytes_out += len(first)
                yield first
                for chunk in chunks:
                    pace.before(chunk)
                    self.stats.bytes_out += len(chunk)
                    yield chunk
            self.stats.served(pace.took_ms)

        response = Response(stream())
        response.call_on_close(place.leave)
        return video.head(response, made, span)


def _api(name: str, request: Request, task: Task, body: Body) -> dict[str, Any]:
    """The JSON of an api request: what arrived here, so that a test can see what a balancer did to it."""
    seen = ("host", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
    return {
        "node": name,
        "kind": task.kind.value,
        "method": "GET" if request.method == "HEAD" else request.method,  # HEAD: the same head, length included
        "path": request.path,
        "query": request.query_string.decode("latin-1"),
        "request_id": request.headers.get(REQUEST_ID_HEADER),
        "seed": request.headers.get(SEED_HEADER),
        "service_ms": round(task.service_ms, 3),
        "forwarded": {field: request.headers[field] for field in seen if field in request.headers},
        "body": {"bytes": body.length, "sha256": body.sha256},
    }
