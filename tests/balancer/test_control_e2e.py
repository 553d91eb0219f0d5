"""The control API over HTTP, with real workers behind it: what it shows, what it refuses, what survives."""

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from balancer.algorithms import ALGORITHMS
from cluster.wire import AlgorithmView, NodeView, ProbeView, Snapshot, Totals, Window, WorkerView
from tests.fleet import RunningFleet, fleet_config, running
from tests.raw_client import RawClient

GET = b"GET /api/x?service_ms=1 HTTP/1.1\r\nHost: a\r\n\r\n"


def ask(fleet: RunningFleet, count: int) -> list[str | None]:
    """The nodes that answered so many requests."""
    with RawClient(fleet.port) as client:
        return [client.ask(GET).field("x-fairlead-node") for _ in range(count)]


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_health_needs_no_token(whole_fleet: RunningFleet) -> None:
    status, said = whole_fleet.control("/-/health", token=None)
    assert (status, said["name"], said["release"]) == (200, "b1-control", "test")
    with urllib.request.urlopen(whole_fleet.url + "/-/health") as answer:
        said = json.load(answer)
    assert (said["name"], said["release"], said["ready"]) == ("b1", "test", ["l1", "l2", "l3"])


def test_the_snapshot_has_the_shape_that_travels(whole_fleet: RunningFleet) -> None:
    ask(whole_fleet, 3)
    shot = whole_fleet.snapshot()
    assert set(shot) == set(Snapshot.__annotations__)
    assert set(shot["totals"]) == set(Totals.__annotations__)
    assert set(shot["window"]) == set(Window.__annotations__) - {"histogram"}
    for key, shape in (("algorithms", AlgorithmView), ("workers", WorkerView), ("nodes", NodeView)):
        for view in shot[key]:
            assert set(view) == set(shape.__annotations__), key
    assert all(set(view) == set(ProbeView.__annotations__) for view in shot["probes"].values())
    assert all("histogram" not in part["window"] for part in (shot, *shot["nodes"]))
    told = whole_fleet.control("/snapshot?histograms=1")[1]
    assert all(isinstance(part["window"]["histogram"], list) for part in (told, *told["nodes"]))
    assert "probes" not in whole_fleet.control("/snapshot")[1]
    assert [view["key"] for view in shot["algorithms"]] == list(ALGORITHMS)
    assert shot["algorithm"] == "round_robin"
    assert shot["at"] == pytest.approx(time.time(), abs=5)
    assert len(shot["workers"]) == 2
    for node in shot["nodes"]:
        assert (node["state"], node["ready"], node["cause"], node["level"]) == ("up", True, "", "L0")
        assert node["report"]["slots"] == 8
        assert shot["probes"][node["name"]]["last_ok"] is True


def test_counts_are_exact(whole_fleet: RunningFleet) -> None:
    before = whole_fleet.idle()
    ask(whole_fleet, 30)
    after = whole_fleet.idle()
    assert after["totals"]["requests"] - before["totals"]["requests"] == 30
    grown = [b["attempts"] - a["attempts"] for a, b in zip(before["nodes"], after["nodes"], strict=True)]
    assert grown == [10, 10, 10]
    for counter in ("errors", "rejected", "aborted", "retries"):
        assert after["totals"][counter] == before["totals"][counter]


