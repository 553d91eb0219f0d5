"""The keeper with the real programs, without what Windows lacks, for real on Linux."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from cluster import auth
from deploy.keeper.client import Client, KeeperGone
from tests.dashboard.running import RunningDashboard
from tests.dashboard.test_dashboard_e2e import Browser
from tests.e2e.fleet_process import FleetProcess, until
from tests.windows.blocked import PROJECT
from tests.windows.served import BLOCKED

pytestmark = pytest.mark.e2e


class KeptFleet(FleetProcess):
    """balancer, control, l1, l2, a `command` node and the dashboard under a keeper."""

    def verb(self, *words: str, timeout_s: float = 110) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*BLOCKED, "deploy.keeper", *words, "--config", str(self.config)],
            env=self.environment,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def status(self) -> dict[str, Any]:
        done = self.verb("status", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["well"] else 3), done
        return found

    def processes(self) -> dict[str, Any]:
        return {process.name: process for process in Client(self.state).processes()[1]}

    def ask(self, method: str, path: str, token: str | None) -> int:
        port = json.loads((self.state / "keeper.json").read_text())["port"]
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
            return connection.getresponse().status

    def close(self) -> None:
        with suppress(KeeperGone):
            pid = Client(self.state).processes()[0]
            self.verb("stop")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self.running():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptFleet]:
    """One fleet for all tests: starting it takes seconds. Each test leaves it well."""
    made = KeptFleet(tmp_path_factory.mktemp("kept"))
    try:
        done = made.verb("start")
        assert done.returncode == 0, done
        yield made
    finally:
        made.close()


def test_status_is_that_of_a_linux_host(fleet: KeptFleet) -> None:
    status = fleet.status()
    assert status["well"], status
    assert status["running"]
    names = [program["name"] for program in status["programs"]]
    assert names == ["node-l1", "node-l2", "node-app", "balancer-control", "balancer", "dashboard"]
    from deploy.status import ProgramStatus, Status

    assert set(status) == set(Status.__annotations__)
    assert {frozenset(program) for program in status["programs"]} == {frozenset(ProgramStatus.__annotations__)}
    assert {program["state"] for program in status["programs"]} <= {"RUNNING", "STARTING"}


def test_requests_are_served(fleet: KeptFleet) -> None:
    nodes = [fleet.get(fleet.balancer, "/")[1].get("X-Fairlead-Node") for _ in range(9)]
    assert set(nodes) == {"l1", "l2", "app"}


@pytest.mark.parametrize("name", ["node-l1", "node-app", "balancer-control", "balancer", "dashboard"])
def test_a_killed_program_comes_back(fleet: KeptFleet, name: str) -> None:
    before = fleet.processes()[name].pid
    os.kill(before, signal.SIGKILL)
    until(lambda: fleet.processes()[name].pid not in (0, before), 40)
    ports = {"balancer": fleet.balancer, "balancer-control": fleet.control, "dashboard": fleet.dashboard}
    port = ports.get(name) or next(n["port"] for n in fleet.raw["nodes"] if f"node-{n['name']}" == name)
    until(lambda: fleet.healthy(port, "/" if name == "node-app" else "/-/health"), 40)
    log = (fleet.folder / "logs" / f"{name}.log").read_text()
    assert f" pid {before} starts\n" in log
    assert f" pid {fleet.processes()[name].pid} starts\n" in log


def test_the_dashboard_hears_what_happened(fleet: KeptFleet) -> None:
    url = f"http://127.0.0.1:{fleet.dashboard}"
    page = RunningDashboard.__new__(RunningDashboard)  # its way of signing in, to a dashboard that it did not start
    page.port, page.url, page.token = fleet.dashboard, url, auth.read_token(fleet.state / "token")
    os.kill(fleet.processes()["node-l2"].pid, signal.SIGKILL)

    def row() -> Any:
        browser = Browser(page)
        browser.emit("watch")
        rows = browser.next("hello")["layout"]["processes"]
        browser.socket.close()
        return next((row for row in rows if row["name"] == "node-l2"), None)

    until(lambda: (found := row()) and found["restarts"] >= 1 and found["state"] == "RUNNING", 40)


def test_only_who_has_the_token_is_obeyed(fleet: KeptFleet) -> None:
    token = auth.read_token(fleet.state / "token")
    assert fleet.ask("GET", "/processes", None) == 401
    assert fleet.ask("POST", "/stop", "wrong") == 401
    assert fleet.ask("POST", "/programs/node-l1/stop", None) == 401
    assert fleet.ask("POST", "/programs/nobody/stop", token) == 404
    assert fleet.ask("POST", "/", token) == 404
    assert fleet.ask("GET", "/processes", token) == 200


def test_a_second_keeper_finds_the_first(fleet: KeptFleet) -> None:
    before = Client(fleet.state).processes()[0]
    done = fleet.verb("run")
    assert (done.returncode, "runs already" in done.stderr) == (0, True), done
    done = fleet.verb("start")
    assert (done.returncode, "runs already" in done.stdout) == (0, True), done
    assert Client(fleet.state).processes()[0] == before


def test_a_program_is_stopped_in_order_started_and_restarted(fleet: KeptFleet) -> None:
    client, port = Client(fleet.state), fleet.raw["nodes"][0]["port"]
    said: list[Any] = []
    asking = threading.Thread(target=lambda: said.append(fleet.get(port, "/api?service_ms=1500", 20)[0]))
    asking.start()
    time.sleep(0.4)
    client.order("node-l1", "stop")
    asking.join(20)
    assert said == [200]
    until(lambda: fleet.processes()["node-l1"].state == "STOPPED")
    assert fleet.processes()["node-l1"].description == "exit status 0"
    status = fleet.status()
    assert not status["well"]
    assert any("node-l1: STOPPED" in problem for problem in status["problems"])
    client.order("node-l1", "start")
    until(lambda: fleet.healthy(port), 30)
    before = fleet.processes()["node-app"].pid
    client.order("node-app", "restart")
    until(lambda: fleet.processes()["node-app"].pid not in (0, before), 30)


def test_stop_leaves_nothing_behind_and_a_dead_keeper_neither(fleet: KeptFleet) -> None:
    assert fleet.running()
    done = fleet.verb("stop")
    assert done.returncode == 0, done
    assert "Stopped the keeper" in done.stderr
    until(lambda: not fleet.running(), 10)  # the keeper lets go of its lock a moment before its process is gone
    assert fleet.verb("stop").returncode == 0
    assert fleet.verb("run", "--unless-stopped").returncode == 0  # as the boot task tries each minute
    assert not fleet.running()
    status = fleet.verb("status")
    assert (status.returncode, "not running" in status.stdout) == (3, True), status


def test_programs_of_a_killed_keeper_end_by_themselves_and_the_boot_task_brings_them_back(fleet: KeptFleet) -> None:
    nodes = [node for node in fleet.raw["nodes"] if node["name"] != "app"]
    fleet.raw["nodes"] = nodes  # a user's own program has no way of knowing
    fleet.write_config()
    assert fleet.verb("start").returncode == 0
    before = Client(fleet.state).processes()[0]
    os.kill(before, signal.SIGKILL)
    until(lambda: not fleet.running(), 30)
    task = [*BLOCKED, "deploy.keeper", "run", "--unless-stopped", "--config", str(fleet.config)]
    keeper = subprocess.Popen(task, env=fleet.environment, cwd=PROJECT, stdin=subprocess.DEVNULL)
    until(lambda: all(fleet.healthy(node["port"]) for node in nodes), 30)
    assert Client(fleet.state).processes()[0] == keeper.pid != before
    assert fleet.verb("stop").returncode == 0
    assert keeper.wait(20) == 0


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import sys; print('no ' + 'x' * 100); sys.exit(3)")
    fleet = KeptFleet(tmp_path)
    app = fleet.raw["nodes"][2]
    fleet.raw["nodes"] = [app, fleet.raw["nodes"][0]]
    app["command"] = f"{sys.executable} {tmp_path / 'bad.py'}"
    fleet.write_config()
    try:
        done = fleet.verb("start")
        assert done.returncode == 1, done
        assert "node-app: ended right after its start (exit status 3)" in done.stderr
        assert fleet.processes()["balancer"].pid
        assert "no xxx" in (tmp_path / "logs" / "node-app.log").read_text()
    finally:
        fleet.close()
