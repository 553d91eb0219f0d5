"""A node's routes and answers, in one process, with the clock handed in."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster import auth
from cluster.config import Node
from cluster.wire import orca_to_report
from node.app import create_app
from node.client import ClientGone
from node.video import Video
from node.work import Backend


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 50.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backend(clock: Clock) -> Backend:
    node = Node.model_validate({"name": "l2", "port": 5002, "kind": "api", "slots": 3, "speed": 2.0})
    return Backend(node, "r7", clock=clock, sleep=clock.sleep, rng=random.Random(1))


@pytest.fixture
def client(backend: Backend) -> FlaskClient:
    return create_app(backend).test_client()


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path / "run"))
    return {"Authorization": f"Bearer {auth.read_token()}"}


def counters(client: FlaskClient) -> dict[str, Any]:
    return dict(client.get("/-/stats").json["counters"])


def test_health(client: FlaskClient) -> None:
    answer = client.get("/-/health")
    assert answer.status_code == 200
    assert answer.json == {"name": "l2", "release": "r7"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/api/x", 200),
        ("GET", "/image/x", 200),
        ("GET", "/video/x", 200),
        ("GET", "/-/health", 200),
        ("GET", "/-/load", 200),
        ("GET", "/-/stats", 200),
        ("GET", "/-/nope", 404),
        ("POST", "/-/health", 405),
        ("GET", "/-/faults", 401),
        ("GET", "/?service_ms=x", 400),
        ("PURGE", "//a//b", 200),
    ],
)
def test_every_answer_is_signed_and_reports_load(
    client: FlaskClient, token: dict[str, str], method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method, headers={"X-Request-Id": "r-1"})
    assert answer.status_code == status
    assert answer.headers["X-Node"] == "l2"
    assert answer.headers["X-Request-Id"] == "r-1"
    report = orca_to_report(answer.headers["endpoint-load-metrics"])
    assert report is not None
    assert report["slots"] == 3
    if status >= 400:
        assert answer.json["error"]


def test_report_before_and_after_the_first_request(client: FlaskClient) -> None:
    assert client.get("/-/load").json == {"rif": 0, "slots": 3, "service_ms": 0.0}
    answer = client.get("/?service_ms=100")  # speed 2
    assert answer.headers["endpoint-load-metrics"] == (
        "TEXT named_metrics.rif=0,named_metrics.slots=3,named_metrics.service_ms=50.000,named_metrics.request_ms=50.000"
    )
    client.get("/?service_ms=200")
    assert client.get("/-/load").json["service_ms"] == pytest.approx(50 * 2**0.5), "the geometric mean"


def test_a_seed_decides_the_service_time_and_speed_divides_it(client: FlaskClient, backend: Backend) -> None:
    twice = [client.get("/api/x", headers={"X-Fairlead-Seed": "77"}).json["service_ms"] for _ in range(2)]
    other = client.get("/api/x", headers={"X-Fairlead-Seed": "78"}).json["service_ms"]
    expected = backend_time("77") / 2
    assert twice == [pytest.approx(expected, abs=0.001)] * 2
    assert other != twice[0]


def backend_time(seed: str) -> float:
    from cluster.config import Kind
    from node.kinds import SERVICE_TIMES

    return SERVICE_TIMES[Kind.API].draw_ms(random.Random(seed))


def test_faults_do_not_change_the_work_of_a_seed(client: FlaskClient, backend: Backend) -> None:
    before = client.get("/api/x", headers={"X-Fairlead-Seed": "77"}).json["service_ms"]
    backend.faults.add({"kind": "error", "probability": 0})
    assert client.get("/api/x", headers={"X-Fairlead-Seed": "77"}).json["service_ms"] == before


def test_service_time_is_slept(client: FlaskClient, clock: Clock) -> None:
    answer = client.get("/?service_ms=80")
    assert clock.slept == [0.04]
    assert answer.headers["X-Service-Ms"] == "40.000"


def test_api_says_what_arrived(client: FlaskClient) -> None:
    body = b"x" * 200_000
    answer = client.post("/api/a?b=c", data=body, headers={"X-Request-Id": "p-1", "Via": "1.1 b1"})
    assert answer.json["body"] == {"bytes": 200_000, "sha256": hashlib.sha256(body).hexdigest()}
    assert (answer.json["method"], answer.json["path"], answer.json["query"]) == ("POST", "/api/a", "b=c")
    assert answer.json["request_id"] == "p-1"
    assert answer.json["forwarded"]["via"] == "1.1 b1"
    assert counters(client)["bytes_in"] == 200_000


def test_a_body_that_ends_early_is_an_aborted_request(client: FlaskClient) -> None:
    with pytest.raises(ClientGone):
        client.post("/api", data=b"abc", environ_overrides={"CONTENT_LENGTH": "10"})
    assert counters(client)["aborted"] == 1
    assert client.get("/-/load").json["rif"] == 0


@pytest.mark.parametrize("path", ["/", "/api/x", "/image/x", "/video/x"])
def test_head_is_get_without_the_body(client: FlaskClient, path: str) -> None:
    seed = {"X-Fairlead-Seed": "1"}
    get, head = client.get(path, headers=seed, buffered=True), client.head(path, headers=seed)
    assert head.data == b""
    assert head.content_length == (get.content_length or len(get.data)) > 0
    assert head.content_type == get.content_type
    assert counters(client)["bytes_out"] == len(get.data)


def test_image_size(client: FlaskClient) -> None:
    answer = client.get("/image/x?width=20&height=10")
    assert answer.content_type == "image/png"
    assert answer.data[16:24] == bytes([0, 0, 0, 20, 0, 0, 0, 10])


WHOLE = b"".join(Video("/video/v", 262144).chunks(0, 262144))


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100-199", 206, 100, 200),
        ("bytes=0-", 206, 0, 262144),
        ("bytes=262000-", 206, 262000, 262144),
        ("bytes=262000-999999", 206, 262000, 262144),
        ("bytes=-10", 206, 262134, 262144),
        ("bytes=-999999", 206, 0, 262144),
        ("bytes=32767-32768", 206, 32767, 32769),
        # RFC 9110 section 14.2: what is not one range of bytes may be, or has to be, ignored
        ("bytes=0-1,5-6", 200, 0, 262144),
        ("bytes=5-2", 200, 0, 262144),
        ("bytes=x", 200, 0, 262144),
        ("bytes=-", 200, 0, 262144),
        ("bytes=", 200, 0, 262144),
        ("bytes=--5", 200, 0, 262144),
        ("bytes=" + "9" * 5000 + "-", 200, 0, 262144),
        ("lines=1-2", 200, 0, 262144),
    ],
)
def test_ranges(client: FlaskClient, asked: str, status: int, start: int, stop: int) -> None:
    answer = client.get("/video/v", headers={"Range": asked})
    assert answer.status_code == status
    assert answer.data == WHOLE[start:stop]
    assert answer.content_length == stop - start
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers.get("Content-Range") == (f"bytes {start}-{stop - 1}/262144" if status == 206 else None)


@pytest.mark.parametrize("asked", ["bytes=262144-", "bytes=999999-1000000", "bytes=-0"])
def test_ranges_outside(client: FlaskClient, asked: str) -> None:
    answer = client.get("/video/v", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */262144"
    assert answer.data == b""
    assert client.get("/-/load").json["rif"] == 0


def test_if_range(client: FlaskClient) -> None:
    etag = client.head("/video/v").headers["ETag"]
    same = client.get("/video/v", headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get("/video/v", headers={"Range": "bytes=0-9", "If-Range": '"old"'})
    assert (same.status_code, other.status_code) == (206, 200)


def test_a_video_spreads_its_time_and_holds_its_slot_to_the_end(
    client: FlaskClient, clock: Clock, backend: Backend
) -> None:
    answer = client.get("/video/v?service_ms=800", buffered=False)
    assert clock.slept == pytest.approx([0.05])  # one of 8 blocks, before the head
    assert backend.slots.rif == 1
    assert answer.data == WHOLE
    answer.close()
    assert clock.slept == pytest.approx([0.05] * 8)
    assert backend.slots.rif == 0
    assert backend.stats.service_ms == pytest.approx(400)


def test_a_video_left_in_the_middle_gives_its_slot_back(client: FlaskClient, backend: Backend) -> None:
    answer = client.get("/video/v", buffered=False)
    next(answer.iter_encoded())
    answer.close()
    assert backend.slots.rif == 0


def test_a_node_serves_requests_of_all_kinds(client: FlaskClient) -> None:
    for path in ("/", "/api", "/image", "/video"):
        client.get(path)
    assert counters(client)["by_kind"] == {"general": 1, "api": 1, "image": 1, "video": 1}
    assert client.get("/-/stats").json["kind"] == "api"


@pytest.mark.parametrize(
    ("query", "field", "rule"),
    [
        ("service_ms=abc", "service_ms", "a number from 0 to 60000"),
        ("service_ms=-1", "service_ms", "a number from 0 to 60000"),
        ("service_ms=60001", "service_ms", "a number from 0 to 60000"),
        ("service_ms=nan", "service_ms", "a number from 0 to 60000"),
        ("width=0", "width", "a whole number from 1 to 2048"),
        ("height=2049", "height", "a whole number from 1 to 2048"),
        ("bytes=0", "bytes", "a whole number from 1 to 4294967296"),
        ("bytes=1.5", "bytes", "a whole number from 1 to 4294967296"),
    ],
)
def test_bad_queries_are_told_apart(client: FlaskClient, query: str, field: str, rule: str) -> None:
    answer = client.get(f"/image/x?{query}")
    value = query.partition("=")[2]
    assert answer.status_code == 400
    assert answer.json == {
        "error": f'{field}: "{value}": must be {rule}',
        "field": field,
        "value": value,
        "rule": rule,
    }
    assert counters(client)["rejected"] == 1


def test_executions_are_counted_by_request_id(client: FlaskClient) -> None:
    for request_id in ("a", "b", "a", "x" * 129):
        client.post("/api", headers={"X-Request-Id": request_id})
    client.get("/?service_ms=bad", headers={"X-Request-Id": "c"})  # never worked on
    assert client.get("/-/stats?executions=1").json["executions"] == {"b": 1, "a": 2}
    assert "executions" not in client.get("/-/stats").json


def test_only_the_last_10000_executions_are_kept(backend: Backend) -> None:
    for n in range(10_005):
        backend.stats.executed(str(n))
    kept = backend.stats.executions()
    assert len(kept) == 10_000
    assert next(iter(kept)) == "5"


def test_encoded_paths_do_not_reach_the_management(client: FlaskClient) -> None:
    assert client.get("/%2D/health").content_type.startswith("text/html")
    assert counters(client)["requests"] == 1


def test_faults_need_the_token(client: FlaskClient, token: dict[str, str]) -> None:
    for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": token["Authorization"][7:]}):
        for method in ("GET", "POST", "DELETE"):
            answer = client.open("/-/faults", method=method, headers=wrong, json={"kind": "error"})
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/-/faults", headers=token).json == {"faults": []}


def test_faults_are_added_listed_and_cleared(client: FlaskClient, token: dict[str, str], clock: Clock) -> None:
    added = client.post("/-/faults", headers=token, json={"kind": "error", "status": 503, "expires_s": 5})
    assert added.status_code == 201
    assert client.get("/-/faults", headers=token).json == {"faults": [added.json]}
    assert added.json == {
        "id": 1,
        "kind": "error",
        "probability": 1.0,
        "health": False,
        "expires_s": 5.0,
        "left_s": 5.0,
        "hits": 0,
        "status": 503,
    }
    assert client.get("/").status_code == 503
    assert client.get("/-/health").status_code == 200
    assert client.get("/-/stats").json["faults"][0]["hits"] == 1
    assert client.delete("/-/faults", headers=token).json == {"cleared": 1}
    assert client.get("/").status_code == 200
    assert counters(client)["errors"] == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"[" * 9000, b'{"kind": "slow", "factor": 0}'])
def test_bad_orders_get_400(client: FlaskClient, token: dict[str, str], body: bytes) -> None:
    answer = client.post("/-/faults", headers=token, data=body)
    assert answer.status_code == 400
    assert set(answer.json) == {"error", "field", "value", "rule"}


def test_orders_are_bounded(client: FlaskClient, token: dict[str, str]) -> None:
    answer = client.post("/-/faults", headers=token, data=json.dumps({"kind": "slow", "x": "y" * 20_000}))
    assert answer.status_code == 413
    assert "Too Large" in answer.json["error"]


def test_slow(client: FlaskClient, backend: Backend, clock: Clock) -> None:
    backend.faults.add({"kind": "slow", "factor": 10, "add_ms": 7})
    answer = client.get("/?service_ms=20")
    assert clock.slept == pytest.approx([0.107])  # 20 ms at speed 2, ten times, and 7 ms
    assert answer.headers["X-Service-Ms"] == "107.000"
    backend.faults.clear()
    backend.faults.add({"kind": "slow", "add_ms": 300, "health": True})
    client.get("/-/health")
    assert clock.slept[1:] == [0.3]


def test_refuse_gives_no_answer(client: FlaskClient, backend: Backend) -> None:
    backend.faults.add({"kind": "refuse"})
    for path in ("/", "/-/health"):
        with pytest.raises(ClientGone):
            client.get(path)
    backend.faults.clear()
    assert counters(client)["refused"] == 1
    assert counters(client)["aborted"] == 0


def test_error_on_health_when_ordered(client: FlaskClient, backend: Backend) -> None:
    backend.faults.add({"kind": "error", "health": True, "status": 500})
    assert client.get("/-/health").status_code == 500


def test_full_queue_is_503(client: FlaskClient, backend: Backend) -> None:
    backend.slots.max_waiting = 0
    places = [backend.slots.enter() for _ in range(3)]
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert orca_to_report(answer.headers["endpoint-load-metrics"])["rif"] == 3  # type: ignore[index]
    assert counters(client)["turned_away"] == counters(client)["errors"] == 1
    for place in places:
        place.leave()
    assert client.get("/").status_code == 200


def test_an_unforeseen_error_is_told_and_gives_the_slot_back(
    client: FlaskClient, backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(seconds: float) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(backend, "sleep", broken)
    answer = client.get("/")
    assert answer.status_code == 500
    assert answer.headers["X-Node"] == "l2"
    assert "boom" in caplog.text
    assert backend.slots.rif == 0


def test_stats(client: FlaskClient) -> None:
    stats = client.get("/-/stats").json
    assert stats["service_times"]["video"] == {"distribution": "lognormal", "mean_ms": 160.0, "scv": 0.5}
    assert (stats["name"], stats["release"], stats["slots"], stats["speed"]) == ("l2", "r7", 3, 2.0)
    assert (stats["working"], stats["waiting"], stats["max_waiting"]) == (0, 0, 1000)
