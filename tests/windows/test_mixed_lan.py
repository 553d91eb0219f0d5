"""`fab` on a virtual LAN of Linux hosts and stand-ins for Windows ones: the order of the tests is the story.

FAIRLEAD_FULL=1 makes it three Linux hosts and two stand-ins with every step; else it is one node of each kind, and the
steps that touch what differs. What a stand-in proves, docs/windows.md says.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cluster.paths import PROJECT
from deploy import wheelhouse
from deploy.release import LOCK, WINDOWS_LOCK, Environment
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
NODE_PIDS = "pgrep -f 'm node[.]serve' | tr '\\n' ' '"
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


def test_a_killed_program_comes_back(site: Site) -> None:
    for host in WINDOWS:
        before = site.on(host, NODE_PIDS)
        site.on(host, f"kill -9 {before}")
        site.until(lambda host=host, before=before: site.on(host, NODE_PIDS, check=False) not in ("", before), 40, host)
    site.until(lambda: site.fab("status", expect=None)["exit"] == 0, 90, "all is well")


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

    def test_what_is_in_hand_is_finished_when_a_node_is_restarted(site: Site) -> None:
        number = NODE_HOSTS.index("win1") + 1
        url = f"http://{site.lan.host('win1').address}:{5000 + number}/api?service_ms=8000"
        with ThreadPoolExecutor(1) as client:  # past the balancer, which would drain it first
            ask = ["curl", "-s", "-o", "/dev/null", "-m", "30", "-w", "%{http_code}", url]
            said = client.submit(site.lan.operator.run, ask)
            site.fab("restart", "--hosts", "win1", within_s=WITHIN_S)
            assert said.result(30).stdout == "200"

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
        site.until(lambda: site.fab("status", expect=None)["exit"] == 0, 90, "all is well")

    @pytest.mark.parametrize(
        "words",
        [
            "status",
            "logs",
            "audit",
            "releases",
            "drain --hosts win1",
            "enable --hosts win1",
            "exec ver --hosts win1,win2",
        ],
    )
    def test_a_verb(site: Site, words: str) -> None:
        site.fab(*words.split())

    def test_the_proof_of_the_firewall_names_what_a_stand_in_lets_through(site: Site) -> None:
        proof = site.fab("firewall", expect=1)["proof"]
        addresses = [site.lan.host(host).address for host in WINDOWS]
        assert proof
        assert all(any(f"-> {address}:" in line for address in addresses) for line in proof), proof

    def test_doctor_finds_nothing_wrong_with_a_stand_in(site: Site) -> None:
        problems = site.fab("doctor", expect=3)["problems"]  # no systemd on the Linux hosts of this LAN
        assert [problem for problem in problems if problem["host"] in WINDOWS] == []


def test_teardown_leaves_nothing(site: Site) -> None:
    assert set(results(site.fab("teardown", "--yes")).values()) == {"changed"}
    for host in WINDOWS:
        assert stand_in_host.told(site.lan.host(host)) == {"rules": [], "tasks": {}}
        assert site.on(host, f"ls {stand_in_host.DRIVE} | grep -i fairlead; true") == ""
