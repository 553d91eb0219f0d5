"""`fab` on a virtual LAN of Linux hosts and stand-ins for Windows ones: the order of the tests is the story.

FAIRLEAD_FULL=1 makes it three Linux hosts and two stand-ins with every step; else it is one node of each kind, and the
steps that touch what differs. What a stand-in proves, docs/windows.md says.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.paths import PROJECT
from deploy import wheelhouse
from deploy.release import LOCK, WINDOWS_LOCK, Environment
from lab.lan import faults
from lab.lan.fault import Fault
from lab.lan.lan import Lan
from tests.lan.site import FULL, Clients, Site, fetch_packages
from tests.windows import stand_in_host
from tests.windows.wine import installed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500 if FULL else 300)]
LINUX = ["lb", "lin1", "dash"] if FULL else ["lb", "lin1"]
WINDOWS = ["win1", "win2"] if FULL else ["win1"]
HOSTS = [*LINUX, *WINDOWS]
NODE_HOSTS = [host for host in HOSTS if host not in ("lb", "dash")]
WITHIN_S = 500
COMMAND_LINES = {
    "keeper": "fairlead/launch.py",
    "node": "-m node.serve",
    "balancer-control": "-m balancer.serve control",
    "balancer": "-m balancer.serve traffic",
    "dashboard": "-m dashboard.serve",
}
"""How each kind of program that a Windows host can run is told apart in the list of its processes."""
LOOKS = Path(__file__).with_name("layout_of_dashboard.py")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Bare hosts of both kinds, an operator with a checkout."""
    wine = installed()
    fetch_packages()
    both = Environment((PROJECT / LOCK).read_text() + (PROJECT / WINDOWS_LOCK).read_text())
    wheelhouse.archive(both, wheelhouse.Target("3.11.9", "AMD64", "windows"))
    folder = tmp_path_factory.mktemp("site")
    own = stand_in_host.programs(folder / "programs")
    shells = {host: stand_in_host.shell(wine, own) for host in WINDOWS}
    with Lan.up(names=HOSTS, state=folder / "lan", share=stand_in_host.share(wine, own), shells=shells) as lan:
        with ThreadPoolExecutor(len(WINDOWS)) as pool:
            list(pool.map(stand_in_host.boot, map(lan.host, WINDOWS)))
        hosts = {
            host: {"address": lan.host(host).address, "connection": "ssh", "user": "root", "os": system}
            for system, names in (("linux", LINUX), ("windows", WINDOWS))
            for host in names
        }
        nodes = [{"name": f"l{i}", "host": host, "port": 5000 + i} for i, host in enumerate(NODE_HOSTS, 1)]
        balancers = [{"name": "b1", "host": "lb", "algorithm": "round_robin"}]
        config = {"fleet": "lan", "hosts": hosts, "balancers": balancers, "nodes": nodes}
        yield Site(lan, folder, {**config, "dashboard": {"host": "dash"}} if FULL else config)


def results(outcome: dict[str, Any]) -> dict[str, str]:
    return {row["host"]: row["result"] for row in outcome["hosts"]}


def served_by(site: Site, count: int) -> list[str]:
    """Who answers so many requests to the balancer, one after the other."""
    url = f"http://{site.lan.host('lb').address}:8080/"
    ask = f"curl -s -o /dev/null -m 10 -w '%{{http_code}} %header{{x-fairlead-node}}\\n' {url}"
    said = site.lan.operator.run(["sh", "-c", f"for i in $(seq {count}); do {ask}; done"]).stdout
    return said.splitlines()


def replaced_under_load(site: Site, verb: str) -> None:
    """Another release on every host, while clients ask: none of their requests fails."""
    with Clients(site, rate=20) as clients:
        done = site.fab(verb, within_s=WITHIN_S)
        seen = clients.stop()
    print(f"{verb} {done['seconds']} s, traffic {done.get('traffic')}; clients: {seen}")
    assert set(results(done).values()) == {"changed"}
    assert seen["failed"] == 0, seen["reasons"]


