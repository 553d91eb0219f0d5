"""Every program without gunicorn and without what Windows lacks, for real on Linux."""

import http.client
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.running import RunningDashboard
from tests.dashboard.test_dashboard_e2e import Browser, post
from tests.fleet import HERE, fleet_config
from tests.windows.blocked import NOT_ON_WINDOWS, PROJECT
from tests.windows.served import BLOCKED, ServedFleet, environment

pytestmark = pytest.mark.e2e

SLOW = "/api?service_ms=1200"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[ServedFleet]:
    nodes = [{"name": "l1"}, {"name": "l2"}, {"name": "l3"}]
    made = ServedFleet(tmp_path, fleet_config(nodes, workers=1))
    try:
        made.start()
        yield made
    finally:
        made.close()
    assert not made.tracebacks(), made.tracebacks()


def ask(port: int, path: str = "/api", timeout_s: float = 20) -> tuple[int, str]:
    """Status and the node that answered."""
    with closing(http.client.HTTPConnection(HERE, port, timeout=timeout_s)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["X-Fairlead-Node"] or ""


def rif(port: int) -> int:
    """Requests in flight in a node."""
    with urllib.request.urlopen(f"http://{HERE}:{port}/-/load", timeout=10) as answer:
        return int(json.load(answer)["rif"])


def refused(port: int) -> bool:
    try:
        ask(port, timeout_s=2)
    except ConnectionRefusedError:
        return True
    return False


class Asking(threading.Thread):
    """One request in the background."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.answer: tuple[int, str] | Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = ask(self.port, SLOW)
        except Exception as error:
            self.answer = error

    def result(self) -> tuple[int, str] | Exception | None:
        self.join(20)
        return self.answer


@pytest.mark.parametrize("name", NOT_ON_WINDOWS)
def test_the_blocker_refuses_what_windows_lacks(tmp_path: Path, name: str) -> None:
    module = PROJECT / "tests" / "windows"
    done = subprocess.run(
        [*BLOCKED, "tests.windows.asks_for", name], capture_output=True, text=True, cwd=PROJECT, timeout=20
    )
    assert done.returncode == 1, done
    assert f"{name} does not exist on Windows" in done.stderr
    assert str(module) in done.stderr  # the file that asked


def test_requests_are_balanced_orders_are_obeyed_and_figures_add_up(fleet: ServedFleet) -> None:
    answers = [ask(fleet.port) for _ in range(18)]
    assert sorted(answers) == [(200, "l1")] * 6 + [(200, "l2")] * 6 + [(200, "l3")] * 6
    fleet.switch("least_connections")
    fleet.order("l2", admin="draining")
    fleet.until(lambda shot: [n["state"] for n in shot["nodes"]] == ["up", "draining", "up"])
    # Ties are broken by chance: that 40 of them all go one way happens once in 10^12 runs.
    assert {ask(fleet.port) for _ in range(40)} == {(200, "l1"), (200, "l3")}
    shot = fleet.idle()
    assert shot["totals"]["requests"] == 18 + 40
    assert shot["totals"]["errors"] == 0
    assert len(shot["workers"]) == 1


def test_a_balancer_that_is_told_to_stop_answers_what_is_in_flight(fleet: ServedFleet) -> None:
    asked = [Asking(fleet.port) for _ in range(3)]
    fleet.until(lambda shot: shot["totals"]["in_flight"] == 3)
    fleet.say_stop("balancer")
    assert sorted(map(str, (one.result() for one in asked))) == ["(200, 'l1')", "(200, 'l2')", "(200, 'l3')"]
    assert fleet.processes["balancer"].wait(20) == 0
    assert refused(fleet.port)


def test_a_node_finishes_what_it_has_in_hand_however_it_is_told(fleet: ServedFleet) -> None:
    ports = {node["name"]: node["port"] for node in fleet.config["nodes"]}
    tell = {"l1": fleet.say_stop, "l2": fleet.hang_up, "l3": lambda name: fleet.processes[name].terminate()}
    asked = {name: Asking(port) for name, port in ports.items()}
    end = time.monotonic() + 5
    while min(rif(port) for port in ports.values()) < 1:
        assert time.monotonic() < end
        time.sleep(0.02)
    for name in ports:
        tell[name](f"node-{name}")
    for name, port in ports.items():
        assert asked[name].result() == (200, "")  # the balancer would name the node
        assert fleet.processes[f"node-{name}"].wait(20) == 0, fleet.printed(f"node-{name}")
        assert refused(port)


def test_counts_survive_a_killed_balancer(fleet: ServedFleet) -> None:
    assert {ask(fleet.port)[0] for _ in range(7)} == {200}
    fleet.idle()
    fleet.processes["balancer"].kill()
    fleet.processes["balancer"].wait(10)
    fleet.hang_up("balancer")
    fleet.start("balancer")
    assert ask(fleet.port)[0] == 200
    assert fleet.idle()["totals"]["requests"] == 8


def test_a_port_that_is_taken_is_said_and_ends_it(fleet: ServedFleet) -> None:
    for module in (["balancer.serve", "traffic"], ["balancer.serve", "control"], ["node.serve"]):
        done = subprocess.run(
            [*BLOCKED, *module],
            cwd=PROJECT,
            env=environment(fleet.folder, FAIRLEAD_NODE="l1"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 1, done
        assert "ddress already in use" in done.stderr
        assert "Traceback" not in done.stderr


class ServedDashboard(RunningDashboard):
    command = (*BLOCKED, "dashboard.serve")


def test_the_dashboard_serves_its_page_and_its_socket(tmp_path: Path) -> None:
    running = ServedDashboard(tmp_path)
    try:
        running.start()
        request = urllib.request.Request(running.url, headers={"Cookie": running.cookie()})
        with urllib.request.urlopen(request, timeout=10) as page:
            assert "<title>" in page.read().decode()
        browser = Browser(running)
        browser.emit("watch")
        hello: Any = browser.next("hello")
        assert [n["name"] for n in hello["layout"]["nodes"]] == ["l1", "l2", "l3"]
        first, second = browser.next("tick"), browser.next("tick")
        assert second[0] == first[0] + 1
        assert post(running, "/actions/algorithm", {"algorithm": "dynamic"}, Cookie=running.cookie()) == 200
        assert browser.next("change")["algorithm"] == "dynamic"
        assert running.stop() < 6
        assert "Traceback" not in running.log(), running.log()
    finally:
        running.close()


def test_usage(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "balancer.serve", "trafic"], cwd=PROJECT, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert "traffic | control" in done.stderr
