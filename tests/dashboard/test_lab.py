"""The Lab: what may be ordered and by whom, faults of nodes, programs that are started and followed."""

import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient

from cluster.config import Fleet
from cluster.errors import ControlError
from cluster.paths import PROJECT
from dashboard import access, comparison, log_tail, traffic
from dashboard.access import Denied
from dashboard.app import Dashboard
from dashboard.control import Control, Refused
from dashboard.faults import NodeFaults, sentence
from dashboard.lab import Lab
from dashboard.runs import Run

TOKEN = "the-operators-token"


def fleet(**settings: Any) -> Fleet:
    nodes: list[dict[str, Any]] = [{"name": "l1", "port": 5001}, {"name": "l2", "port": 5002}]
    outside = {"name": "web", "port": 80, "runs": "external", "address": "192.0.2.1", "probe": {"path": "/"}}
    return Fleet.model_validate({"balancers": [{"name": "b1"}], "nodes": [*nodes, outside], "dashboard": settings})


class FakeNodes:
    """`/-/faults` of every node, by port; the nodes in `gone` do not answer."""

    def __init__(self) -> None:
        self.faults: dict[int, list[dict[str, Any]]] = {5001: [], 5002: []}
        self.gone: set[int] = set()

    def connect(self, host: str, port: int) -> Control:
        nodes = self

        class Client(Control):
            def call(self, method: str, path: str, body: Any = None, timeout_s: float = 3.0) -> dict[str, Any]:
                assert path == "/-/faults"
                if port in nodes.gone:
                    raise ControlError("connection refused")
                active = nodes.faults[port]
                if method == "POST":
                    if body.get("kind") != "slow":
                        raise Refused(400, "kind: not one of slow")
                    active.append({"id": len(active) + 1, "kind": "slow", "factor": 10, "probability": 1, "left_s": 60})
                    return active[-1]
                if method == "DELETE":
                    cleared = len(active)
                    active.clear()
                    return {"cleared": cleared}
                return {"faults": [dict(fault) for fault in active]}

        return Client(host, port, TOKEN)


@pytest.fixture
def nodes() -> FakeNodes:
    return FakeNodes()


@pytest.fixture
def dashboard(nodes: FakeNodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Dashboard:
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path / "run"))
    monkeypatch.setattr(
        Dashboard,
        "_make_lab",
        lambda self: Lab(
            self._fleet,
            self.picture,
            NodeFaults(self._fleet, nodes.connect, self.picture.note),
            self._session,
            lambda: None,
        ),
    )
    return Dashboard(fleet(lab=True), TOKEN)


@pytest.fixture
def client(dashboard: Dashboard) -> FlaskClient:
    made = dashboard.app.test_client()
    assert made.get(f"/?token={TOKEN}").status_code == 303
    return made


SLOW = {"node": "l1", "fault": {"kind": "slow", "factor": 10}}


def texts(dashboard: Dashboard) -> list[str]:
    return [entry.text for entry in dashboard.picture.log.newest()]


def test_a_fault_is_put_on_a_node_shown_and_cleared(
    client: FlaskClient, dashboard: Dashboard, nodes: FakeNodes
) -> None:
    assert client.post("/lab/faults", json=SLOW).status_code == 200
    assert len(nodes.faults[5001]) == 1
    assert "fault on l1: slow, 10 times as long" in texts(dashboard)
    nodes.faults[5002].append({"id": 9, "kind": "hang", "probability": 0.5, "left_s": 30})  # by somebody else
    lab = dashboard._lab
    assert lab is not None
    lab._faults.look()
    seen = lab.view(0)["lab"]["faults"]
    assert seen["l2"][0]["text"] == "hangs, 50 % of requests"
    assert 55 < seen["l1"][0]["ends_at"] - time.time() < 65
    assert client.delete("/lab/faults", json={}).status_code == 200
    assert nodes.faults == {5001: [], 5002: []}
    assert lab.view(0)["lab"]["faults"] == {}


