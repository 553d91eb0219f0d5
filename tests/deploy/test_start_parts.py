"""The parts of a start that need no Supervisor: ports, browser, summary, addresses, health."""

import io
import json
import os
import socket
import subprocess
import sys
import threading
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster import pair, paths
from cluster.config import Fleet
from cluster.errors import ConfigError, StartError
from cluster.load import parse
from cluster.programs import Program, Role, programs_of
from deploy import addresses, browser, health, local, summary
from deploy.agent.place import tail
from deploy.fleet_here import Here, Started, digest, read_fleet
from deploy.processes import Process, Supervisor, SupervisorGone, shown_names
from deploy.start import check_ports
from deploy.status import _problem, _row

HERE = Here(state=Path("/s/run"), logs=Path("/s/logs"), project=Path("/p"))


def fleet(**parts: Any) -> Fleet:
    small: dict[str, Any] = {"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}], "dashboard": {}}
    return parse(json.dumps({**small, **parts}))


def test_every_taken_port_is_named_at_once_with_its_holder_and_its_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]
        described = fleet(nodes=[{"name": "l1", "port": first}], balancers=[{"name": "b1", "control_port": second}])
        with pytest.raises(StartError) as caught:
            check_ports(described, [p for p in programs_of(described) if p.port in (first, second)], lan=False)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("Nothing was started: 2 ports cannot be had")
    assert lines[1].startswith(f"  {first} (node-l1) is used by pid {os.getpid()} (")
    assert lines[1].endswith("else change nodes[0].port")
    assert lines[2].endswith("else change balancers[0].control_port")
    check_ports(described, [p for p in programs_of(described) if p.port in (first, second)], lan=False)


@pytest.mark.parametrize(
    ("environment", "somebody"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ""}, False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "a b"}, False),
        ({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, False),
        ({"DISPLAY": ":0", "CI": "true"}, False),
    ],
)
def test_a_browser_is_opened_only_where_somebody_sees_it(environment: dict[str, str], somebody: bool) -> None:
    assert browser.has_viewer(environment) is somebody


def test_a_text_browser_would_take_the_terminal_and_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSH_CONNECTION", "SSH_TTY", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    opened: list[str] = []

    class Graphical(webbrowser.BackgroundBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            opened.append(url)
            return True

    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("lynx"))
    assert browser.open_page("http://x/") is False
    monkeypatch.setattr(webbrowser, "get", lambda: Graphical("firefox"))
    assert browser.open_page("http://x/") is True
    assert opened == ["http://x/"]


def test_the_summary_says_where_everything_is() -> None:
    described = fleet()
    lines = summary.running(described, programs_of(described), "T0KEN", HERE, lan=False, took_s=2.34)
    text = "\n".join(lines)
    assert "runs after 2.3 s" in lines[0]
    for wanted in (
        "http://127.0.0.1:8080/",
        "http://127.0.0.1:8081",
        "http://127.0.0.1:8090/?token=T0KEN",
        "l1 general :5001",
        "curl -i http://127.0.0.1:8080/",
        "stop_all.sh",
        "/s/logs/",
        "start with --lan",
    ):
        assert wanted in text


def test_it_has_at_most_twenty_lines_even_for_a_large_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "lan_address", lambda: "192.168.1.20")
    nodes = [{"name": f"node-with-a-long-name-{i}", "port": 10000 + i} for i in range(200)]
    balancers = [{"name": "b1"}, {"name": "b2", "port": 8082, "control_port": 8083}]
    big = fleet(nodes=nodes, balancers=balancers)
    lines = summary.running(big, programs_of(big), "T", HERE, lan=True, already=True)
    assert len(lines) <= 20 - 2  # room for what a second start adds
    assert "200 nodes in all" in "\n".join(lines)
    assert all(len(line) < 130 for line in lines)
    assert "http://192.168.1.20:8082/" in "\n".join(lines)
    assert "http://192.168.1.20:8090/?token=T" in "\n".join(lines)


def test_it_says_what_belongs_to_other_hosts_or_has_no_dashboard() -> None:
    spread = fleet(
        hosts={"here": {}, "pc": {"address": "10.0.0.2", "connection": "ssh"}},
        nodes=[{"name": "l1", "port": 5001}, {"name": "l2", "port": 5001, "host": "pc"}],
        dashboard=None,
    )
    text = "\n".join(summary.running(spread, programs_of(spread, ("here",)), "T", HERE, lan=False))
    assert "belong to other hosts: l2" in text
    assert "l2 general 10.0.0.2:5001" in text
    assert "dashboard" not in text


def test_the_lan_address_is_never_loopback() -> None:
    found = addresses.lan_address()
    assert found is None or not found.startswith("127.")


def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text("{}")
    started = Started(str(file), digest(file), lan=False, at=1.0)
    assert not started.config_changed
    file.write_text("{ }")
    assert started.config_changed
    file.unlink()
    assert started.config_changed


def test_what_was_started_is_remembered_and_damage_is_no_error(tmp_path: Path) -> None:
    here = Here(state=tmp_path, logs=tmp_path, project=tmp_path)
    assert here.started() is None
    started = Started("/c.json", "abc", lan=True, at=1.5)
    here.write_started(started)
    assert here.started() == started
    (tmp_path / "started.json").write_text('{"config": 1')
    assert here.started() is None


def test_a_config_without_this_machine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    raw = {
        "hosts": {"here": {"connection": "ssh"}},
        "balancers": [{"name": "b1"}],
        "nodes": [{"name": "l1", "port": 1}],
    }
    file.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match='"connection": "local"'):
        read_fleet(file)


