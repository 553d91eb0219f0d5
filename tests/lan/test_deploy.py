"""`fab` on a virtual LAN, from nothing to nothing: the order of the tests is the story, all on one site.

FAIRLEAD_FULL=1 makes it the full-size run, which takes half an hour: more deploys, more interruptions, every kind of
broken release. Each prints its figures (`pytest -s`).
"""

import json
import random
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.lan.fault import Fault
from lab.lan.faults import clear, inject
from lab.lan.lan import Lan
from tests.lan.site import FULL, HOSTS, Clients, Site, fetch_packages

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600 if FULL else 170)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Five bare hosts and a visitor, an operator with a checkout."""
    fetch_packages()
    folder = tmp_path_factory.mktemp("site")
    with Lan.up(names=[*HOSTS, "visitor"], state=folder / "lan") as lan:
        yield Site(lan, folder)


def results(outcome: dict[str, Any]) -> dict[str, str]:
    return {row["host"]: row["result"] for row in outcome["hosts"]}


def everywhere(site: Site, release: str) -> None:
    assert site.releases() == {host: {release} for host in HOSTS}


def browse(site: Site, host: str, url: str) -> str:
    """What Chromium on that host makes of a page, as HTML, when its scripts have run for a while."""
    alone = "--headless --no-sandbox --disable-gpu --user-data-dir=/tmp/chromium"
    return site.on(host, f"chromium {alone} --virtual-time-budget=5000 --dump-dom '{url}' 2>/dev/null")


def test_an_unknown_host_key_is_not_taken_unseen(site: Site) -> None:
    bare = site.lan.ssh_config.read_text()
    site.lan.ssh_config.write_text(re.sub(r"UserKnownHostsFile .*", "UserKnownHostsFile /dev/null", bare))
    try:
        refused = site.fab("setup", expect=4)
        assert all("its key (ssh-ed25519 SHA256:" in row["detail"] for row in refused["hosts"])
        assert not site.on("n1", "ls /opt", check=False).strip()
    finally:
        site.lan.ssh_config.write_text(bare)


def test_from_nothing_to_a_fleet_that_a_sixth_host_can_use(site: Site) -> None:
    early = site.fab("deploy", expect=4)
    assert all("`fab setup` makes that account" in row["detail"] for row in early["hosts"])
    made = site.fab("setup")
    assert set(results(made).values()) == {"changed"}
    assert set(results(site.fab("setup")).values()) == {"unchanged"}
    first = site.fab("deploy")
    print(f"first deploy {first['seconds']} s")
    assert set(results(first).values()) == {"new"}
    everywhere(site, first["release"])
    answer = site.on("visitor", f"curl -si -m 5 http://{site.lan.host('lb').address}:8080/")
    assert answer.startswith("HTTP/1.1 200")
    page = site.on("visitor", f"curl -si -m 5 http://{site.lan.host('dash').address}:8090/-/health")
    assert first["release"] in page
    seen = browse(site, "visitor", f"http://{site.lan.host('dash').address}:8090/?token={site.token()}")
    assert "3 up" in seen
    assert all(name in seen for name in ("l1", "l2", "l3"))
    assert site.fab("status")["summary"] == f"all is well on {first['release']}"


def test_the_firewall_lets_in_who_may_and_turns_away_who_may_not(site: Site) -> None:
    node, control = site.lan.host("n1").address, site.lan.host("lb").address
    probe = "curl -s -o /dev/null -m 3 -w %{http_code} http://"
    assert site.on("visitor", f"{probe}{node}:5001/ || true") == "000"
    assert site.on("visitor", f"{probe}{control}:8081/-/health || true") == "000"
    assert site.on("lb", f"{probe}{node}:5001/") == "200"
    assert site.on("dash", f"{probe}{control}:8081/-/health") == "200"
    assert site.fab("firewall")["proof"] == []


def test_the_same_content_changes_nothing(site: Site) -> None:
    before = {host: site.on(host, "pgrep -u fairlead | sort") for host in HOSTS}
    again = site.fab("deploy")
    print(f"no-op deploy {again['seconds']} s")
    assert again["summary"].startswith("0 changed: 5 hosts")
    assert {host: site.on(host, "pgrep -u fairlead | sort") for host in HOSTS} == before
    assert site.fab("plan")["exit"] == 0


def test_deploys_and_rollbacks_under_load_fail_no_request(site: Site) -> None:
    rounds = 20 if FULL else 1
    deploys, rollbacks, restarts = [], [], []
    with Clients(site, rate=400 if FULL else 60) as clients:
        for i in range(rounds):
            site.change()
            pending = site.fab("plan", expect=2) if i == 0 else None
            assert pending is None or all(plan["restart"] for plan in pending["plan"].values())
            before = site.releases()
            done = site.fab("deploy")
            deploys.append(done["seconds"])
            everywhere(site, done["release"])
            assert done["traffic"]["failed"] == 0, done["traffic"]
            back = site.fab("rollback")
            rollbacks.append(back["seconds"])
            assert site.releases() == before
            assert back["traffic"]["failed"] == 0, back["traffic"]
            if i % 4 == 0:
                restarts.append(site.fab("restart", "--programs", "balancer")["seconds"])
        seen = clients.stop()
    print(f"deploys {deploys} s, rollbacks {rollbacks} s, balancer restarts {restarts} s; clients: {seen}")
    assert seen["failed"] == 0, seen["reasons"]
    assert seen["sent"] >= (100_000 if FULL else 500)


BROKEN = {
    "import error": ("node/app.py", lambda text: "import nothing_of_that_name\n" + text, "nothing_of_that_name"),
    "health 500": (
        "node/app.py",
        lambda text: text.replace(
            'return json_response({"name": name, "release"', 'return json_response({"x": 1 / 0, "r"'
        ),
        "500 INTERNAL SERVER ERROR",
    ),
    "wrong release id": (
        "cluster/paths.py",
        lambda text: text.replace('return (PROJECT / "RELEASE").read_text().strip()', 'return "000000000000"'),
        "it says that it is release 000000000000",
    ),
    "dependency missing": (
        "node/app.py",
        lambda text: "import requests\n" + text,
        "No module named 'requests'",
    ),
    "only in earnest": (
        "node/gunicorn_conf.py",
        lambda text: text + '\nif _address != "127.0.0.1":\n    raise RuntimeError("only in earnest")\n',
        "only in earnest",
    ),
}


@pytest.mark.parametrize("kind", BROKEN if FULL else ["wrong release id", "only in earnest"])
def test_a_broken_release_is_taken_back_and_fails_no_request(site: Site, kind: str) -> None:
    path, breaks, reason = BROKEN[kind]
    good = (site.project / path).read_text()
    before = site.releases()
    with Clients(site, rate=60) as clients:
        (site.project / path).write_text(breaks(good))
        try:
            outcome = site.fab("deploy", expect=5)
        finally:
            (site.project / path).write_text(good)
        seen = clients.stop()
    print(f"{kind}: {outcome['seconds']} s, {seen}")
    assert reason in json.dumps(outcome["hosts"]) + outcome["summary"]
    assert seen["failed"] == 0, seen["reasons"]
    assert site.releases() == before
    assert site.locked() == []


def test_a_port_that_somebody_else_has_is_named_before_anything_is_touched(site: Site) -> None:
    before = site.releases()
    script = "import socket, time; s = socket.create_server(('', 5099)); print(1, flush=True); time.sleep(60)"
    with site.lan.host("n2").popen(["python3", "-c", script], stdout=-1) as squatter:
        assert squatter.stdout is not None
        squatter.stdout.readline()
        site.config["nodes"][1]["port"] = 5099
        site.write_config()
        try:
            outcome = site.fab("deploy", expect=5)
        finally:
            site.config["nodes"][1]["port"] = 5002
            site.write_config()
            squatter.kill()
    assert "port 5099 of node-l2 is used by" in outcome["summary"]
    assert site.releases() == before


def test_an_interrupted_deploy_leaves_every_host_on_one_whole_release(site: Site) -> None:
    rng = random.Random(4)
    whole_s = 20.0
    points = [rng.uniform(0.5, whole_s) for _ in range(30)] if FULL else [9.0]
    settled = []
    for i, at_s in enumerate(points):
        site.change()
        how = signal.SIGINT if i % 2 else signal.SIGKILL
        process = site.start_fab("deploy")
        time.sleep(at_s)
        process.send_signal(how)
        began = time.monotonic()
        process.communicate(timeout=60)
        site.until(
            lambda: all(len(found) == 1 for found in site.releases().values()) and not site.locked(),
            60,
            f"after {how.name} at {at_s:.1f} s",
        )
        settled.append(round(time.monotonic() - began, 1))
    print(f"interrupted at {[round(p, 1) for p in points]} s, settled after {settled} s")
    done = site.fab("deploy")
    everywhere(site, done["release"])
    assert site.fab("status")["exit"] == 0


def test_a_host_that_is_off_is_skipped_and_brought_along_later(site: Site) -> None:
    site.change()
    inject(site.lan, Fault("n3", "kill"))
    try:
        done = site.fab("deploy", expect=4)
        print(f"one host off: {done['seconds']} s")
        assert results(done)["n3"] == "unreachable"
        assert {results(done)[host] for host in HOSTS if host != "n3"} == {"changed"}
    finally:
        clear(site.lan)
    later = site.fab("deploy")
    assert results(later)["n3"] == "changed"
    everywhere(site, done["release"])


@pytest.mark.parametrize(("kind", "host"), [("freeze", "n2"), ("partition", "n3")] if FULL else [("freeze", "n2")])
def test_a_host_that_is_lost_in_mid_deploy_ends_it_and_all_go_back(site: Site, kind: str, host: str) -> None:
    before = site.releases()
    site.change()
    log = site.folder / "operator" / "fab.log"
    already = len(log.read_text())
    process = site.start_fab("deploy", "--json")
    try:
        # The canary is on the new release; this host is not, and its turn is next.
        site.until(lambda: "n1: is on" in log.read_text()[already:], 60, "the canary is switched")
        inject(site.lan, Fault(host, kind))
        began = time.monotonic()
        out, said = process.communicate(timeout=150)
    finally:
        process.kill()
        clear(site.lan)
    outcome = json.loads(out[out.index("{") :])
    print(f"{kind} in mid-deploy: ended {time.monotonic() - began:.1f} s later: {outcome['summary']}")
    assert process.returncode == 4, said
    assert results(outcome)[host] == "unreachable"
    assert results(outcome)["n1"] == "reverted"
    assert host in outcome["summary"]
    site.until(lambda: site.releases() == before and not site.locked(), 60, f"all are back after the {kind}")
    everywhere(site, site.fab("deploy")["release"])
    assert site.fab("status")["exit"] == 0


def test_whatever_is_killed_is_started_again(site: Site) -> None:
    rng = random.Random(100)
    ports = {"lb": (8080, 8081), "dash": (8090,), "n1": (5001,), "n2": (5002,), "n3": (5003,)}
    before = {host: site.processes(host) for host in HOSTS}
    rounds = 100 if FULL else 4
    took = []
    for i in range(rounds):
        host = rng.choice(HOSTS)
        told = site.processes(host)
        program = rng.choice([name for name in told if name != "supervisord"])
        asked = [f"curl -sf -m 3 -o /dev/null 127.0.0.1:{port}/-/health" for port in ports[host]]

        def back(host: str = host, program: str = program, pid: int = told[program], asked: list[str] = asked) -> bool:
            well = site.on(host, " && ".join([*asked, "echo well"]), check=False).strip() == "well"
            return well and site.processes(host)[program] not in (0, pid)

        began = time.monotonic()
        site.on(host, f"kill -9 {told[program]}")
        site.until(back, 60, f"kill {i}: {program} on {host}")
        took.append(time.monotonic() - began)
    print(f"{rounds} kills, {len(took)} recoveries, the slowest in {max(took):.1f} s")
    for host in HOSTS:
        after = site.processes(host)
        assert after.keys() == before[host].keys()
        assert after["supervisord"] == before[host]["supervisord"]
    assert site.fab("status")["exit"] == 0


def test_teardown_leaves_nothing(site: Site) -> None:
    gone = site.fab("teardown", "--yes")
    assert set(results(gone).values()) == {"changed"}
    for host in HOSTS:
        left = site.on(
            host,
            "grep -h fairlead /etc/passwd /etc/group /etc/shadow /etc/gshadow; /usr/sbin/nft list tables;"
            " ps -o user= -e | grep fairlead; true",
        )
        assert left.strip() == "", (host, left)
        # Copies of its tables that useradd makes before each change, as it does for any account.
        of_useradd = {f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")}
        assert site.files(host) - site.files_before[host] <= of_useradd
        assert site.files_before[host] - site.files(host) == set()
