"""A control API with made-up, moving numbers: what the dashboard is tested against, and looked at with.

By hand: `python -m tests.dashboard.fake_control PORT STATE_DIR [NODES]`, then the dashboard with the same state folder.
"""

import contextlib
import json
import math
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cluster.auth import read_token
from cluster.histogram import BUCKETS, bucket_of, packed

ALGORITHMS = [
    {
        "key": "round_robin",
        "label": "Round robin",
        "sentence": "One after the other, whatever they are doing.",
        "needs": [],
    },
    {
        "key": "least_connections",
        "label": "Least connections",
        "sentence": "The node with the fewest requests in flight.",
        "needs": [],
    },
    {
        "key": "weighted",
        "label": "Weighted (smooth)",
        "sentence": "In turn, by weight, evenly spread over time.",
        "needs": ["weight"],
    },
    {
        "key": "dynamic",
        "label": "Dynamic",
        "sentence": "The node that should answer soonest, by its own report and what was seen of it.",
        "needs": ["report", "latency"],
    },
]


def histogram_of(window: dict[str, Any]) -> list[int]:
    """Packed counts of ten seconds that have about the window's percentiles."""
    counts = [0] * BUCKETS
    if window["p50_ms"] is not None:
        for name, share in (("p50_ms", 0.55), ("p95_ms", 0.41), ("p99_ms", 0.04)):
            counts[bucket_of(window[name] / 1e3)] += max(1, round(10 * window["rps"] * share))
    return packed(counts)


