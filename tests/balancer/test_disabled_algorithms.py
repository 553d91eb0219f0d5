"""An algorithm that cannot work now is disabled, with its reason, until it can."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from balancer.algorithms import ALGORITHMS
from balancer.control import make_app
from balancer.events import EventLog
from balancer.monitor import Monitor
from balancer.scoreboard import Scoreboard
from cluster.load import parse
from cluster.logs import LineLog

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard.in_memory(("l1", "l2"))


@pytest.fixture
def control(board: Scoreboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path))
    nodes = [{"name": name, "port": 5000 + n} for n, name in enumerate(board.names, 1)]
    fleet = parse(json.dumps({"balancers": [{"name": "b1"}], "nodes": nodes}))
    monitor = Monitor(fleet, fleet.balancers[0], board, EventLog(LineLog(tmp_path / "events.jsonl")))
    return make_app(monitor, "secret", "test").test_client()


def views(control: FlaskClient) -> dict[str, Any]:
    shot = control.get("/snapshot", headers=TOKEN).get_json()
    return {view["key"]: view for view in shot["algorithms"]}


def test_prequal_is_disabled_until_a_node_has_reported(control: FlaskClient, board: Scoreboard) -> None:
    before = views(control)
    assert [key for key, view in before.items() if view["disabled"]] == ["prequal"]
    assert before["prequal"]["requires"] == ["report"]
    assert "no node has reported" in before["prequal"]["disabled"]

    answer = control.post("/algorithm", headers=TOKEN, json={"algorithm": "prequal"})
    assert answer.status_code == 409
    assert before["prequal"]["disabled"] in answer.get_json()["error"]
    assert board.algorithm == ""

    board.nodes[1].report_probed({"rif": 0, "slots": 8, "service_ms": 0.0}, 5.0)
    assert [key for key, view in views(control).items() if view["disabled"]] == []
    assert control.post("/algorithm", headers=TOKEN, json={"algorithm": "prequal"}).status_code == 200
    assert board.algorithm == "prequal"


def test_what_people_are_told_stands_with_the_class(control: FlaskClient) -> None:
    for key, view in views(control).items():
        told = ALGORITHMS[key].label, ALGORITHMS[key].sentence, ALGORITHMS[key].caution
        assert (view["label"], view["sentence"], view["caution"]) == told
