"""start_all, status, stop_all as a person meets them, with real Supervisor and gunicorn."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import procfs
from tests.e2e.fleet_process import SCRIPTS, FleetProcess, free_ports, until

pytestmark = pytest.mark.e2e


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetProcess]:
    made = FleetProcess(tmp_path)
    yield made
    made.close()


def test_one_command_starts_it_the_second_says_so_and_stop_leaves_nothing(fleet: FleetProcess) -> None:
    first = fleet.start()
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert len(lines) + len(first.stderr.splitlines()) <= 20
    assert f"http://127.0.0.1:{fleet.balancer}/" in first.stdout
    token = (fleet.state / "token").read_text().strip()
    assert f"http://127.0.0.1:{fleet.dashboard}/?token={token}" in first.stdout

    answered_by = {fleet.get(fleet.balancer)[1].get("X-Fairlead-Node") for _ in range(6)}
    assert answered_by == {"l1", "l2", "app"}

    status = fleet.status()
    assert status["well"], status
    assert not status["config_changed"]
    assert [p["name"] for p in status["programs"]] == [
        "node-l1",
        "node-l2",
        "node-app",
        "balancer-control",
        "balancer",
        "dashboard",
        "fairlead-listener",
    ]
    before = fleet.pids()

    again = fleet.start()
    assert (again.returncode, "runs already" in again.stdout) == (0, True)
    assert f"http://127.0.0.1:{fleet.dashboard}/?token={token}" in again.stdout
    assert fleet.pids() == before

    fleet.raw["nodes"][0]["weight"] = 5
    fleet.write_config()
    changed = fleet.start("--lan")
    assert changed.returncode == 0
    assert "config.json has changed since the start. To apply it:" in changed.stdout
    assert "listens on 127.0.0.1 only" in changed.stdout
    assert fleet.status()["config_changed"]

    listening = [port for port in (fleet.balancer, fleet.control, fleet.dashboard) if procfs.holder(port)]
    assert len(listening) == 3
    stopped = fleet.run("stop_all.sh")
    assert (stopped.returncode, "Stopped 8 programs and supervisord" in stopped.stderr) == (0, True)
    assert fleet.running() == []
    assert [procfs.holder(port) for port in listening] == [None] * 3
    assert not (fleet.state / "supervisor.sock").exists()

    nothing = fleet.run("stop_all.sh")
    assert (nothing.returncode, nothing.stderr.strip()) == (0, "Nothing runs: there is nothing to stop")
    done = fleet.run("status.sh", "--config", str(fleet.config))
    assert (done.returncode, "not running: scripts/linux/start_all.sh" in done.stdout) == (3, True)


def test_taken_ports_are_all_named_with_holder_and_key_and_nothing_starts(fleet: FleetProcess) -> None:
    with socket.create_server(("127.0.0.1", fleet.balancer)), socket.create_server(("127.0.0.1", fleet.dashboard)):
        done = fleet.start()
    assert done.returncode == 1
    assert f"{fleet.balancer} (balancer) is used by pid {os.getpid()}" in done.stderr
    assert "else change balancers[0].port" in done.stderr
    assert f"{fleet.dashboard} (dashboard) is used by pid {os.getpid()}" in done.stderr
    assert "else change dashboard.port" in done.stderr
    assert fleet.running() == []


def test_a_bad_config_ends_with_2_and_every_problem(fleet: FleetProcess) -> None:
    fleet.raw["nodes"][0]["prot"] = 1
    fleet.raw["nodes"][1]["port"] = 0
    fleet.write_config()
    for done in (fleet.start(), fleet.fairlead("check")):
        assert done.returncode == 2
        assert 'nodes[0].prot  unknown key; did you mean "port"?' in done.stderr
        assert "nodes[1].port" in done.stderr
        assert done.stdout == ""
    fleet.raw["nodes"] = fleet.raw["nodes"][2:]
    fleet.raw["balancers"][0]["algorithm"] = "round_robbin"
    fleet.write_config()
    unknown = fleet.start()
    assert (unknown.returncode, 'did you mean "round_robin"?' in unknown.stderr) == (2, True), unknown.stderr
    assert fleet.running() == []


def test_a_program_that_dies_is_named_with_its_state_and_log_and_the_rest_stays_up(fleet: FleetProcess) -> None:
    die = "print('one'); print('the reason why'); raise SystemExit(3)"
    fleet.raw["nodes"][2]["command"] = f'{sys.executable} -c "{die}"'
    fleet.write_config()
    done = fleet.start()
    assert done.returncode == 1
    assert "node-app  BACKOFF: Exited too quickly (exit status 3)" in done.stderr
    assert "the reason why" in done.stderr
    assert "Up and left running: node-l1, node-l2, balancer-control, balancer, dashboard" in done.stderr
    assert len(done.stderr.splitlines()) < 25
    assert fleet.get(fleet.balancer)[0] == 200
    status = fleet.status()
    assert not status["well"]
    assert [p["name"] for p in status["programs"] if not p["well"]] == ["node-app"]
    assert any(problem.startswith("node-app: BACKOFF") for problem in status["problems"])


def test_a_socket_path_that_is_too_long_has_a_way_out(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    fleet = FleetProcess(deep)
    done = fleet.start()
    assert done.returncode == 1
    assert "Set FAIRLEAD_STATE to a shorter folder" in done.stderr
    assert fleet.running() == []


def test_ctrl_c_during_the_start_stops_what_was_started(fleet: FleetProcess) -> None:
    # A node that never answers keeps the start waiting.
    fleet.raw["nodes"][2]["command"] = "sleep 1000"
    fleet.write_config()
    command = [str(SCRIPTS / "start_all.sh"), "--no-open", "--config", str(fleet.config)]
    start = subprocess.Popen(command, env=fleet.environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: fleet.healthy(fleet.balancer))
    time.sleep(0.5)
    os.killpg(start.pid, signal.SIGINT)
    _, said = start.communicate(timeout=60)
    assert start.returncode == 130
    assert "Interrupted: stopping what was started." in said
    assert "Stopped 8 programs" in said
    assert "Traceback" not in said
    assert fleet.running() == []


def test_what_a_dead_supervisord_left_is_cleared_by_stop_and_by_the_next_start(fleet: FleetProcess) -> None:
    for clear in ("stop_all.sh", "start_all.sh"):
        assert fleet.start().returncode == 0
        supervisord = fleet.status()["supervisor_pid"]
        left = set(fleet.running()) - {supervisord}
        os.kill(supervisord, signal.SIGKILL)
        until(lambda pid=supervisord: not procfs.alive(pid))  # type: ignore[misc]
        alone = fleet.status()
        assert not alone["running"]
        assert "supervisord is gone" in alone["problems"][0]
        done = fleet.run(clear, *(() if clear == "stop_all.sh" else ("--no-open", "--config", str(fleet.config))))
        assert done.returncode == 0, done.stderr
        assert "Supervisor is gone, ending" in done.stderr
        assert not left & set(fleet.running())
    assert fleet.status()["well"]


def test_a_supervisord_that_hangs_is_not_taken_for_a_dead_one(fleet: FleetProcess) -> None:
    assert fleet.start().returncode == 0
    supervisord, running = fleet.status()["supervisor_pid"], fleet.running()
    os.kill(supervisord, signal.SIGSTOP)
    assert f"supervisord (pid {supervisord}) does not answer" in fleet.status()["problems"][0]
    done = fleet.start()
    assert (done.returncode, "stop_all.sh ends it" in done.stderr) == (1, True), done.stderr
    assert fleet.running() == running  # what serves is left alone
    os.kill(supervisord, signal.SIGCONT)
    until(lambda: fleet.status()["well"])
    shutil.rmtree(fleet.state)  # its socket and pid file are lost, it is not
    assert f"supervisord (pid {supervisord}) does not answer" in fleet.status()["problems"][0]
    assert fleet.start().returncode == 1
    assert fleet.run("stop_all.sh").returncode == 0
    assert fleet.running() == []


def test_a_fleet_without_a_ready_node_is_not_well(fleet: FleetProcess) -> None:
    fleet.raw["nodes"] = fleet.raw["nodes"][:2]
    fleet.write_config()
    assert fleet.start().returncode == 0
    assert fleet.fairlead("drain", "l1").returncode == 0
    until(lambda: fleet.status()["notes"] != [])
    status = fleet.status()
    assert (status["well"], status["notes"]) == (
        True,
        ["balancer: not ready l1; scripts/linux/fairlead status says why"],
    )
    assert fleet.fairlead("drain", "l2").returncode == 0
    until(lambda: not fleet.status()["well"])
    assert fleet.status()["problems"] == ["balancer: no node is ready; scripts/linux/fairlead status says why"]


def test_lan_opens_balancer_and_dashboard_and_nothing_else(fleet: FleetProcess) -> None:
    assert fleet.start("--lan").returncode == 0
    ports = {"balancer": fleet.balancer, "dashboard": fleet.dashboard, "control": fleet.control}
    ports |= {node["name"]: node["port"] for node in fleet.raw["nodes"]}
    addresses = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        address, port = local.split(":")
        addresses.setdefault(int(port, 16), set())
        if state == "0A":
            addresses[int(port, 16)].add(socket.inet_ntoa(bytes.fromhex(address)[::-1]))
    found = {name: addresses[port] for name, port in ports.items()}
    assert found == {
        "balancer": {"0.0.0.0"},
        "dashboard": {"0.0.0.0"},
        "control": {"127.0.0.1"},
        "l1": {"127.0.0.1"},
        "l2": {"127.0.0.1"},
        "app": {"127.0.0.1"},
    }
    assert fleet.status()["lan"]


def test_one_node_by_hand_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    fleet = FleetProcess(tmp_path)
    (port,) = free_ports(1)
    command = [str(SCRIPTS / "start_l1.sh"), "--config", str(fleet.config)]
    environment = fleet.environment | {"PORT": str(port)}
    node = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: fleet.healthy(port))
    assert json.loads(fleet.get(port, "/-/health")[2])["name"] == "l1"
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (again.returncode, f"{port} is used by pid {node.pid}" in again.stderr) == (1, True), again.stderr
    os.killpg(node.pid, signal.SIGINT)
    _, said = node.communicate(timeout=30)
    assert node.returncode == 0
    assert f"l1 (general) on http://127.0.0.1:{port}/" in said
    assert fleet.running() == []


def test_the_command_fairlead_on_a_real_fleet(fleet: FleetProcess) -> None:
    assert fleet.start().returncode == 0
    snapshot = json.loads(fleet.fairlead("status", "--json").stdout)
    assert {n["name"] for n in snapshot["nodes"]} == {"l1", "l2", "app"}
    assert "algorithm round_robin" in fleet.fairlead("status").stdout
    assert fleet.fairlead("algorithm", "least_connections").stdout == "algorithm is now least_connections\n"
    assert 'did you mean "least_connections"?' in fleet.fairlead("algorithm", "least_conections").stderr
    assert fleet.fairlead("drain", "l1", "--wait").stdout == "l1 is draining (draining, 0 in flight)\n"
    answered_by = [fleet.get(fleet.balancer)[1]["X-Fairlead-Node"] for _ in range(6)]
    assert "l1" not in answered_by
    assert json.loads(fleet.fairlead("weight", "l2", "7", "--json").stdout)["weight"] == 7
    assert fleet.fairlead("enable", "l1").stdout.startswith("l1 is enabled")
    events = [json.loads(line) for line in fleet.fairlead("events", "--json").stdout.splitlines()]
    assert {"algorithm", "admin", "weight"} <= {event["kind"] for event in events}
    last = events[-1]["seq"]
    assert fleet.fairlead("events", "--after", str(last)).stdout == ""
    assert fleet.run("stop_all.sh").returncode == 0
    gone = fleet.fairlead("status")
    assert gone.returncode == 1
    assert "control does not answer" in gone.stderr
    assert "scripts/linux/start_all.sh" in gone.stderr