def test_setup_and_the_first_deploy(site: Site) -> None:
    assert set(results(site.fab("setup", within_s=WITHIN_S)).values()) == {"changed"}
    first = site.fab("deploy", within_s=WITHIN_S)
    print(f"first deploy {first['seconds']} s")
    assert set(results(first).values()) == {"new"}
    names = [f"200 l{i}" for i in range(1, len(NODE_HOSTS) + 1)]
    said: set[str] = set()
    # A node that has just come up is given its share little by little (slow start).
    site.until(lambda: said.update(served_by(site, 2 * len(names))) or set(names) <= said, 60, "all nodes serve")
    assert said == set(names)
    assert site.fab("status")["summary"] == f"all is well on {first['release']}"
    rules = stand_in_host.told(site.lan.host("win1"))["rules"]
    assert [rule[0] for rule in rules] == [f"name=Fairlead node-l{NODE_HOSTS.index('win1') + 1}"]


def killed(site: Site, host: str, program: str) -> None:
    """End it as a crash would, and wait until another process is there in its place."""
    look = f"pgrep -f -- {COMMAND_LINES[program].replace('.', '[.]')!r}"
    before = site.on(host, look).split()
    site.on(host, f"kill -9 {' '.join(before)}")

    def another() -> bool:
        now = site.on(host, look, check=False).split()
        return bool(now) and not set(now) & set(before)

    site.until(another, 100, f"{program} on {host}")


def until_well(site: Site) -> None:
    site.until(lambda: site.fab("status", expect=None)["exit"] == 0, 90, "all is well")


@pytest.mark.parametrize("program", ["node", "keeper"])  # the keeper by the boot task, which repeats each minute
def test_a_killed_program_comes_back(site: Site, program: str) -> None:
    for host in WINDOWS:
        killed(site, host, program)
    until_well(site)