def test_a_node_that_is_gone_keeps_what_is_known_of_it(dashboard: Dashboard, nodes: FakeNodes) -> None:
    lab = dashboard._lab
    assert lab is not None
    nodes.faults[5001].append({"id": 1, "kind": "hang", "probability": 1, "left_s": 60})
    lab._faults.look()
    nodes.gone.add(5001)
    lab._faults.look()
    assert "l1" in lab._faults.view()


def test_what_a_node_refuses_is_said(client: FlaskClient, nodes: FakeNodes) -> None:
    answered = client.post("/lab/faults", json={"node": "l1", "fault": {"kind": "fire"}})
    assert answered.status_code == 400
    assert answered.get_json()["error"] == "l1: kind: not one of slow"
    nodes.gone.add(5001)
    answered = client.post("/lab/faults", json=SLOW)
    assert (answered.status_code, "cannot be asked" in answered.get_json()["error"]) == (502, True)


@pytest.mark.parametrize("body", [[], {"node": "l1"}, {"node": 1, "fault": {}}, {"node": "web", "fault": {}}])
def test_only_simulated_nodes_can_have_faults(client: FlaskClient, body: Any) -> None:
    assert client.post("/lab/faults", json=body).status_code in (400, 404)


ORDERS = [
    (method, f"/lab/{what}", SLOW) for method in ("POST", "DELETE") for what in ("faults", "traffic", "comparison")
]


@pytest.mark.parametrize(("method", "path", "body"), ORDERS)
def test_who_only_looks_who_is_signed_out_and_other_sites_order_nothing(
    dashboard: Dashboard, nodes: FakeNodes, method: str, path: str, body: Any
) -> None:
    stranger, viewer, operator = (dashboard.app.test_client() for _ in range(3))
    assert viewer.get(f"/?token={access.view_token(TOKEN)}").status_code == 303
    assert operator.get(f"/?token={TOKEN}").status_code == 303
    assert stranger.open(path, method=method, json=body).status_code == 401
    assert viewer.open(path, method=method, json=body).status_code == 403
    foreign = {"Origin": "http://evil.example"}
    assert operator.open(path, method=method, json=body, headers=foreign).status_code == 403
    assert nodes.faults == {5001: [], 5002: []}


def test_without_the_lab_there_is_none() -> None:
    client = Dashboard(fleet(), TOKEN).app.test_client()
    assert client.get(f"/?token={TOKEN}").status_code == 303
    assert b'id="lab"' not in client.get("/").data
    assert client.post("/lab/faults", json=SLOW).status_code == 404


