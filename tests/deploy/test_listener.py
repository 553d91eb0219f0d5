"""The event listener: what it says, what it counts, and that it never keeps Supervisor waiting."""

import io
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cluster.wire import ProcessReport
from deploy.processes import Process, SupervisorGone
from deploy.supervisor.listener import KEPT_EVENTS, Ledger, Sender, post, read_events


def process(name: str = "node-l1", state: str = "RUNNING", pid: int = 7) -> Process:
    return Process(name, f"{name}:{name}", state, pid, 100.0, 0.0, 5.0, "pid 7, uptime 0:00:05", "/dev/null")


def fields(name: str, **more: str) -> dict[str, str]:
    return {"processname": name, "groupname": name.rsplit("_", 1)[0], **more}


def texts(ledger: Ledger) -> list[str]:
    return [event["text"] for event in ledger.events]


def test_a_start_and_a_stop_in_good_order_make_no_noise() -> None:
    ledger = Ledger()
    for state, more in (("STARTING", {"from_state": "STOPPED", "tries": "0"}), ("RUNNING", {"pid": "7"})):
        ledger.note(f"PROCESS_STATE_{state}", fields("node-l1", **more), 1.0)
    assert texts(ledger) == []
    ledger.note("PROCESS_STATE_STOPPING", fields("node-l1", from_state="RUNNING", pid="7"), 2.0)
    ledger.note("PROCESS_STATE_STOPPED", fields("node-l1", from_state="STOPPING", pid="7"), 3.0)
    assert texts(ledger) == ["node-l1 was stopped by order"]
    assert ledger.restarts["node-l1"] == 0


def test_a_kill_is_told_with_pid_then_the_recovery_with_its_count() -> None:
    ledger = Ledger()
    ledger.note("PROCESS_STATE_EXITED", fields("node-l1", from_state="RUNNING", expected="0", pid="123"), 1.0)
    ledger.note("PROCESS_STATE_STARTING", fields("node-l1", from_state="EXITED", tries="0"), 1.1)
    ledger.note("PROCESS_STATE_RUNNING", fields("node-l1", from_state="STARTING", pid="124"), 4.0)
    assert texts(ledger) == [
        "node-l1 (pid 123) exited unexpectedly; restarting",
        "node-l1 runs again (pid 124), restart 1",
    ]
    first, second = ledger.events
    assert (first["seq"], second["seq"]) == (1, 2)
    assert (first["node"], first["kind"], first["who"], first["at"]) == ("l1", "process", "supervisor", 1.0)


def test_a_program_that_does_not_stay_up_is_told_at_each_try() -> None:
    ledger = Ledger()
    for tries in ("1", "2"):
        ledger.note("PROCESS_STATE_BACKOFF", fields("dashboard", from_state="STARTING", tries=tries), 1.0)
        ledger.note("PROCESS_STATE_STARTING", fields("dashboard", from_state="BACKOFF", tries=tries), 2.0)
    ledger.note("PROCESS_STATE_FATAL", fields("dashboard", from_state="BACKOFF"), 3.0)
    assert texts(ledger) == [
        "dashboard ended right after its start (try 1); trying again after a pause",
        "dashboard ended right after its start (try 2); trying again after a pause",
        "dashboard does not start; Supervisor gave up. Its log says why",
    ]
    assert ledger.restarts["dashboard"] == 2
    assert {event["node"] for event in ledger.events} == {None}


def test_the_two_processes_of_a_balancer_are_called_by_what_they_did_when_they_died() -> None:
    ledger = Ledger()
    serving, standby = process("balancer", pid=9), process("balancer-standby", pid=8)
    seen = [serving._replace(id="balancer:balancer_1"), standby._replace(id="balancer:balancer_0")]
    ledger.report("here", seen, 0.5)
    for half, pid in (("balancer_0", "8"), ("balancer_1", "9")):
        ledger.note("PROCESS_STATE_EXITED", fields(half, from_state="RUNNING", expected="0", pid=pid), 1.0)
    assert texts(ledger) == [
        "balancer-standby (pid 8) exited unexpectedly; restarting",
        "balancer (pid 9) exited unexpectedly; balancer-standby takes over, restarting",
    ]
    # The other one serves by then; restarts stay with the process that was restarted.
    ledger.note("PROCESS_STATE_STARTING", fields("balancer_1", from_state="EXITED", tries="0"), 2.0)
    seen = [serving._replace(id="balancer:balancer_0"), standby._replace(id="balancer:balancer_1")]
    restarts = {view["name"]: view["restarts"] for view in ledger.report("here", seen, 2.5)["processes"]}
    assert restarts == {"balancer": 0, "balancer-standby": 1}


