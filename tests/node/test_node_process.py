"""A real node: gunicorn on a free port, clients on real sockets."""

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cluster import auth, paths
from cluster.wire import orca_to_report
from node.video import Video

pytestmark = pytest.mark.e2e

SLOTS = 2
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "python:node.gunicorn_conf", "node.app:application"]


class Running:
    """A started node process."""

    def __init__(self, port: int, token: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.port = port
        self.token = token
        self.process = process
        self.log = log

    def ask(
        self, path: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer, answer.read()

    def json(self, path: str, method: str = "GET", **order: Any) -> Any:
        body = json.dumps(order) if order else None
        return json.loads(self.ask(path, method, body, {"Authorization": f"Bearer {self.token}"})[1])

    def stats(self) -> Any:
        return self.json("/-/stats?executions=1")

    def until(self, true_of: Callable[[Any], bool], within_s: float = 5) -> Any:
        """/-/stats as soon as `true_of` it."""
        ends = time.monotonic() + within_s
        while True:
            stats = self.stats()
            if true_of(stats):
                return stats
            assert time.monotonic() < ends, stats
            time.sleep(0.02)

    @contextmanager
    def asking(self, head: str) -> Iterator[socket.socket]:
        """A connection on which a request has been sent and nothing read."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as sock:
            sock.sendall(head.encode() + b"\r\nHost: x\r\n\r\n")
            yield sock


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def started(folder: Path, listening: socket.socket | None = None) -> Iterator[Running]:
    """A node on a free port, or, as under Supervisor, on a listening socket that it inherits as its fd 0."""
    port = listening.getsockname()[1] if listening else free_port()
    config = {
        "balancers": [{"name": "b1"}],
        "nodes": [{"name": "n1", "port": port, "kind": "video", "slots": SLOTS, "speed": 1.0}],
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    environment = {
        **os.environ,
        "FAIRLEAD_CONFIG": str(folder / "config.json"),
        "FAIRLEAD_STATE": str(folder / "run"),
        "FAIRLEAD_NODE": "n1",
        "FAIRLEAD_RELEASE": "r1",
    }
    environment.pop("FAIRLEAD_BIND", None)
    environment["FAIRLEAD_INHERIT"] = "1" if listening else ""
    command = ["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh", *GUNICORN]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=paths.PROJECT, env=environment, stdin=listening, stderr=log, stdout=log)
    try:
        running = Running(port, auth.read_token(folder / "run" / "token"), process, folder / "log")
        ends = time.monotonic() + 20
        while True:
            with suppress(OSError):
                assert running.json("/-/health") == {"name": "n1", "release": "r1"}
                break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < ends, (folder / "log").read_text()
            time.sleep(0.05)
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("node")
    with started(folder) as running:
        yield running
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture
def node(shared: Running) -> Iterator[Running]:
    """The shared node; each test leaves it idle and whole."""
    yield shared
    shared.json("/-/faults", "DELETE")
    shared.until(lambda stats: stats["working"] == stats["waiting"] == 0)


def in_background(count: int, task: Callable[[int], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=task, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_one_connection_serves_many_requests(node: Running) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)) as connection:
        connection.request("GET", "/?service_ms=1")
        connection.getresponse().read()
        sock = connection.sock
        for path in ("/api?service_ms=1", "/image?service_ms=1", "/video?service_ms=1", "/-/nope", "/-/load"):
            connection.request("POST" if "api" in path else "GET", path, b"x" if "api" in path else None)
            answer = connection.getresponse()
            answer.read()
            assert answer.headers["X-Node"] == "n1"
            assert orca_to_report(answer.headers["endpoint-load-metrics"]) is not None
            assert connection.sock is sock


def test_video_comes_in_chunks_over_its_service_time(node: Running) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)) as connection:
        begun = time.monotonic()
        connection.request("GET", "/video/film?service_ms=800")
        answer = connection.getresponse()
        head_s = time.monotonic() - begun
        body = answer.read()
        whole_s = time.monotonic() - begun
    assert body == b"".join(Video("/video/film", 262144).chunks(0, 262144))
    assert answer.headers["Content-Length"] == "262144"
    assert 0.1 <= head_s < 0.6
    assert 0.8 <= whole_s < 1.6


def test_ranges_put_together_are_the_whole(node: Running) -> None:
    pieces, cuts = [], [0, 1, 32767, 32768, 100_000, 262144]
    for start, stop in pairwise(cuts):
        answer, body = node.ask("/video/film?service_ms=1", headers={"Range": f"bytes={start}-{stop - 1}"})
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/262144")
        pieces.append(body)
    assert b"".join(pieces) == b"".join(Video("/video/film", 262144).chunks(0, 262144))
    answer, body = node.ask("/video/film", headers={"Range": "bytes=262144-"})
    assert (answer.status, body) == (416, b"")


def test_head_works_for_all_kinds(node: Running) -> None:
    for path in ("/", "/api", "/image", "/video"):
        answer, body = node.ask(path + "?service_ms=1", "HEAD")
        assert (answer.status, body) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 50


def test_a_large_body_is_streamed_through_a_hash(node: Running) -> None:
    piece, pieces = os.urandom(1_000_000), 64
    digest = hashlib.sha256(piece * pieces).hexdigest()
    before_kb = resident_kb(node)
    for headers in ({"Content-Length": str(len(piece) * pieces)}, {}):  # the second is sent in chunks
        answer, body = node.ask("/api?service_ms=1", "POST", (piece for _ in range(pieces)), headers)
        assert answer.status == 200
        assert json.loads(body)["body"] == {"bytes": len(piece) * pieces, "sha256": digest}
    assert resident_kb(node) - before_kb < 16_000


def worker(node: Running) -> Path:
    """The worker's folder in /proc."""
    master = node.process.pid
    return Path("/proc") / Path(f"/proc/{master}/task/{master}/children").read_text().split()[0]


def resident_kb(node: Running) -> int:
    """Resident memory of the worker."""
    return int((worker(node) / "status").read_text().split("VmRSS:")[1].split()[0])


def test_a_small_limit_of_open_files_is_raised(node: Running) -> None:
    soft, hard = (worker(node) / "limits").read_text().split("Max open files")[1].split()[:2]
    assert int(soft) == (65536 if hard == "unlimited" else min(int(hard), 65536)) > 256


def test_more_requests_than_slots_wait_in_front(node: Running) -> None:
    seen: list[int] = []
    threads = in_background(6, lambda n: seen.append(node.ask("/?service_ms=300")[0].status))
    stats = node.until(lambda stats: stats["waiting"] == 4)
    assert stats["working"] == SLOTS
    assert node.json("/-/load")["rif"] in (5, 6)
    begun = time.monotonic()
    for thread in threads:
        thread.join(10)
    assert seen == [200] * 6
    assert time.monotonic() - begun > 0.55  # three rounds of 300 ms, less what passed before `begun`
    assert node.json("/-/load")["rif"] == 0


def test_the_orca_header_counts_those_who_wait(node: Running) -> None:
    reports: list[int] = []

    def one(n: int) -> None:
        report = orca_to_report(node.ask("/?service_ms=200")[0].headers["endpoint-load-metrics"])
        assert report is not None
        reports.append(report["rif"])

    for thread in in_background(4, one):
        thread.join(10)
    assert sorted(reports) == [0, 1, 2, 3]


@pytest.mark.parametrize("close", [socket.socket.close, lambda sock: sock.shutdown(socket.SHUT_WR)])
def test_a_client_that_leaves_gives_back_slot_and_place(node: Running, close: Callable[[socket.socket], None]) -> None:
    before = node.stats()["counters"]["aborted"]
    request = "GET /?service_ms=20000 HTTP/1.1"
    with node.asking(request) as one, node.asking(request) as two, node.asking(request) as three:
        node.until(lambda stats: (stats["working"], stats["waiting"]) == (2, 1))
        close(three)  # waiting
        node.until(lambda stats: (stats["working"], stats["waiting"]) == (2, 0), within_s=1)
        close(one)  # working
        node.until(lambda stats: stats["working"] == 1, within_s=1)
        close(two)
        stats = node.until(lambda stats: stats["working"] == 0, within_s=1)
    assert stats["counters"]["aborted"] == before + 3


def test_a_viewer_that_leaves_in_the_middle_gives_its_slot_back(node: Running) -> None:
    # 8 bytes of one block, then a long sleep before the next
    with node.asking("GET /video/x?service_ms=20000 HTTP/1.1\r\nRange: bytes=32760-65535") as viewer:
        data = b""
        while not data.partition(b"\r\n\r\n")[2]:
            data += viewer.recv(65536)
        assert data.startswith(b"HTTP/1.1 206")
        node.until(lambda stats: stats["working"] == 1)
        viewer.close()
        node.until(lambda stats: stats["working"] == 0, within_s=1)
    with node.asking("GET /video/x?service_ms=0&bytes=1000000000 HTTP/1.1") as viewer:  # blocked in sending
        assert viewer.recv(10) == b"HTTP/1.1 2"
        node.until(lambda stats: stats["working"] == 1)
        time.sleep(0.2)
        viewer.close()
        node.until(lambda stats: stats["working"] == 0, within_s=1)


def test_a_pipelined_request_is_answered_too(node: Running) -> None:
    with node.asking("GET /api?service_ms=50 HTTP/1.1") as sock:
        sock.sendall(b"GET /-/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.endswith(b'{"name": "n1", "release": "r1"}\n')


def test_equal_seeds_cost_equal_work(node: Running) -> None:
    costs = []
    for seed in ("1", "2", "1", "2"):
        answer, _ = node.ask("/api", headers={"X-Fairlead-Seed": seed})
        costs.append(answer.headers["X-Service-Ms"])
    assert costs[:2] == costs[2:]
    assert costs[0] != costs[1]


def test_service_time_is_kept_and_reported(node: Running) -> None:
    for _ in range(60):
        node.ask("/?service_ms=20")
    assert 18 <= node.json("/-/load")["service_ms"] < 35, "what was before still counts a little"


def test_executions(node: Running) -> None:
    for _ in range(2):
        answer, _ = node.ask("/api?service_ms=1", "POST", b"", {"X-Request-Id": "once-or-twice"})
        assert answer.headers["X-Request-Id"] == "once-or-twice"
    assert node.stats()["executions"]["once-or-twice"] == 2


def test_refuse_resets_the_connection(node: Running) -> None:
    node.json("/-/faults", "POST", kind="refuse", expires_s=10)
    for request in ("GET / HTTP/1.1", "HEAD / HTTP/1.1", "GET /-/health HTTP/1.1"):
        with node.asking(request) as sock, pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert node.stats()["faults"][0]["hits"] == 3
    node.json("/-/faults", "DELETE")
    assert node.ask("/")[0].status == 200


def test_hang_holds_a_slot_until_it_is_cleared(node: Running) -> None:
    node.json("/-/faults", "POST", kind="hang", expires_s=20)
    answers: list[int] = []
    threads = in_background(1, lambda n: answers.append(node.ask("/?service_ms=1")[0].status))
    threads += in_background(1, lambda n: answers.append(node.ask("/-/health")[0].status))
    node.until(lambda stats: stats["working"] == 1 and stats["faults"][0]["hits"] == 2)
    time.sleep(0.3)
    assert answers == []
    node.json("/-/faults", "DELETE")
    for thread in threads:
        thread.join(5)
    assert answers == [200, 200]


def test_hang_ends_by_itself_and_with_its_client(node: Running) -> None:
    node.json("/-/faults", "POST", kind="hang", expires_s=1, health=False)
    assert node.json("/-/health")["name"] == "n1"
    with node.asking("GET / HTTP/1.1") as gone:
        node.until(lambda stats: stats["working"] == 1)
        gone.close()
        node.until(lambda stats: stats["working"] == 0, within_s=0.5)
    begun = time.monotonic()
    assert node.ask("/?service_ms=1")[0].status == 200
    assert time.monotonic() - begun < 3


def test_error_and_slow(node: Running) -> None:
    node.json("/-/faults", "POST", kind="slow", add_ms=300)
    begun = time.monotonic()
    assert node.ask("/api?service_ms=1")[0].status == 200
    assert time.monotonic() - begun >= 0.3
    node.json("/-/faults", "POST", kind="error", status=502)
    begun = time.monotonic()
    assert node.ask("/api")[0].status == 502
    assert time.monotonic() - begun < 0.25  # an error comes at once, even on a slow node
    assert node.ask("/-/health")[0].status == 200


def test_no_connection_holds_anything_back_when_the_node_is_stopped(tmp_path: Path) -> None:
    with started(tmp_path) as node:
        answers: list[tuple[int, int]] = []

        def late(n: int) -> None:
            answer, body = node.ask(f"/{('api', 'video')[n]}/x?service_ms=1500")
            answers.append((answer.status, len(body)))

        threads = in_background(2, late)
        node.until(lambda stats: stats["working"] == 2)
        node.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        for thread in threads:
            thread.join(10)
        assert [status for status, _ in answers] == [200, 200]
        assert max(length for _, length in answers) == 262144
        assert node.process.wait(10) == 0
        assert time.monotonic() - begun < 6
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", node.port), timeout=1)
    assert "Traceback" not in node.log.read_text()


def test_an_idle_node_costs_next_to_nothing(tmp_path: Path) -> None:
    with started(tmp_path) as node, node.asking("GET /api HTTP/1.1") as sock:  # one kept-alive connection
        sock.recv(65536)
        before_s = cpu_s(node)
        time.sleep(3)
        used = (cpu_s(node) - before_s) / 3
    assert used < 0.01


def cpu_s(node: Running) -> float:
    """CPU seconds of master and worker."""
    master = node.process.pid
    pids = [str(master), *Path(f"/proc/{master}/task/{master}/children").read_text().split()]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("name", "nodes", "code", "told"),
    [
        (None, [{"name": "n1", "port": 5001}], 1, "FAIRLEAD_NODE is not set"),
        ("n9", [{"name": "n1", "port": 5001}], 1, "config.json has these simulated nodes: n1"),
        ("n1", [{"name": "n1", "port": 0}], 2, "nodes[0].port"),
    ],
)
def test_a_node_that_cannot_start_says_why(tmp_path: Path, name: str | None, nodes: Any, code: int, told: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"balancers": [{"name": "b1"}], "nodes": nodes}))
    environment = {**os.environ, "FAIRLEAD_CONFIG": str(tmp_path / "config.json")}
    environment.pop("FAIRLEAD_NODE", None)
    if name:
        environment["FAIRLEAD_NODE"] = name
    ended = subprocess.run(GUNICORN, cwd=paths.PROJECT, env=environment, capture_output=True, text=True, timeout=20)
    assert ended.returncode == code
    assert ended.stderr.count(told) == 1
    assert "Traceback" not in ended.stderr


def test_an_inherited_socket_is_served(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with started(tmp_path, listening) as node:
            assert node.ask("/?service_ms=1")[0].status == 200
            node.process.terminate()
            assert node.process.wait(15) == 0
        with socket.create_connection(listening.getsockname(), timeout=1):
            pass  # still listening: the next process takes over without a refused connection
