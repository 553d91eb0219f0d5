"""The record of an algorithm's life, so that each of its decisions can be made again.

`Recorder` stands between the balancer and an algorithm. It hands the algorithm copies of the nodes, because other
workers go on counting on the real ones, seeds its dice at each pick, and writes down what went in and what came out,
one record a call. `Replay` takes the records and makes the same calls to a fresh object of the same class.

    {"do": "fresh", "algorithm": key, "balancers": 1}          a new object: at a start, and when it is switched to
    {"do": "members", "now": s, "nodes": [view, ...]}
    {"do": "pick", "now": s, "seed": n, "sequence": n, "kind": k, "client": c, "nodes": [view, ...],
     "decided": true, "scores": {name: score}, "node": name}   decided false: there was no choice, nothing was asked
    {"do": "start", "now": s, "kind": k, "client": c, "view": view}
    {"do": "probe", "now": s, "asked": [name, ...]}            of the nodes of the pick before
    {"do": "report", "now": s, "view": view, "report": {...}}
    {"do": "end", "now": s, "kind": k, "client": c, "view": view, "latency_ms": ms, "service_ms": ms, "ok": true}

A view is `SeenNode` as a list. The balancer adds to each record when (`at`), by which worker and in which of its
algorithms' lives it was made: an object that was switched away still hears how its last requests end.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple
from random import Random
from typing import Any

from balancer.algorithms.base import Algorithm, N, Node, Request
from balancer.algorithms.seen import SeenNode, SeenRequest
from cluster.wire import NodeReport

Record = dict[str, Any]


def view(node: Node) -> SeenNode:
    """A copy of what the node shows now."""
    newest = node.newest_report()
    report = None
    if newest is not None:
        said, at, sent = newest
        report = (said["rif"], said["slots"], said["service_ms"], at, sent)
    return SeenNode(
        node.name,
        node.index,
        node.in_flight,
        node.weight,
        node.slots,
        report,
        node.own_service_ms(),
        node.latency_ms(),
    )


def from_list(values: Sequence[Any]) -> SeenNode:
    """The view that a record holds."""
    name, index, in_flight, weight, slots, report, own, latency = values
    reported = None if report is None else tuple(report)
    return SeenNode(name, index, in_flight, weight, slots, reported, tuple(own), tuple(latency))


class Recorder:
    """An algorithm whose calls are written down. `id_of`: what a request is called in other logs."""

    def __init__(
        self,
        algorithm: Algorithm,
        seeds: Random,
        write: Callable[[Record], None],
        id_of: Callable[[Any], str],
    ) -> None:
        self._algorithm = algorithm
        self._seeds = seeds
        self._write = write
        self._id_of = id_of
        self._offered: Sequence[SeenNode] = ()
        write({"do": "fresh", "algorithm": algorithm.key, "balancers": algorithm.balancers})

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        seed = self._seeds.getrandbits(32)
        self._offered = [view(node) for node in ready]
        views = [list(astuple(node)) for node in self._offered]
        self._algorithm.rng.seed(seed)
        picked = self._algorithm.pick(request, self._offered, now)
        chosen = next(node for node, seen in zip(ready, self._offered, strict=True) if seen is picked)
        scores = self._algorithm.explain()
        self._write(
            {**self._about(request, now), "seed": seed, "nodes": views, "decided": True, **_made(chosen, scores)}
        )
        return chosen

    def forced(self, request: Request, ready: Sequence[Node], node: Node, now: float) -> None:
        """There was only one node, or a cookie named it: the algorithm was not asked."""
        views = [list(astuple(view(each))) for each in ready]
        self._write({**self._about(request, now), "nodes": views, "decided": False, **_made(node, {})})

    def _about(self, request: Request, now: float) -> Record:
        return {
            "do": "pick",
            "now": now,
            "id": self._id_of(request),
            "algorithm": self._algorithm.key,
            "sequence": request.sequence,
            "kind": request.kind,
            "client": request.client_key,
        }

    def on_membership(self, nodes: Sequence[Node], now: float) -> None:
        views = [view(node) for node in nodes]
        self._write({"do": "members", "now": now, "nodes": [list(astuple(node)) for node in views]})
        self._algorithm.on_membership(views, now)

    def on_start(self, node: Node, request: Request, now: float) -> None:
        seen = view(node)
        self._write({"do": "start", "now": now, **_asked(request), "view": list(astuple(seen))})
        self._algorithm.on_start(seen, request, now)

    def probe(self, ready: Sequence[N], now: float) -> Sequence[N]:
        asked = [node.name for node in self._algorithm.probe(self._offered, now)]
        self._write({"do": "probe", "now": now, "asked": asked})
        return [node for node in ready if node.name in asked]

    def on_report(self, node: Node, report: NodeReport, now: float) -> None:
        seen = view(node)
        self._write({"do": "report", "now": now, "view": list(astuple(seen)), "report": dict(report)})
        self._algorithm.on_report(seen, report, now)

    def on_end(
        self, node: Node, request: Request, now: float, latency_ms: float, service_ms: float, ok: bool | None
    ) -> None:
        seen = view(node)
        figures = {"latency_ms": latency_ms, "service_ms": service_ms, "ok": ok}
        self._write({"do": "end", "now": now, **_asked(request), "view": list(astuple(seen)), **figures})
        self._algorithm.on_end(seen, request, now, latency_ms, service_ms, ok)


class Replay:
    """One life's records, made again. Give it each record in order."""

    def __init__(self, algorithms: dict[str, type[Algorithm]]) -> None:
        self._algorithms = algorithms
        self._algorithm: Algorithm | None = None
        self._offered: Sequence[SeenNode] = ()

    def again(self, record: Record) -> Record | None:
        """The record as this call makes it now: equal to `record` when the decision is the same. None: the beginning of
        the object's life is not in the log, so what it knew is not known. KeyError: there is no such algorithm, or a
        field is missing."""
        do = record["do"]
        if do == "fresh":
            self._algorithm = self._algorithms[record["algorithm"]](Random(), record["balancers"])
            return record
        algorithm = self._algorithm
        if algorithm is None:
            return None
        now = record["now"]
        match do:
            case "members":
                algorithm.on_membership([from_list(values) for values in record["nodes"]], now)
            case "pick":
                return self._pick(algorithm, record)
            case "start":
                algorithm.on_start(from_list(record["view"]), _request(record), now)
            case "probe":
                return {**record, "asked": [node.name for node in algorithm.probe(self._offered, now)]}
            case "report":
                algorithm.on_report(from_list(record["view"]), record["report"], now)
            case "end":
                figures = record["latency_ms"], record["service_ms"], record["ok"]
                algorithm.on_end(from_list(record["view"]), _request(record), now, *figures)
        return record

    def _pick(self, algorithm: Algorithm, record: Record) -> Record:
        if not record["decided"]:
            return record
        self._offered = [from_list(values) for values in record["nodes"]]
        algorithm.rng.seed(record["seed"])
        picked = algorithm.pick(_request(record), self._offered, record["now"])
        return {**record, **_made(picked, algorithm.explain())}


def _asked(request: Request) -> Record:
    return {"kind": request.kind, "client": request.client_key, "sequence": request.sequence}


def _request(record: Record) -> SeenRequest:
    return SeenRequest(record["kind"], record["client"], record["sequence"])


def _made(node: Node, scores: dict[str, float]) -> Record:
    return {"scores": scores, "node": node.name}
