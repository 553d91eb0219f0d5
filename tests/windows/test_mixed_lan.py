"""`fab` on a virtual LAN of Linux hosts and stand-ins for Windows ones: the order of the tests is the story.

FAIRLEAD_FULL=1 makes it three Linux hosts and two stand-ins with every step; else it is one node of each kind, and the
steps that touch what differs. What a stand-in proves, docs/windows.md says.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.paths import PROJECT
from deploy import wheelhouse
from deploy.release import LOCK, WINDOWS_LOCK, Environment
from lab.lan.lan import Lan
from tests.lan.site import FULL, Clients, Site, fetch_packages
from tests.windows import stand_in_host
from tests.windows.wine import installed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900 if FULL else 300)]
LINUX = ["lb", "lin1", "dash"] if FULL else ["lb", "lin1"]
WINDOWS = ["win1", "win2"] if FULL else ["win1"]
HOSTS = [*LINUX, *WINDOWS]
NODE_HOSTS = [host for host in HOSTS if host not in ("lb", "dash")]
WITHIN_S = 300


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


def test_setup_and_the_first_deploy(site: Site) -> None:
    assert set(results(site.fab("setup", within_s=WITHIN_S)).values()) == {"changed"}
    first = site.fab("deploy", within_s=WITHIN_S)
    print(f"first deploy {first['seconds']} s")
    assert set(results(first).values()) == {"new"}
    names = [f"200 l{i}" for i in range(1, len(NODE_HOSTS) + 1)]
    assert set(served_by(site, 4 * len(names))) == set(names)
    said = site.fab("status")
    assert said["summary"] == f"all is well on {first['release']}"
    rules = stand_in_host.told(site.lan.host("win1"))["rules"]
    assert [rule[0] for rule in rules] == [f"name=Fairlead node-l{NODE_HOSTS.index('win1') + 1}"]


def test_a_deploy_under_load_fails_no_request(site: Site) -> None:
    clients = Clients(site, rate=20)
    site.change()
    done = site.fab("deploy", within_s=WITHIN_S)
    seen = clients.stop()
    print(f"deploy {done['seconds']} s, traffic {done['traffic']}; clients: {seen}")
    assert set(results(done).values()) == {"changed"}
    assert done["traffic"]["failed"] == 0, done["traffic"]
    assert seen["failed"] == 0, seen["reasons"]


def test_teardown_leaves_nothing(site: Site) -> None:
    assert set(results(site.fab("teardown", "--yes")).values()) == {"changed"}
    for host in WINDOWS:
        assert stand_in_host.told(site.lan.host(host)) == {"rules": [], "tasks": {}}
        assert site.on(host, f"ls {stand_in_host.DRIVE} | grep -i fairlead; true") == ""