def test_metrics_are_prometheus(whole_fleet: RunningFleet) -> None:
    ask(whole_fleet, 6)
    shot = whole_fleet.idle()
    request = urllib.request.Request(
        whole_fleet.control_url + "/metrics", headers={"Authorization": f"Bearer {whole_fleet.token}"}
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = {family.name: family for family in text_string_to_metric_families(answer.read().decode())}
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert all(family.documentation for family in families.values())
    assert samples[("fairlead_requests_total",)] == shot["totals"]["requests"]
    assert samples[("fairlead_algorithm", ("algorithm", "round_robin"))] == 1
    assert sum(value for name, value in samples.items() if name[0] == "fairlead_algorithm") == 1
    for node in shot["nodes"]:
        label = ("node", node["name"])
        assert samples[("fairlead_node_attempts_total", label)] == node["attempts"]
        assert samples[("fairlead_node_state", label, ("state", "up"))] == 1
        last = samples[("fairlead_node_latency_seconds_bucket", ("le", "+Inf"), label)]
        assert last == samples[("fairlead_node_latency_seconds_count", label)]
        assert 0 < last <= node["attempts"]
        buckets = [
            sample.value
            for sample in families["fairlead_node_latency_seconds"].samples
            if sample.name.endswith("_bucket") and sample.labels["node"] == node["name"]
        ]
        assert buckets == sorted(buckets)


# -- refusing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "wrong", "ä"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/snapshot"),
        ("GET", "/events"),
        ("GET", "/metrics"),
        ("POST", "/algorithm"),
        ("PATCH", "/nodes/l1"),
        ("GET", "/x"),
    ],
)
def test_without_the_token_nothing_is_told_or_done(
    whole_fleet: RunningFleet, method: str, path: str, token: str | None
) -> None:
    body = None if method == "GET" else {"algorithm": "weighted", "admin": "maintenance"}
    status, said = whole_fleet.control(path, method, body, token=token and token.encode().decode("latin-1"))
    assert status == 401
    assert list(said) == ["error"]
    assert whole_fleet.snapshot()["algorithm"] == "round_robin"
    assert whole_fleet.nodes()["l1"]["admin"] == "enabled"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/algorithm", {"algorithm": "roundrobin"}, 400, "roundrobin"),
        ("POST", "/algorithm", {"algorithm": 7}, 400, "7"),
        ("POST", "/algorithm", {"algorithm": None}, 400, "None"),
        ("POST", "/algorithm", {"algorithm": ["weighted"]}, 400, "weighted"),
        ("POST", "/algorithm", {}, 400, "algorithm"),
        ("POST", "/algorithm", [], 400, "object"),
        ("POST", "/algorithm", b"", 400, "object"),
        ("POST", "/algorithm", b"{", 400, "object"),
        ("POST", "/algorithm", b"[" * 9000, 400, "object"),
        ("POST", "/algorithm", b"\xff\xfe", 400, "object"),
        ("POST", "/algorithm", {"algorithm": "weighted", "force": True}, 400, "force"),
        ("POST", "/algorithm", {"algorithm": "weighted", "who": ""}, 400, "who"),
        ("POST", "/algorithm", {"algorithm": "weighted", "who": "x" * 65}, 400, "who"),
        ("POST", "/algorithm", {"algorithm": "weighted", "who": "a\nb"}, 400, "who"),
        ("POST", "/algorithm", {"algorithm": "weighted", "who": "x" * 20_000}, 413, "Large"),
        ("PATCH", "/nodes/l9", {"admin": "draining"}, 404, "l9"),
        ("PATCH", "/nodes/", {"admin": "draining"}, 404, ""),
        ("PATCH", "/nodes/l1", {}, 400, "nothing"),
        ("PATCH", "/nodes/l1", {"admin": "retired"}, 400, "retired"),
        ("PATCH", "/nodes/l1", {"admin": None}, 400, "None"),
        ("PATCH", "/nodes/l1", {"weight": -1}, 400, "-1"),
        ("PATCH", "/nodes/l1", {"weight": 257}, 400, "257"),
        ("PATCH", "/nodes/l1", {"weight": 1.5}, 400, "1.5"),
        ("PATCH", "/nodes/l1", {"weight": "2"}, 400, "2"),
        ("PATCH", "/nodes/l1", {"weight": True}, 400, "True"),
        ("PATCH", "/nodes/l1", {"admin": "draining", "weight": 999}, 400, "999"),
        ("PATCH", "/nodes/l1", {"admni": "draining"}, 400, "admni"),
        ("GET", "/events?after=x", None, 400, "after"),
        ("GET", "/events?after=-1", None, 400, "after: '-1' is not a number from 0 to 9007199254740992"),
        ("GET", "/events?wait_s=60", None, 400, "wait_s"),
        ("GET", "/events?wait_s=nan", None, 400, "wait_s"),
        ("GET", "/nothing", None, 404, ""),
        ("GET", "/algorithm", None, 405, ""),
        ("PUT", "/algorithm", {"algorithm": "weighted"}, 405, ""),
        ("POST", "/nodes/l1", {"admin": "draining"}, 405, ""),
        ("GET", "/nodes/l1", None, 405, ""),
        ("DELETE", "/snapshot", None, 405, ""),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_nothing_changes(
    whole_fleet: RunningFleet, method: str, path: str, body: Any, status: int, words: str
) -> None:
    before = whole_fleet.snapshot()
    got, said = whole_fleet.control(path, method, body)
    assert got == status, said
    assert words in said["error"]
    after = whole_fleet.snapshot()
    assert after["last_event"] == before["last_event"]
    assert after["algorithm"] == "round_robin"
    assert [(n["admin"], n["weight"]) for n in after["nodes"]] == [("enabled", 1)] * 3