if FULL:

    def test_a_deploy_under_load_fails_no_request(site: Site) -> None:
        site.change()
        replaced_under_load(site, "deploy")

    def test_the_same_content_changes_nothing(site: Site) -> None:
        again = site.fab("deploy", within_s=WITHIN_S)
        print(f"no-op deploy {again['seconds']} s")
        assert again["summary"].startswith("0 changed")
        assert site.fab("plan")["exit"] == 0

    def test_a_broken_release_is_refused_on_trial(site: Site) -> None:
        path = site.project / "node" / "kinds.py"
        good = path.read_text()
        path.write_text(good + "raise SystemError('broken')\n")
        refused = site.fab("deploy", expect=5, within_s=WITHIN_S)
        path.write_text(good)
        print(f"broken release {refused['seconds']} s: {refused['summary']}")
        assert all(line.startswith("200") for line in served_by(site, 8))

    def test_rollback_fails_no_request(site: Site) -> None:
        replaced_under_load(site, "rollback")

    @contextmanager
    def a_request_in_hand(site: Site) -> Iterator[None]:
        """win1's node works on one, whatever the block does: it must be answered whole."""
        node = f"http://{site.lan.host('win1').address}:{5001 + NODE_HOSTS.index('win1')}"
        operator = site.lan.operator  # past the balancer, which would drain the node first
        ask = ["curl", "-s", "-o", "/dev/null", "-m", "30", "-w", "%{http_code}", f"{node}/api?service_ms=8000"]
        with ThreadPoolExecutor(1) as client:
            said = client.submit(operator.run, ask)  # which raises when curl finds the answer cut short
            load = ["curl", "-s", f"{node}/-/load"]
            site.until(lambda: json.loads(operator.run(load).stdout)["rif"] == 1, 8, "it is in hand")
            yield
            assert said.result(30).stdout == "200"

    def test_what_is_in_hand_is_finished_when_a_node_is_restarted(site: Site) -> None:
        with a_request_in_hand(site):
            site.fab("restart", "--hosts", "win1", within_s=WITHIN_S)

    def test_what_is_in_hand_is_finished_when_the_keeper_is_told_to_stop(site: Site) -> None:
        with a_request_in_hand(site):
            site.fab("restart", "--supervisor", "--hosts", "win1", within_s=WITHIN_S)
        until_well(site)

    def test_the_dashboard_shows_both_kinds_alike(site: Site) -> None:
        token = site.folder / "token"
        token.write_text(site.on("dash", "cat /opt/fairlead/shared/run/token"))
        look = [sys.executable, str(LOOKS), site.lan.host("dash").address, str(token)]
        found = json.loads(site.lan.operator.run(look, cwd=PROJECT).stdout)
        rows = {(row["host"], row["name"]): row for row in found["processes"]}
        for i, host in enumerate(NODE_HOSTS, 1):
            assert rows[host, f"node-l{i}"]["state"] == "RUNNING", rows
        assert len({frozenset(row) for row in rows.values()}) == 1
        assert {node["host"] for node in found["nodes"]} == set(NODE_HOSTS)

    def test_status_tells_of_a_node_that_the_balancer_does_not_reach(site: Site) -> None:
        port = 5001 + NODE_HOSTS.index("win1")
        table = "add table inet closed; add chain inet closed in {{ type filter hook input priority -5; }};"
        rule = f"add rule inet closed in iifname eth0 tcp dport {port} drop"
        site.on("win1", f"/usr/sbin/nft '{table.format()} {rule}'")
        try:
            site.until(lambda: site.fab("status", expect=None)["exit"] == 1, 90, "the balancer's probes fail")
            (row,) = (row for row in site.fab("status", expect=1)["hosts"] if row["host"] == "win1")
            print(row["detail"])
            assert "answers on its host, but is down for balancer b1" in row["detail"]
        finally:
            site.on("win1", "/usr/sbin/nft delete table inet closed")
        until_well(site)

    @pytest.mark.parametrize(
        "words",
        [
            "status",
            "audit",
            "releases",
            "drain --hosts win1",
            "enable --hosts win1",
            "exec ver --hosts win1,win2",
        ],
    )
    def test_a_verb(site: Site, words: str) -> None:
        site.fab(*words.split())

    def test_logs_of_both_kinds_of_hosts(site: Site) -> None:
        told = site.fab("logs", "--programs", ",".join(f"node-l{i}" for i, _ in enumerate(NODE_HOSTS, 1)))["logs"]
        lines = {host: [*programs.values()] for host, programs in told.items() if host in NODE_HOSTS}
        assert [*lines] == NODE_HOSTS
        assert all(said for (said,) in lines.values()), lines

    def test_the_proof_of_the_firewall_names_what_a_stand_in_lets_through(site: Site) -> None:
        proof = site.fab("firewall", expect=1)["proof"]
        addresses = [site.lan.host(host).address for host in WINDOWS]
        assert proof
        assert all(any(f"-> {address}:" in line for address in addresses) for line in proof), proof

    def test_doctor_finds_nothing_wrong_with_a_stand_in(site: Site) -> None:
        problems = site.fab("doctor", expect=3)["problems"]  # no systemd on the Linux hosts of this LAN
        assert [problem for problem in problems if problem["host"] in WINDOWS] == []

    def test_a_windows_host_carries_every_kind_of_program(site: Site) -> None:
        site.config["balancers"].append({"name": "b2", "host": "win2", "algorithm": "round_robin"})
        site.config["dashboard"] = {"host": "win2"}
        site.write_config()
        site.fab("setup", within_s=WITHIN_S)  # rules for who is new
        site.fab("deploy", within_s=WITHIN_S)
        (rows,) = (rows for host, rows in site.fab("status")["programs"].items() if host == "win2")
        assert {row["name"].partition("-l")[0] for row in rows} == {*COMMAND_LINES} - {"keeper"}

    @pytest.mark.parametrize("program", COMMAND_LINES)
    def test_each_kind_of_program_comes_back_after_a_kill(site: Site, program: str) -> None:
        killed(site, "win2", program)
        until_well(site)

    def test_after_a_power_cut_the_boot_task_brings_all_back(site: Site) -> None:
        faults.inject(site.lan, Fault("win2", "kill"))
        faults.clear(site.lan)
        stand_in_host.boot(site.lan.host("win2"))
        until_well(site)


def test_teardown_leaves_nothing(site: Site) -> None:
    assert set(results(site.fab("teardown", "--yes")).values()) == {"changed"}
    for host in WINDOWS:
        left = stand_in_host.told(site.lan.host(host))
        assert left == {"rules": [], "tasks": {}}, stand_in_host.story(site.lan.host(host))
        assert site.on(host, f"ls {stand_in_host.DRIVE} | grep -i fairlead; true") == ""