def test_only_one_start_at_a_time_and_a_state_folder_that_cannot_be(tmp_path: Path) -> None:
    here = Here(state=tmp_path / "run", logs=tmp_path, project=tmp_path)
    order = []
    with here.alone():
        waiting = threading.Thread(target=lambda: _enter(here, order))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StartError, match="set FAIRLEAD_STATE"),
        Here(tmp_path / "file" / "x", tmp_path, tmp_path).alone(),
    ):
        pass


def _enter(here: Here, order: list[str]) -> None:
    with here.alone():
        order.append("second")


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {i}\n" for i in range(20000)))
    assert tail(log, 2) == ["line 19998", "line 19999"]
    assert tail(tmp_path / "none", 2) == []
    log.write_text("old\nnew\n\n")
    assert tail(log, 15, after=4) == ["new"]
    assert tail(log, 15, after=4000) == ["old", "new"]  # rotated meanwhile


class Quiet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "role", "well"),
    [
        (200, Role.DASHBOARD, True),
        (204, Role.NODE, True),
        (302, Role.NODE, True),
        (302, Role.DASHBOARD, False),
        (404, Role.NODE, False),
        (503, Role.BALANCER, False),
    ],
)
def test_health_is_what_a_program_answers(status: int, role: Role, well: bool) -> None:
    with HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        answer = health.ask(Program("p", role, "here", "p", server.server_port, "", f"/{status}"))
        thread.join()
    assert answer.well is well
    assert answer.text.startswith(str(status))


@pytest.mark.parametrize(
    ("body", "ready"),
    [(b'{"ready": ["l1"]}', ("l1",)), (b'{"ready": []}', ()), (b"{}", None), (b"not JSON", None), (b"[]", None)],
)
def test_a_balancer_says_which_nodes_are_ready(body: bytes, ready: tuple[str, ...] | None) -> None:
    class Balancer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Balancer) as server:
        threading.Thread(target=server.handle_request).start()
        answer = health.ask(Program("b", Role.BALANCER, "here", "b", server.server_port, "", "/-/health"))
    assert answer == health.Answer(True, "200 OK", ready)


def test_health_of_what_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        program = Program("p", Role.NODE, "here", "p", port, "", "/x")
        assert health.ask(program, timeout_s=0.2) == health.Answer(False, "no answer within 0.2 s")
        assert health.ask(Program("p", Role.NODE, "here", "p", port, "", None)).well  # an open port must do
    assert health.ask(program) == health.Answer(False, "nothing listens")
    assert health.ask(Program("p", Role.LISTENER, "here", "p", None, "", None)).well


def test_names_for_people(tmp_path: Path) -> None:
    pids = {"node-l1:node-l1": 5, "balancer.b1:balancer.b1_0": 6, "balancer.b1:balancer.b1_1": 7}
    one, first, second = pids
    nobody_yet = {one: "node-l1", first: "balancer.b1", second: "balancer.b1-standby"}
    assert shown_names(pids, tmp_path) == nobody_yet
    pair.serving_file(tmp_path, "balancer.b1").write_text("7")
    assert shown_names(pids, tmp_path) == {one: "node-l1", first: "balancer.b1-standby", second: "balancer.b1"}
    assert shown_names({**pids, second: 8}, tmp_path) == nobody_yet
    pair.serving_file(tmp_path, "balancer.b1").write_text("0")
    assert shown_names({**pids, second: 0}, tmp_path) == nobody_yet


def test_a_missing_dead_or_silent_supervisor_is_gone_in_time(tmp_path: Path) -> None:
    with pytest.raises(SupervisorGone):
        Supervisor(tmp_path / "none.sock").pid()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s.sock"))
        with pytest.raises(SupervisorGone):
            Supervisor(tmp_path / "s.sock").pid()
        silent.listen()
        with pytest.raises(SupervisorGone, match="timed out"):
            Supervisor(tmp_path / "s.sock", timeout_s=0.2).processes()


def test_usage_errors_end_with_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(io.BytesIO()))
    for wrong in ([], ["begin"], ["start", "--lam"], ["stop", "--lan"]):
        with pytest.raises(SystemExit) as caught:
            local.main(wrong)
        assert caught.value.code == 2
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path / "run"))
    assert local.main(["start", "--config", str(tmp_path / "none.json")]) == 2


def test_a_full_disk_or_a_closed_pipe_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path / "run"))

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device", str(tmp_path / "run" / "token"))

    monkeypatch.setattr("deploy.start.start", full)
    assert local.main(["start"]) == 1
    assert capsys.readouterr().err == f"{tmp_path}/run/token: No space left on device\n"
    command = [sys.executable, "-m", "deploy.local", "status", "--json"]
    with subprocess.Popen(command, cwd=paths.PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as status:
        assert status.stdout is not None
        status.stdout.close()
        assert status.stderr is not None
        assert status.stderr.read() == b""


def test_a_program_that_was_stopped_has_no_time_of_day_for_an_answer() -> None:
    listener = next(p for p in programs_of(fleet()) if p.role is Role.LISTENER)
    stopped = Process(listener.name, "x:x", "STOPPED", 0, 1.0, 2.0, 0.0, "Nov 22 10:28 PM", "/logs/x.log")
    row = _row(listener, stopped, health.Answer(False, ""))
    assert row["answer"] == ""
    assert _problem(row, stopped) == f"{listener.name}: STOPPED; its log: /logs/x.log"