def test_a_report_holds_every_process_and_what_was_not_yet_posted() -> None:
    ledger = Ledger()
    ledger.note("PROCESS_STATE_EXITED", fields("node-l1", from_state="RUNNING", expected="0", pid="6"), 50.0)
    ledger.note("PROCESS_STATE_STARTING", fields("node-l1", from_state="EXITED", tries="0"), 51.0)
    report = ledger.report("here", [process(), process("dashboard", "BACKOFF", 0)], 60.0)
    assert report["host"] == "here"
    assert report["at"] == 60.0
    assert report["processes"][0] == {
        "name": "node-l1",
        "state": "RUNNING",
        "pid": 7,
        "since": 51.0,
        "restarts": 1,
        "description": "pid 7, uptime 0:00:05",
    }
    assert report["processes"][1]["since"] == 100.0  # nothing heard of it: Supervisor's own word
    ledger.say("later", 61.0)
    ledger.posted(report)
    assert texts(ledger) == ["later"]


def test_while_nobody_listens_the_oldest_events_are_forgotten() -> None:
    ledger = Ledger()
    for i in range(10 * KEPT_EVENTS):
        ledger.say(str(i), 0.0)
    assert len(ledger.events) == KEPT_EVENTS
    assert texts(ledger)[-1] == str(10 * KEPT_EVENTS - 1)


def envelope(name: str, payload: str) -> str:
    head = f"ver:3.0 server:fairlead serial:1 pool:p poolserial:1 eventname:{name} len:{len(payload)}\n"
    return head + payload


def test_supervisors_protocol_each_event_is_acknowledged_before_it_is_handled() -> None:
    source = io.StringIO(
        envelope("PROCESS_STATE_RUNNING", "processname:a groupname:a from_state:STARTING pid:1")
        + envelope("TICK_5", "when:5")
    )
    sink = io.StringIO()
    said = []
    for event, payload in read_events(source, sink):
        said.append((event, payload))
        assert sink.getvalue().endswith("RESULT 2\nOK")
    assert said == [
        ("PROCESS_STATE_RUNNING", {"processname": "a", "groupname": "a", "from_state": "STARTING", "pid": "1"}),
        ("TICK_5", {"when": "5"}),
    ]
    assert sink.getvalue() == "READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n"


def test_events_that_piled_up_make_one_report_and_none_is_lost_while_the_dashboard_is_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sent: list[ProcessReport] = []
    away = True

    def send(report: ProcessReport) -> None:
        if away:
            raise ConnectionRefusedError(111, "Connection refused")
        sent.append(report)

    sender = Sender("here", lambda: [process()], send)
    for pid in ("1", "2"):
        sender.put("PROCESS_STATE_EXITED", fields("node-l1", from_state="RUNNING", expected="0", pid=pid), 1.0)
    sender.step()
    sender.put("TICK_5", {}, 5.0)
    sender.step()
    assert capsys.readouterr().err.count("has no report") == 1  # said once, not at each try
    away = False
    sender.put("TICK_5", {}, 10.0)
    sender.step()
    assert [e["text"].split(";")[0] for e in sent[0]["events"]] == [
        "node-l1 (pid 1) exited unexpectedly",
        "node-l1 (pid 2) exited unexpectedly",
    ]
    assert "has reports again" in capsys.readouterr().err
    sender.put("TICK_5", {}, 15.0)
    sender.step()
    assert sent[1]["events"] == []


def test_a_supervisor_that_is_gone_ends_nothing() -> None:
    def gone() -> list[Process]:
        raise SupervisorGone("no socket")

    sender = Sender("here", gone, lambda report: None)
    sender.put("TICK_5", {}, 0.0)
    sender.step()


def test_a_post_carries_the_token_and_the_report() -> None:
    seen: list[Any] = []

    class Dashboard(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Dashboard) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        report = Ledger().report("here", [process()], 1.0)
        post(f"http://127.0.0.1:{server.server_port}", "secret", report)
        thread.join()
    assert seen == [("/processes", "Bearer secret", "application/json", json.loads(json.dumps(report)))]


def test_it_stays_small_none_of_the_heavy_modules_is_loaded() -> None:
    code = "import sys, deploy.supervisor.listener; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded} & {
        "pydantic",
        "gevent",
        "flask",
        "jinja2",
        "rich",
        "gunicorn",
    } == set()