def test_an_unknown_algorithm_is_answered_with_the_known_ones(whole_fleet: RunningFleet) -> None:
    assert whole_fleet.control("/algorithm", "POST", {"algorithm": "x"})[1]["known"] == list(ALGORITHMS)


# -- doing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", list(ALGORITHMS))
def test_a_switch_is_an_event_with_who_and_is_followed_by_every_worker(whole_fleet: RunningFleet, key: str) -> None:
    status, said = whole_fleet.control("/algorithm", "POST", {"algorithm": key, "who": "Ada"})
    assert (status, said["algorithm"]) == (200, key)
    (event,) = [event for event in whole_fleet.events(said["seq"] - 1) if event["seq"] == said["seq"]]
    assert (event["kind"], event["who"]) == ("algorithm", "Ada")
    assert ALGORITHMS[key].label in event["text"]
    shot = whole_fleet.until(lambda shot: all(worker["algorithm"] == key for worker in shot["workers"]), within_s=1)
    assert (shot["algorithm"], shot["algorithm_in_file"]) == (key, "round_robin")
    assert len(ask(whole_fleet, 6)) == 6


def test_drain_weight_and_enable(whole_fleet: RunningFleet) -> None:
    fleet, begun = whole_fleet, whole_fleet.snapshot()["last_event"]
    view = fleet.order("l1", admin="draining")
    assert (view["admin"], view["state"], view["ready"]) == ("draining", "draining", False)
    assert set(ask(fleet, 6)) == {"l2", "l3"}
    fleet.order("l2", admin="maintenance")
    assert set(ask(fleet, 6)) == {"l3"}
    fleet.order("l1", admin="enabled")
    fleet.order("l2", admin="enabled", weight=3)
    fleet.switch("weighted")
    answered = ask(fleet, 500)  # one connection: one worker's cycle of 5
    assert [answered.count(name) for name in ("l1", "l2", "l3")] == [100, 300, 100]
    fleet.order("l2", weight=0)
    view = fleet.nodes()["l2"]
    assert (view["ready"], view["cause"], view["weight_in_file"]) == (False, "weight 0: picked by nobody", 1)
    assert set(ask(fleet, 6)) == {"l1", "l3"}
    texts = [event["text"] for event in fleet.events(begun)]
    for text in (
        "l1 is draining",
        "l2 is maintenance",
        "l1 is enabled",
        "weight of l2: 1 -> 3",
        "weight of l2: 3 -> 0",
    ):
        assert text in texts, texts


def test_events_are_waited_for(whole_fleet: RunningFleet) -> None:
    last = whole_fleet.snapshot()["last_event"]
    begun = time.monotonic()
    assert whole_fleet.control(f"/events?after={last}&wait_s=0.3")[1]["events"] == []
    assert time.monotonic() - begun == pytest.approx(0.3, abs=0.2)
    timer = threading.Timer(0.2, whole_fleet.order, args=("l1",), kwargs={"weight": 5})
    timer.start()
    begun = time.monotonic()
    said = whole_fleet.control(f"/events?after={last}&wait_s=20")[1]
    assert time.monotonic() - begun < 1.5
    assert said["events"][0]["seq"] == last + 1
    assert said["boot"] == whole_fleet.snapshot()["boot"]
    timer.join()


def test_events_are_in_the_log_too(whole_fleet: RunningFleet) -> None:
    seq = whole_fleet.order("l1", weight=7) and whole_fleet.snapshot()["last_event"]
    shot = whole_fleet.snapshot()
    assert any(event["seq"] == seq and "weight of l1" in event["text"] for event in whole_fleet.log("events"))
    assert len(whole_fleet.events()) <= 500
    assert shot["last_event"] >= seq