def test_traffic_is_started_once_and_stopped(
    client: FlaskClient, dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(Run, "start", lambda self, command, project, environment: commands.append(list(command)))
    assert client.post("/lab/traffic", json={"rps": 20, "seconds": 60}).status_code == 200
    assert commands[0][:2] == ["lab.load", "http://127.0.0.1:8080"]
    assert commands[0][commands[0].index("--rate") + 1] == "20"
    again = client.post("/lab/comparison", json={"algorithms": ["a", "b"]})
    assert again.status_code == 400  # no algorithm is known yet
    again = client.post("/lab/traffic", json={})
    assert (again.status_code, "stop it first" in again.get_json()["error"]) == (409, True)
    assert "demo traffic, 20 requests/s of general for 60 s: started" in texts(dashboard)


@pytest.mark.parametrize(
    "body", [{"rps": 0}, {"rps": 1e9}, {"rps": True}, {"seconds": 0}, {"mix": {"cake": 1}}, {"mix": {"api": 0}}]
)
def test_bad_traffic_is_refused(body: Any) -> None:
    with pytest.raises(Denied):
        traffic.checked(body)


def test_progress_of_traffic_is_its_newest_object() -> None:
    before = traffic.progress('{"offered_rps": 20, "p99_ms": NaN}', {})
    assert before == {"offered_rps": 20, "p99_ms": None}
    assert traffic.progress("talk", before) is before
    assert traffic.progress("[" * 100_000, before) is before


def test_progress_of_a_comparison_is_read_from_its_talk() -> None:
    seen = comparison.progress("120.0 requests a second, 4 blocks of 3 runs of 9.0 s", {})
    assert "part" not in seen
    seen = comparison.progress("block 1 done", seen)
    assert (seen["part"], seen["text"]) == (0.25, "block 1 done")


@pytest.mark.parametrize("keys", [None, [], ["a"], ["a", "a"], ["a", "x"], [["a"], "b"]])
def test_a_comparison_needs_two_known_algorithms(keys: Any) -> None:
    with pytest.raises(Denied):
        comparison.checked({"algorithms": keys}, ["a", "b"])


def test_a_report_is_served_without_scripts_and_nothing_beside_it(client: FlaskClient, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "reports" / "one"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<h1>faster</h1>")
    (tmp_path / "run" / "token").write_text(TOKEN)
    answered = client.get("/lab/report/one/report.html")
    assert (answered.status_code, answered.data) == (200, b"<h1>faster</h1>")
    answered.close()
    assert "script-src" not in answered.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answered.headers["Content-Security-Policy"]
    assert client.get("/lab/report/../token").status_code == 404
    assert client.get("/lab/report/%2e%2e/token").status_code == 404


@pytest.fixture
def ended() -> list[Run]:
    return []


def run(command: list[str], ended: list[Run]) -> Run:
    made = Run({"text": "x"}, traffic.progress, ended.append)
    made.start(command, PROJECT, {"PYTHONUNBUFFERED": "1"})
    return made


def wait(ended: list[Run]) -> None:
    with gevent.Timeout(20):
        while not ended:
            gevent.sleep(0.02)


def test_a_run_that_ends_well(ended: list[Run]) -> None:
    made = run(["timeit", "-n", "1", "-r", "1", "print('{\"done\": 3}')"], ended)
    wait(ended)
    assert (made.view()["state"], made.view()["progress"]) == ("done", {"done": 3})


def test_a_run_that_fails_says_its_last_words(ended: list[Run]) -> None:
    made = run(["no_such_module"], ended)
    wait(ended)
    assert made.view()["state"] == "failed"
    assert "No module named no_such_module" in made.view()["error"]


def test_a_run_can_be_stopped(ended: list[Run]) -> None:
    made = run(["timeit", "-n", "1", "-r", "1", "import time; time.sleep(60)"], ended)
    gevent.sleep(0.3)
    made.stop()
    wait(ended)
    assert made.view()["state"] == "stopped"


def test_faults_in_words() -> None:
    assert sentence({"kind": "slow", "factor": 1, "add_ms": 500, "jitter_ms": 100}) == "slow, +500 ± 100 ms"
    assert sentence({"kind": "error", "status": 503, "probability": 0.3}) == "errors, status 503, 30 % of requests"
    assert sentence({"kind": "crash", "probability": 1}) == "crashes"


def test_the_end_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(b"line %d \x1b[31m\n" % i for i in range(3000)))
    lines = log_tail.last_lines(path)
    assert len(lines) == 20
    assert lines[-1] == "line 2999 ·[31m"
    assert log_tail.last_lines(tmp_path / "none.log") == []


def test_a_tool_tells_of_a_deploy(dashboard: Dashboard) -> None:
    event = {"seq": 1, "at": 100.0, "kind": "deploy", "who": "anna", "text": "v2 on here: ok"}
    body = {"source": "deploy", "events": [event]}
    client = dashboard.app.test_client()
    assert client.post("/events", json=body).status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/events", json=body, headers=bearer).status_code == 204
    assert "v2 on here: ok" in texts(dashboard)
    far = {"source": "x", "events": [{**event, "at": 1e300}]}
    for bad in ([], {}, {"source": "x", "events": [{}]}, {"source": "x", "events": [{**event, "at": "now"}]}, far):
        assert client.post("/events", json=bad, headers=bearer).status_code == 400