class FakeControl:
    """One balancer's control API on loopback. Public attributes may be changed by a test while it runs."""

    def __init__(
        self, token: str, names: tuple[str, ...] = ("l1", "l2", "l3"), port: int = 0, rps: float = 240.0
    ) -> None:
        self.token = token
        self.boot = "boot-1"
        self.rps = rps
        self.mute = False  # accepts orders, then does nothing
        self.refuse = ""  # the reason with which every order is refused
        self.requests: list[str] = []
        self.algorithm = "round_robin"
        self.nodes = {name: self._node(name, i) for i, name in enumerate(names)}
        self.log: list[dict[str, Any]] = []
        self._began = time.time()
        self._changed = threading.Condition()
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._sockets: set[Any] = set()

    @property
    def port(self) -> int:
        """Stays the same over `stop` and `start`."""
        return self._port

    def start(self) -> "FakeControl":
        """Listen."""
        fake = self

        class Handler(_Handler):
            control = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Die: nobody listens, and open connections are gone."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        for sock in list(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(2)
        with self._changed:
            self._changed.notify_all()

    def event(self, kind: str, text: str, node: str | None = None, who: str = "probe") -> int:
        """Something happens."""
        with self._changed:
            seq = len(self.log) + 1
            self.log.append({"seq": seq, "at": time.time(), "kind": kind, "node": node, "who": who, "text": text})
            self._changed.notify_all()
            return seq

    def events(self, after: int, wait_s: float) -> dict[str, Any]:
        """As the long poll answers."""
        until = time.monotonic() + wait_s
        with self._changed:
            while len(self.log) <= after and self._server is not None:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return {"boot": self.boot, "events": self.log[after:]}

    def add_node(self, name: str, i: int) -> None:
        """One more node, of the kind that comes `i`th."""
        self.nodes[name] = self._node(name, i)

    def set_node(self, name: str, **fields: Any) -> None:
        """Change what is said of a node; state, ready and since follow."""
        node = self.nodes[name]
        node.update(fields)
        state = {"draining": "draining", "maintenance": "maintenance"}.get(node["admin"]) or node["health"]
        node.update(state=state, ready=state in ("up", "unknown"), since=time.time())

    def snapshot(self) -> dict[str, Any]:
        """wire.Snapshot, with numbers that move."""
        now = time.time()
        ready = [n for n in self.nodes.values() if n["ready"]]
        weights = {n["name"]: (n["weight"] if self.algorithm == "weighted" else 1) for n in ready}
        whole = sum(weights.values()) or 1
        rate = self.rps * (1 + 0.18 * math.sin(now / 7) + 0.06 * random.uniform(-1, 1))
        nodes = []
        for i, node in enumerate(self.nodes.values()):
            share = weights.get(node["name"], 0) / whole
            rps = rate * share * random.uniform(0.94, 1.06)
            base = (18, 24, 47)[i % 3] * (1 + 0.15 * math.sin(now / 11 + i))
            busy = min(8, int(rps * base / 1000 * 1.6 + random.uniform(0, 2))) if rps > 0 else 0
            node["attempts"] += int(rps / 2)
            failed = rps * (0.004 if i == 2 else 0)
            node["errors"] += 1 if failed and random.random() < 0.1 else 0
            nodes.append({**node, "in_flight": busy, "window": self._window(rps, failed, base if rps > 0.1 else None)})
        total = sum(n["window"]["rps"] for n in nodes)
        return {
            "fleet": "local",
            "balancer": "b1",
            "boot": self.boot,
            "release": "dev",
            "at": now,
            "uptime_s": now - self._began,
            "last_event": len(self.log),
            "algorithm": self.algorithm,
            "algorithm_in_file": "round_robin",
            "algorithms": ALGORITHMS,
            "ejection_bypassed": False,
            "totals": {
                "requests": sum(n["attempts"] for n in nodes),
                "errors": sum(n["errors"] for n in nodes),
                "rejected": 0,
                "aborted": 0,
                "retries": 0,
                "bytes_in": 0,
                "bytes_out": 0,
                "in_flight": sum(n["in_flight"] for n in nodes),
                "connections": 32 if self.rps else 0,
                "queued": 0,
            },
            "window": self._window(total, sum(n["window"]["errors_per_s"] for n in nodes), 26 if total > 0.1 else None),
            "workers": [{"slot": 0, "pid": 4001, "algorithm": self.algorithm, "in_flight": 0, "connections": 16}],
            "nodes": nodes,
        }

    def probes(self) -> dict[str, Any]:
        """wire.ProbeView by node: all passed, but for a node that is down now."""
        out = {}
        for name, node in self.nodes.items():
            fails = 7 if node["health"] == "down" else 0
            out[name] = {
                "path": "/-/health",
                "interval_s": 1.0,
                "passes": 0 if fails else 40,
                "fails": fails,
                "last_ok": not fails,
                "last_ms": None if fails else round(random.uniform(0.8, 1.6), 2),
                "last_at": time.time(),
                "cause": node["cause"],
                "history": [1] * (40 - fails) + [0] * fails,
            }
        return out

    def order(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """POST /algorithm and PATCH /nodes/NAME."""
        if self.refuse:
            return 400, {"error": self.refuse}
        who = str(body.get("who", "?"))
        if (method, path) == ("POST", "/algorithm"):
            keys = [a["key"] for a in ALGORITHMS]
            if body.get("algorithm") not in keys:
                return 400, {"error": f"unknown algorithm {body.get('algorithm')!r}", "known": keys}
            if self.mute:
                return 200, {"algorithm": body["algorithm"], "seq": 0}
            self.algorithm = body["algorithm"]
            seq = self.event("algorithm", f"switched to {self.algorithm}", who=who)
            return 200, {"algorithm": self.algorithm, "seq": seq}
        name = path.removeprefix("/nodes/")
        if method == "PATCH" and path.startswith("/nodes/"):
            if name not in self.nodes:
                return 404, {"error": f'no node "{name}"'}
            if self.mute:
                return 200, self.nodes[name]
            self.set_node(name, **{k: v for k, v in body.items() if k in ("admin", "weight")})
            if "admin" in body:
                self.event("admin", f"{name} is {body['admin']}", node=name, who=who)
            if "weight" in body:
                self.event("weight", f"{name} has weight {body['weight']}", node=name, who=who)
            return 200, self.nodes[name]
        return 405, {"error": "not here"}

    @staticmethod
    def _window(rps: float, errors: float, base: float | None) -> dict[str, Any]:
        def p(factor: float) -> float | None:
            return None if base is None else round(base * factor * random.uniform(0.96, 1.04), 3)

        return {
            "seconds": 10.0,
            "rps": round(rps, 3),
            "errors_per_s": round(errors, 3),
            "p50_ms": p(1),
            "p95_ms": p(3.2),
            "p99_ms": p(5.6),
        }

    @staticmethod
    def _node(name: str, i: int) -> dict[str, Any]:
        return {
            "name": name,
            "kind": ("general", "api", "image", "video")[i % 4],
            "runs": "simulated",
            "host": "here",
            "address": f"127.0.0.1:{5001 + i}",
            "admin": "enabled",
            "health": "up",
            "state": "up",
            "ready": True,
            "cause": "",
            "since": time.time() - 300,
            "ejected_for_s": 0.0,
            "weight": 1 + i % 3,
            "weight_in_file": 1 + i % 3,
            "slow_start": 1.0,
            "slots": 8,
            "in_flight": 0,
            "attempts": 0,
            "errors": 0,
            "retried": 0,
            "window": {},
            "report": None,
            "report_age_s": None,
            "level": "L0",
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    control: FakeControl

    def setup(self) -> None:
        super().setup()
        self.control._sockets.add(self.connection)

    def finish(self) -> None:
        self.control._sockets.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # the test killed the connection
            super().handle()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.control.requests.append(f"GET {url.path}")
        if self._refused():
            return
        if url.path == "/snapshot":
            shot = self.control.snapshot()
            query = parse_qs(url.query)
            if "probes" in query:
                shot["probes"] = self.control.probes()
            if "histograms" in query:
                for part in (shot, *shot["nodes"]):
                    part["window"]["histogram"] = histogram_of(part["window"])
            self._answer(200, shot)
        elif url.path == "/events":
            query = parse_qs(url.query)
            self._answer(200, self.control.events(int(query["after"][0]), float(query["wait_s"][0])))
        else:
            self._answer(404, {"error": "no such path"})

    def do_POST(self) -> None:
        self._order()

    def do_PATCH(self) -> None:
        self._order()

    def _order(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.control.requests.append(f"{self.command} {self.path} {json.dumps(body)}")
        if not self._refused():
            self._answer(*self.control.order(self.command, self.path, body))

    def _refused(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.control.token}":
            return False
        self._answer(401, {"error": "the bearer token is missing or wrong"})
        return True

    def _answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    port, state, *more = sys.argv[1:]
    count = int(more[0]) if more else 3
    names = tuple(f"l{i + 1}" for i in range(count))
    fake = FakeControl(read_token(Path(state) / "token"), names, int(port)).start()
    fake.event("start", "balancer b1 started with round_robin", who="worker")
    for n in range(600):
        time.sleep(20)
        if n % 6 == 1 and count > 1:
            fake.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
            fake.event("health", "l2 is down: 3 probes failed: timeout after 1.0 s", node="l2")
        if n % 6 == 3 and count > 1:
            fake.set_node("l2", health="up", cause="")
            fake.event("health", "l2 is up again: 2 probes passed", node="l2")


if __name__ == "__main__":
    main()