def test_waiting_clients_do_not_keep_others_out(whole_fleet: RunningFleet) -> None:
    token = f"Authorization: Bearer {whole_fleet.token}"
    head = f"GET /events?after=999999999&wait_s=20 HTTP/1.1\r\nHost: a\r\n{token}\r\n\r\n"
    waiting = [socket.create_connection(("127.0.0.1", whole_fleet.control_port)) for _ in range(50)]
    try:
        for sock in waiting:
            sock.sendall(head.encode())
        begun = time.monotonic()
        whole_fleet.snapshot()
        assert time.monotonic() - begun < 1
    finally:
        for sock in waiting:
            sock.close()


# -- what survives ---------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet_of_its_own(tmp_path: Path) -> Any:
    config = fleet_config(
        [{"name": "l1"}, {"name": "l2"}], workers=2, health={"probe": {"interval_s": 0.2}, "slow_start_s": 0}
    )
    with running(tmp_path, config) as fleet:
        yield fleet


@pytest.mark.e2e
def test_orders_and_counts_survive_every_death_and_the_data_path_does_not_notice(
    fleet_of_its_own: RunningFleet,
) -> None:
    fleet = fleet_of_its_own
    fleet.switch("least_connections")
    fleet.order("l1", admin="draining", weight=4)
    boot = fleet.snapshot()["boot"]
    ask(fleet, 20)

    fleet.kill("balancer-control")
    assert set(ask(fleet, 20)) == {"l2"}, "the workers go on by the last orders"
    fleet.start("balancer-control")
    shot = fleet.snapshot()
    assert shot["boot"] != boot
    assert (shot["algorithm"], shot["totals"]["requests"]) == ("least_connections", 40)
    assert (shot["nodes"][0]["admin"], shot["nodes"][0]["weight"]) == ("draining", 4)

    victim = shot["workers"][0]["pid"]

    os.kill(victim, signal.SIGKILL)
    fleet.until(
        lambda shot: len(shot["workers"]) == 2 and victim not in [w["pid"] for w in shot["workers"]], within_s=4
    )
    fleet.event(f"balancer worker {victim} is gone")
    assert set(ask(fleet, 4)) == {"l2"}
    assert fleet.idle()["totals"]["requests"] == 44

    # When nobody at all is left, what counts is the copy that control saves every five seconds.
    saved, since = fleet.folder / "run" / "b1.scoreboard", time.time()
    while saved.stat().st_mtime < since:
        assert time.time() < since + 8
        time.sleep(0.05)
    for program in ("balancer", "balancer-control", "node-l1", "node-l2"):
        fleet.kill(program)
    fleet.start()
    assert set(ask(fleet, 6)) == {"l2"}
    shot = fleet.idle()
    assert (shot["algorithm"], shot["totals"]["requests"]) == ("least_connections", 50)
    assert (shot["nodes"][0]["admin"], shot["nodes"][0]["weight"]) == ("draining", 4)

    for program in ("balancer", "balancer-control"):
        fleet.stop(program)
    (fleet.folder / "run" / "b1.scoreboard").unlink()
    fleet.start("balancer-control", "balancer")
    assert set(ask(fleet, 6)) == {"l2"}, "the orders are on disk of their own"
    assert fleet.snapshot()["algorithm"] == "least_connections"


@pytest.mark.e2e
def test_probes_take_a_dead_node_out_and_bring_it_back(fleet_of_its_own: RunningFleet) -> None:
    fleet = fleet_of_its_own
    fleet.until(lambda shot: all(node["state"] == "up" for node in shot["nodes"]))
    fleet.kill("node-l1")
    begun = time.monotonic()
    fleet.until(lambda shot: shot["nodes"][0]["state"] == "down", within_s=2)
    assert time.monotonic() - begun < 1, "suspects are asked again at once"
    assert fleet.event("l1 is down", "3 probes failed")["who"] == "probe"
    assert "refused" in fleet.nodes()["l1"]["cause"].lower() or "connect" in fleet.nodes()["l1"]["cause"].lower()
    assert set(ask(fleet, 6)) == {"l2"}
    fleet.start("node-l1")
    fleet.until(lambda shot: shot["nodes"][0]["state"] == "up", within_s=3)
    fleet.event("l1 is up again")
    time.sleep(0.15)  # the workers look ten times a second
    assert set(ask(fleet, 6)) == {"l1", "l2"}
