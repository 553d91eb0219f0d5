"""A fleet on Windows' Python under Wine, driven by the .bat files. docs/windows.md says what this proves.

The order of the tests is the story, all on one fleet.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cluster import auth
from deploy.keeper.client import Client
from deploy.status import ProgramStatus, Status
from tests.dashboard.running import RunningDashboard
from tests.dashboard.test_dashboard_e2e import Browser
from tests.e2e.fleet_process import FleetProcess, until
from tests.windows.test_scripts import NETSH_ADD
from tests.windows.wine import PROJECT, STAND_INS, Wine, compile_program, installed, windows_path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]  # the first test may have the prefix to make

REQUESTS = 20_000 if os.environ.get("FAIRLEAD_FULL") == "1" else 400
"""Half of them to a node, half to the balancer."""
PARTS = (
    "cluster",
    "balancer",
    "node",
    "dashboard",
    "deploy",
    "scripts",
    "requirements.lock",
    "requirements-windows.lock",
)


class WineFleet(FleetProcess):
    """A fleet in a copy of the project whose path has a space; started and asked by the .bat files."""

    def __init__(self, folder: Path, wine: Wine) -> None:
        super().__init__(folder)
        self.wine = wine
        self.raw["hosts"] = {"here": {"address": "127.0.0.1", "os": "windows", "connection": "local"}}
        self.raw["nodes"] = self.raw["nodes"][:2]
        self.write_config()
        self.project = folder / "a kit"
        self.project.mkdir()
        for part in PARTS:
            source = PROJECT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.project / part)

    def set_up(self) -> None:
        """What `python -m venv` and pip would make; the embeddable Python lacks the first."""
        scripts = self.project / ".venv" / "Scripts"
        scripts.parent.mkdir()
        scripts.symlink_to(self.wine.python_folder)
        done = self.wine.run([self.wine.python, "-m", "deploy.windows.set_up", "--done"], cwd=self.project)
        assert done.returncode == 0, done

    def bat(self, name: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        script = windows_path(self.project / "scripts" / "windows" / f"{name}.bat")
        own = {"FAIRLEAD_STATE": windows_path(self.state), "FAIRLEAD_CONFIG": windows_path(self.config)}
        # Without `call` before it: Wine's cmd loses the exit code behind one.
        return self.wine.run(["cmd", "/c", script, *words], own | env, cwd=self.folder, timeout=100)

    def status(self) -> dict[str, Any]:
        done = self.bat("status", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["well"] else 3), done
        return found

    def processes(self) -> dict[str, Any]:
        return {process.name: process for process in Client(self.state).processes()[1]}

    def ports(self) -> dict[str, int]:
        """Of each program, in the order in which they are started."""
        nodes = {f"node-{node['name']}": node["port"] for node in self.raw["nodes"]}
        return {**nodes, "balancer-control": self.control, "balancer": self.balancer, "dashboard": self.dashboard}

    def in_flight(self) -> int:
        """Requests that nodes work on now."""
        found = [json.loads(self.get(node["port"], "/-/load")[2]) for node in self.raw["nodes"]]
        return sum(load["rif"] for load in found)

    def recorded(self, name: str, *words: str, **env: str) -> tuple[int, list[list[str]]]:
        """Exit code of a script, and the command lines that the stand-ins were given."""
        record = self.folder / "record"
        record.unlink(missing_ok=True)
        done = self.bat(name, *words, RECORD=windows_path(record), **env)
        lines = record.read_text().splitlines()
        return done.returncode, [shlex.split(line.replace("\\", "/")) for line in lines]


@pytest.fixture(scope="module")
def wine() -> Iterator[Wine]:
    made = installed()
    for name in ("net", "netsh", "schtasks"):
        compile_program(STAND_INS / "recorder.c", made.python_folder / f"{name}.exe")
    made.keep_warm()
    yield made
    made.end()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, wine: Wine) -> WineFleet:
    return WineFleet(tmp_path_factory.mktemp("wine"), wine)


def test_before_the_set_up_scripts_say_what_is_missing(fleet: WineFleet) -> None:
    # The codes are 3 and 1; Wine's cmd makes 1 of whatever a called script ends with.
    done = fleet.bat("status")
    assert (done.returncode, "Nothing is set up here yet" in done.stderr) == (1, True), done
    for env in ({}, {"FAIRLEAD_PYTHON": r"C:\no python\python.exe"}):
        done = fleet.bat("start_all", **env)
        assert (done.returncode, "Fairlead needs Python 3.11 or newer" in done.stderr) == (1, True), done


def test_the_fleet_starts_and_is_well(fleet: WineFleet) -> None:
    fleet.set_up()
    done = fleet.bat("start_all", "--config", windows_path(fleet.config))
    assert done.returncode == 0, done
    assert "Sign in: http://127.0.0.1" in done.stdout
    status = fleet.status()
    assert status["well"], status
    assert set(status) == set(Status.__annotations__)
    assert {frozenset(program) for program in status["programs"]} == {frozenset(ProgramStatus.__annotations__)}
    assert [program["name"] for program in status["programs"]] == list(fleet.ports())
    broken = fleet.folder / "broken.json"
    broken.write_text("{")
    done = fleet.bat("fairlead", "check", "--config", windows_path(broken))
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done


def test_nodes_and_balancer_answer_every_request(fleet: WineFleet) -> None:
    before = {name: process.pid for name, process in fleet.processes().items()}
    for port in (fleet.raw["nodes"][0]["port"], fleet.balancer):
        paths = [f"/{kind}?service_ms=1" for kind in ("", "api", "image", "video")] * (REQUESTS // 8)
        with ThreadPoolExecutor(8) as clients:
            codes = Counter(code for code, _, _ in clients.map(partial(fleet.get, port, timeout_s=20), paths))
        assert codes == {200: len(paths)}
    assert {fleet.get(fleet.balancer)[1]["X-Fairlead-Node"] for _ in range(4)} == {"l1", "l2"}
    assert {name: process.pid for name, process in fleet.processes().items()} == before


def test_the_dashboard_is_live(fleet: WineFleet) -> None:
    page = RunningDashboard.__new__(RunningDashboard)  # its way of signing in, to a dashboard that it did not start
    page.port, page.url = fleet.dashboard, f"http://127.0.0.1:{fleet.dashboard}"
    page.token = auth.read_token(fleet.state / "token")
    browser = Browser(page)
    browser.emit("watch")
    hello = browser.next("hello")
    assert [node["name"] for node in hello["layout"]["nodes"]] == ["l1", "l2"]
    assert browser.next("tick")[0] + 1 == browser.next("tick")[0]
    browser.socket.close()


def test_each_program_comes_back_after_a_kill(fleet: WineFleet) -> None:
    before = {name: process.pid for name, process in fleet.processes().items()}
    kill = [word for pid in before.values() for word in ("/PID", str(pid))]
    assert fleet.wine.run(["taskkill", "/F", *kill]).returncode == 0
    for name, port in fleet.ports().items():
        until(lambda name=name: fleet.processes()[name].pid not in (0, before[name]), 40)
        until(lambda port=port: fleet.healthy(port), 40)


def test_what_is_in_hand_is_finished_before_all_ends(fleet: WineFleet) -> None:
    until(lambda: fleet.get(fleet.balancer)[0] == 200, 20)
    with ThreadPoolExecutor(1) as clients:
        said = clients.submit(fleet.get, fleet.balancer, "/api?service_ms=3000", 20)
        until(lambda: fleet.in_flight() == 1)
        done = fleet.bat("stop_all")
        assert said.result(20)[0] == 200
    assert (done.returncode, "Stopped the keeper" in done.stderr) == (0, True), done
    assert not any(fleet.healthy(port) for port in fleet.ports().values())
    assert fleet.bat("status").returncode == 3


def test_netsh_and_schtasks_are_called_as_documented(fleet: WineFleet) -> None:
    fleet.raw["hosts"]["here"]["address"] = "192.168.7.10"
    fleet.write_config()
    code, lines = fleet.recorded("setup_firewall")
    assert code == 0, lines
    assert lines[0][1:] == ["session"]
    added = [line[4:] for line in lines if line[1:5] == ["advfirewall", "firewall", "add", "rule"]]
    assert [rule[1] for rule in added] == ["name=Fairlead balancer", "name=Fairlead dashboard"]  # nodes: loopback only
    assert all(NETSH_ADD.fullmatch(word) for rule in added for word in rule[1:]), added
    code, lines = fleet.recorded("install_boot_task")
    assert code == 0, lines
    assert lines[1][1:5] == ["/create", "/tn", "Fairlead", "/xml"]
    assert re.fullmatch(r"Z:/.*/run/boot_task.xml", lines[1][5])
    for name in ("setup_firewall", "install_boot_task"):
        code, lines = fleet.recorded(name, RECORD_CODE="2")
        assert (code, len(lines)) == (5, 1), lines


def test_other_lock_files_than_at_the_set_up_want_another(fleet: WineFleet) -> None:
    with (fleet.project / "requirements-windows.lock").open("a") as lock:
        lock.write("# another\n")
    done = fleet.bat("start_l1")  # there is no Python to set anything up with
    assert (done.returncode, "Fairlead needs Python 3.11 or newer" in done.stderr) == (1, True), done
