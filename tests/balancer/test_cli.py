"""The command fairlead, against a stand-in for the control API that speaks the shapes of cluster/wire.py."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from balancer import cli
from cluster import wire

TOKEN = "secret"
WINDOW = wire.Window(seconds=10, rps=12.5, errors_per_s=0, p50_ms=1.25, p95_ms=20, p99_ms=None)


def node(name: str, **changes: Any) -> wire.NodeView:
    view = wire.NodeView(
        name=name,
        kind="general",
        runs="simulated",
        host="here",
        address="127.0.0.1:5001",
        admin="enabled",
        health="up",
        state="up",
        ready=True,
        cause="",
        since=0.0,
        ejected_for_s=0.0,
        weight=1,
        weight_in_file=1,
        slow_start=1.0,
        slots=8,
        in_flight=0,
        attempts=3,
        errors=0,
        bad_answers=0,
        retried=0,
        window=WINDOW,
        report=None,
        report_age_s=None,
        level="L0",
    )
    view.update(changes)  # type: ignore[typeddict-item]
    return view


def snapshot(nodes: list[wire.NodeView]) -> wire.Snapshot:
    def algorithm(key: str) -> wire.AlgorithmView:
        return wire.AlgorithmView(key=key, label=key, sentence="", caution="", needs=[], requires=[], disabled="")

    return wire.Snapshot(
        fleet="local",
        balancer="b1",
        boot="A",
        release="dev",
        at=0.0,
        uptime_s=1.0,
        last_event=2,
        algorithm="round_robin",
        algorithm_in_file="dynamic",
        algorithms=[algorithm("round_robin"), algorithm("least_connections")],
        ejection_bypassed=False,
        totals=wire.Totals(
            requests=9, errors=1, rejected=0, aborted=0, retries=0, bytes_in=0, bytes_out=0, in_flight=0, connections=0
        ),
        window=WINDOW,
        workers=[],
        nodes=nodes,
    )


class StandIn(BaseHTTPRequestHandler):
    """Keeps what it was asked; a drained node has one request less in flight each time it is looked at."""

    def do_GET(self) -> None:
        if self.path.startswith("/snapshot"):
            self.answer(200, snapshot([dict(n) for n in self.server.nodes]))  # type: ignore[attr-defined,misc]
            for each in self.server.nodes:  # type: ignore[attr-defined]
                each["in_flight"] = max(0, each["in_flight"] - 1)
        else:
            self.server.asked.append(self.path)  # type: ignore[attr-defined]
            pages = self.server.events  # type: ignore[attr-defined]
            self.answer(200, pages.pop(0)) if pages else self.answer(503, {"error": "no more"})

    def do_POST(self) -> None:
        self.answer(200, {"algorithm": self.body()["algorithm"], "seq": 3})

    def do_PATCH(self) -> None:
        wanted, name = self.body(), self.path.rpartition("/")[2]
        found = next(n for n in self.server.nodes if n["name"] == name)  # type: ignore[attr-defined]
        if wanted.get("weight") == 13:
            return self.answer(400, {"error": "13 brings bad luck"})
        found.update({k: v for k, v in wanted.items() if k != "who"})
        return self.answer(200, found)

    def body(self) -> Any:
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.command, self.path, value))  # type: ignore[attr-defined]
        return value

    def answer(self, status: int, value: object) -> None:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, value = 401, {"error": "wrong token"}
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(cli, "DRAIN_POLL_S", 0.0)
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        server.nodes, server.asked, server.events = [node("l1"), node("video-2", weight=2)], [], []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("FAIRLEAD_URL", f"http://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()
        thread.join()


def test_status_shows_every_node_uncut_even_into_a_pipe(control: Any, capsys: pytest.CaptureFixture[str]) -> None:
    control.nodes[0].update(state="down", cause="[refused] " + "x" * 60, address="a-long-name.example.lan:65535")
    assert cli.main(["status"]) == 0
    out = capsys.readouterr().out
    assert "algorithm round_robin (in the file: dynamic)" in out
    assert "9 requests · 1 errors" in out
    assert "p50 1.2" in out
    row = next(line for line in out.splitlines() if line.startswith("l1"))
    assert "a-long-name.example.lan:65535" in row
    assert "down" in row
    assert "[refused] " + "x" * 60 in row
    assert "\x1b" not in out


def test_status_as_json_is_the_snapshot(control: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nodes"][1]["weight"] == 2


def test_a_switch_is_confirmed_by_the_answer_and_says_who(control: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["algorithm", "least_connections"]) == 0
    assert capsys.readouterr().out == "algorithm is now least_connections\n"
    ((method, path, body),) = control.asked
    assert (method, path, body["algorithm"]) == ("POST", "/algorithm", "least_connections")
    assert body["who"].endswith("@" + os.uname().nodename)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["algorithm", "least_conn"], 'no algorithm is called "least_conn"; did you mean "least_connections"? known: '),
        (["drain", "vidio-2"], 'no node is called "vidio-2"; did you mean "video-2"? known: l1, video-2'),
        (["weight", "zz", "1"], 'no node is called "zz"; known: l1, video-2'),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    control: Any, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert (out, says in err) == ("", True), err
    assert control.asked == []


@pytest.mark.parametrize(
    ("word", "admin"), [("drain", "draining"), ("maintenance", "maintenance"), ("enable", "enabled")]
)
def test_the_three_orders(control: Any, capsys: pytest.CaptureFixture[str], word: str, admin: str) -> None:
    assert cli.main([word, "l1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["admin"] == admin
    assert control.asked[0][:2] == ("PATCH", "/nodes/l1")
    assert control.asked[0][2].keys() == {"admin", "who"}


def test_drain_with_wait_shows_what_is_left_until_nothing_is(control: Any, capsys: pytest.CaptureFixture[str]) -> None:
    control.nodes[0]["in_flight"] = 3
    assert cli.main(["drain", "l1", "--wait"]) == 0
    out, err = capsys.readouterr()
    assert out == "l1 is draining (up, 0 in flight)\n"
    assert err.splitlines()[-1] == "l1: 1 in flight"


def test_drain_that_takes_too_long_ends_with_1(control: Any, capsys: pytest.CaptureFixture[str]) -> None:
    control.nodes[0]["in_flight"] = 10**9
    assert cli.main(["drain", "l1", "--wait", "--timeout", "0"]) == 1
    assert "still has" in capsys.readouterr().err


def test_weight(control: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weight", "l1", "0"]) == 0
    assert capsys.readouterr().out == "l1 has weight 0 (1 in the file)\n"
    assert cli.main(["weight", "l1", "13"]) == 1
    assert capsys.readouterr().err == "control said no (400): 13 brings bad luck\n"
    for wrong in ("-1", "257", "many"):
        with pytest.raises(SystemExit) as caught:
            cli.main(["weight", "l1", wrong])
        assert caught.value.code == 2


def event(seq: int, text: str) -> wire.Event:
    return wire.Event(seq=seq, at=0.0, kind="admin", node=None, who="me", text=text)


def test_events_are_one_line_each_or_one_object_each(control: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = wire.Events(boot="A", events=[event(1, "one"), event(2, "zwei ü")])
    control.events = [page, page]
    assert cli.main(["events"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["1", "2"]
    assert cli.main(["events", "--json"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["one", "zwei ü"]


def test_following_goes_on_after_the_last_and_survives_a_new_control(
    control: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    control.events = [
        wire.Events(boot="A", events=[event(1, "one")]),
        wire.Events(boot="A", events=[event(2, "two")]),
        wire.Events(boot="B", events=[]),  # asked for those after 2, of which the new one knows nothing
        wire.Events(boot="B", events=[event(1, "new")]),
    ]
    assert cli.main(["events", "-f"]) == 1  # the stand-in ends it by saying no
    out, err = capsys.readouterr()
    assert [line.split()[3] for line in out.splitlines()] == ["one", "two", "new"]
    assert "control was restarted" in err
    asked = [path.partition("?after=")[2].split("&wait_s=") for path in control.asked]
    assert asked == [["0", "0"], ["1", "20"], ["2", "20"], ["0", "20"], ["1", "20"]]


def test_a_control_that_does_not_run_is_said_with_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FAIRLEAD_URL", raising=False)
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path))
    (tmp_path / "token").write_text(TOKEN)
    config = write(tmp_path, balancers=[{"name": "b1", "control_port": 1}])
    assert cli.main(["status", "--config", config]) == 1
    err = capsys.readouterr().err
    assert "control does not answer at http://127.0.0.1:1 " in err
    assert "scripts/linux/start_all.sh" in err


def test_the_wrong_token_is_explained(control: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("other")
    assert cli.main(["status"]) == 1
    assert "does not take this token: either FAIRLEAD_STATE is not that of the fleet" in capsys.readouterr().err


def test_a_missing_token_is_said_and_none_is_made(control: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "token").unlink()
    assert cli.main(["status"]) == 1
    assert "token is not there. scripts/linux/start_all.sh makes it" in capsys.readouterr().err
    assert not (tmp_path / "token").exists()


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:1", "http://[::1"])
def test_a_bad_url_is_an_error_and_no_traceback(control: Any, capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert cli.main(["status", "--url", url]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_server_that_is_no_control_api(monkeypatch: pytest.MonkeyPatch, control: Any, capsys: Any) -> None:
    monkeypatch.setattr(StandIn, "do_GET", lambda self: (self.send_response(200), self.end_headers()))
    assert cli.main(["status"]) == 1
    assert "is it a control API?" in capsys.readouterr().err


def write(tmp_path: Path, **parts: Any) -> str:
    raw = {"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}], **parts}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    return str(tmp_path / "config.json")


def test_several_balancers_must_be_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FAIRLEAD_URL", raising=False)
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path))
    (tmp_path / "token").write_text(TOKEN)
    config = write(
        tmp_path,
        balancers=[{"name": "b1", "control_port": 1}, {"name": "b2", "port": 3, "control_port": 2}],
    )
    assert cli.main(["status", "--config", config]) == 2
    assert "say which: b1, b2" in capsys.readouterr().err
    assert cli.main(["status", "--config", config, "--balancer", "b3"]) == 2
    assert 'did you mean "b2"' in capsys.readouterr().err
    assert cli.main(["status", "--config", config, "--balancer", "b2"]) == 1
    assert "http://127.0.0.1:2 " in capsys.readouterr().err


def test_check_says_what_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(
        tmp_path,
        hosts={"here": {}, "pc": {"address": "10.0.0.2", "connection": "ssh"}},
        nodes=[
            {"name": "l1", "port": 5001},
            {"name": "app", "port": 5002, "host": "pc", "runs": "command", "command": "x [a]", "probe": {"path": "/"}},
            {"name": "far", "port": 80, "runs": "external", "address": "10.0.0.9", "probe": {"path": "/"}},
        ],
    )
    assert cli.main(["check", "--config", config]) == 0
    out = capsys.readouterr().out
    assert "config.json is fine" in out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "here 127.0.0.1 node-l1 5001 general" in rows
    assert "pc 10.0.0.2 node-app 5002 general: x [a]" in rows
    assert "- 10.0.0.9 (external) far 80 general" in rows
    assert cli.main(["check", "--json", "--config", config]) == 0
    programs = json.loads(capsys.readouterr().out)["programs"]
    assert [p["name"] for p in programs] == ["node-l1", "node-app", "balancer-control", "balancer"]


def test_check_reports_all_problems_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, nodes=[{"name": "l1", "port": 0}, {"name": "l1", "port": 2, "knd": "api"}])
    assert cli.main(["check", "--config", config]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "config.json: 3 problems"
    assert cli.main(["check", "--config", str(tmp_path / "none.json")]) == 2


def test_check_knows_the_algorithms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, balancers=[{"name": "b1", "algorithm": "round_robbin"}])
    assert cli.main(["check", "--config", config]) == 2
    err = capsys.readouterr().err
    assert 'balancers[0].algorithm  "round_robbin" is not an algorithm; did you mean "round_robin"?' in err


def test_check_looks_at_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.pem").write_text("no certificate")
    for key, says in (("k.pem", "k.pem is not there or cannot be read"), ("c.pem", "these cannot be used: ")):
        tls = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / key)}
        config = write(tmp_path, balancers=[{"name": "b1", "tls": tls, "algorithm": "weihgted"}])
        assert cli.main(["check", "--config", config]) == 2
        err = capsys.readouterr().err
        assert says in err
        assert err.startswith("config.json: 2 problems")


def test_usage_errors_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ([], ["stats"], ["drain"], ["weight", "l1"], ["status", "--jsn"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(wrong)
        assert caught.value.code == 2


def test_the_command_imports_nothing_of_the_data_path() -> None:
    import subprocess
    import sys

    code = "import sys, balancer.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.split(".")[0] in ("balancer", "deploy", "node", "dashboard")}
    pure = {name for name in ours if name.startswith("balancer.algorithms")}
    assert ours - pure == {"balancer", "balancer.cli", "balancer.cli_client", "balancer.cli_tables"}
    assert not {"gevent", "flask", "gunicorn", "httptools"} & set(loaded)
