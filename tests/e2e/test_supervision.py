"""kill -9 of every process, one after another: it comes back by itself, and supervisord survives it."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy import procfs
from deploy.processes import Process, Supervisor
from tests.e2e.fleet_process import FleetProcess, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcess]:
    made = FleetProcess(tmp_path_factory.mktemp("f"))
    try:
        done = made.start()
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        made.close()


def supervisor(fleet: FleetProcess) -> Supervisor:
    return Supervisor(fleet.state / "supervisor.sock")


def process(fleet: FleetProcess, name: str) -> Process:
    return next(p for p in supervisor(fleet).processes() if p.name == name)


def all_running(fleet: FleetProcess) -> bool:
    return all(p.state == "RUNNING" for p in supervisor(fleet).processes())


def kill(fleet: FleetProcess, name: str) -> int:
    """kill -9 a process that has settled (before that Supervisor pauses ahead of a restart); its pid."""
    until(lambda: all_running(fleet))
    pid = process(fleet, name).pid
    assert fleet.state == Path(procfs.environment(pid)["FAIRLEAD_STATE"])  # ours, and no other
    os.kill(pid, signal.SIGKILL)
    return pid


def nodes_of(fleet: FleetProcess) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json.loads(fleet.fairlead("status", "--json").stdout)["nodes"]
    return nodes


def port_of(fleet: FleetProcess, name: str) -> tuple[int, str]:
    nodes = {f"node-{n['name']}": n["port"] for n in fleet.raw["nodes"]}
    ports = {"balancer": fleet.balancer, "balancer-control": fleet.control, "dashboard": fleet.dashboard, **nodes}
    return ports[name], "/" if name == "node-app" else "/-/health"


@pytest.mark.parametrize("name", ["node-l1", "node-app", "balancer", "balancer-control", "dashboard"])
def test_a_killed_program_answers_again_under_a_new_pid(fleet: FleetProcess, name: str) -> None:
    supervisord = supervisor(fleet).pid()
    others = {p.name: p.pid for p in supervisor(fleet).processes() if not p.name.startswith(name)}
    port, path = port_of(fleet, name)
    old = kill(fleet, name)
    until(lambda: process(fleet, name).pid not in (0, old), 10)
    until(lambda: fleet.healthy(port, path), 10)
    assert process(fleet, name).state in ("STARTING", "RUNNING")
    assert supervisor(fleet).pid() == supervisord
    assert {p.name: p.pid for p in supervisor(fleet).processes() if not p.name.startswith(name)} == others
    until(lambda: not procfs.alive(old))
    # A dead master's workers answer on for about a second, then go; gunicorn tries to have the port every second.
    time.sleep(1.5)
    until(lambda: fleet.healthy(port, path), 5)
    assert fleet.get(fleet.balancer)[0] == 200


def test_who_stands_by_serves_when_the_balancer_dies(fleet: FleetProcess) -> None:
    until(lambda: all_running(fleet))
    standby = process(fleet, "balancer-standby").pid
    old = kill(fleet, "balancer")
    # Not one connection is refused: they wait in the kernel until the other one takes them.
    for _ in range(5):
        assert fleet.get(fleet.balancer, timeout_s=10)[0] == 200
    assert process(fleet, "balancer").pid == standby
    until(lambda: process(fleet, "balancer-standby").pid not in (0, old), 10)


def test_a_balancer_that_is_told_to_stop_finishes_beside_the_one_that_takes_over(fleet: FleetProcess) -> None:
    until(lambda: all_running(fleet))
    serving, standby = process(fleet, "balancer"), process(fleet, "balancer-standby")
    with ThreadPoolExecutor(3) as pool:  # of three in turn two come to nodes that can be told how long to take
        asked = [pool.submit(fleet.get, fleet.balancer, "/api?service_ms=6000", 20) for _ in range(3)]
        until(lambda: sum(node["in_flight"] for node in nodes_of(fleet)) == 2)
        supervisor(fleet).stop(serving.id)
        until(lambda: process(fleet, "balancer").pid == standby.pid)
        # Kept connections and new ones go over to the other; what is in hand is finished by the old one.
        assert fleet.get(fleet.balancer)[0] == 200
        assert procfs.alive(serving.pid)
        assert sum(one.done() for one in asked) == 1
        assert {one.result()[0] for one in asked} <= {200, 404}
    until(lambda: not procfs.alive(serving.pid))
    notes = json.loads(fleet.run("status.sh", "--json").stdout)["notes"]
    assert "balancer-standby: STOPPED; nobody takes over if balancer dies" in notes
    supervisor(fleet).start(serving.id)
    until(lambda: process(fleet, "balancer-standby").id == serving.id)
    until(lambda: all_running(fleet), 20)


def test_the_standby_comes_back_and_nobody_notices(fleet: FleetProcess) -> None:
    supervisord, balancer = supervisor(fleet).pid(), process(fleet, "balancer").pid
    old = kill(fleet, "balancer-standby")
    until(lambda: process(fleet, "balancer-standby").pid not in (0, old), 10)
    assert (supervisor(fleet).pid(), process(fleet, "balancer").pid) == (supervisord, balancer)
    assert fleet.get(fleet.balancer)[0] == 200
    # And the new one really holds the port: the balancer may die once more.
    kill(fleet, "balancer")
    assert fleet.get(fleet.balancer, timeout_s=10)[0] == 200
    assert supervisor(fleet).pid() == supervisord


def test_the_balancer_and_its_standby_die_in_the_same_instant(fleet: FleetProcess) -> None:
    until(lambda: all_running(fleet))
    supervisord, names = supervisor(fleet).pid(), ("balancer", "balancer-standby")
    pids = [process(fleet, name).pid for name in names]
    for pid in pids:
        assert fleet.state == Path(procfs.environment(pid)["FAIRLEAD_STATE"])
        os.kill(pid, signal.SIGKILL)
    # The dead master's worker holds the port for a second or more: Supervisor cannot open it, and tries again.
    until(lambda: all(process(fleet, name).pid not in (0, *pids) for name in names), 20)
    until(lambda: fleet.healthy(fleet.balancer, "/-/health"), 10)
    assert supervisor(fleet).pid() == supervisord
    until(lambda: all_running(fleet), 20)
    assert fleet.get(fleet.balancer)[0] == 200


def test_the_listener_comes_back(fleet: FleetProcess) -> None:
    old = kill(fleet, "fairlead-listener")
    until(lambda: process(fleet, "fairlead-listener").pid not in (0, old), 10)


def test_a_killed_worker_is_replaced_by_its_master(fleet: FleetProcess) -> None:
    until(lambda: all_running(fleet))
    master = process(fleet, "balancer").pid
    children = [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
    assert len(children) == 1
    os.kill(children[0], signal.SIGKILL)
    until(lambda: not procfs.alive(children[0]))
    assert fleet.get(fleet.balancer, timeout_s=10)[0] == 200
    assert process(fleet, "balancer").pid == master


def test_the_dashboard_is_told_within_a_second_and_the_page_will_say_so(fleet: FleetProcess) -> None:
    until(lambda: all_running(fleet))
    time.sleep(0.5)
    old = kill(fleet, "node-l2")
    told = f"node-l2 (pid {old}) exited unexpectedly; restarting"
    assert until(lambda: told in dashboard_text(fleet), 10) < 3
    until(lambda: "node-l2 runs again" in dashboard_text(fleet), 15)


def dashboard_text(fleet: FleetProcess) -> str:
    """All that the dashboard's page would show, as its own JSON."""
    token = (fleet.state / "token").read_text().strip()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(f"http://127.0.0.1:{fleet.dashboard}/?token={token}", timeout=5).close()
    with opener.open(f"http://127.0.0.1:{fleet.dashboard}/state", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def test_an_idle_supervisord_and_listener_cost_next_to_nothing(fleet: FleetProcess) -> None:
    until(lambda: all_running(fleet))
    pids = [supervisor(fleet).pid(), process(fleet, "fairlead-listener").pid]
    before = [cpu_s(pid) for pid in pids]
    time.sleep(6)
    used = [after - first for after, first in zip([cpu_s(pid) for pid in pids], before, strict=True)]
    assert max(used) < 0.06, used  # 1 % of a core


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_at_last_everything_is_well_and_restarts_were_counted(fleet: FleetProcess) -> None:
    until(lambda: all_running(fleet))
    status: dict[str, Any] = fleet.status()
    assert status["well"], json.dumps(status, indent=1)
