"""`fab firewall` where a host is governed by ufw or by firewalld: the real ones, inside their hosts only.

Their Debian packages are unpacked and set up in the hosts of a LAN, where the machine's network is out of reach.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.lan.lan import Lan
from tests.lan.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(170)]

HOSTS = ["lb", "dash", "walled", "zoned"]
INSTALL = {
    # Its own scripts make /etc/ufw.
    "ufw": """
mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates && touch /var/lib/dpkg/status
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
DEBIAN_FRONTEND=noninteractive dpkg --install --force-depends --force-unsafe-io --no-triggers {packages}/*.deb
""",
    # Its scripts compile all of its Python, which takes longer than all else here; what matters of them is one link.
    "firewalld": """
for package in {packages}/*.deb; do
    dpkg-deb --fsys-tarfile $package | tar -x -C / --keep-directory-symlink || exit
done
cd /usr/share/polkit-1/actions
ln -s org.fedoraproject.FirewallD1.server.policy.choice org.fedoraproject.FirewallD1.policy
""",
}
START = {
    "ufw": "ufw allow 22/tcp && ufw --force enable",
    "firewalld": "mkdir -p /run/dbus && dbus-daemon --system --fork && firewalld --nopid"
    "; until firewall-cmd --state; do sleep 0.2; done",
}
SERVE = "setsid python3 -m http.server {port} >/dev/null 2>&1 &"


def fetch(package: str, folder: Path) -> None:
    """A Debian package and what this machine lacks of what it needs, as files; nothing is installed."""
    folder.mkdir()
    apt = ["apt-get", "-qq", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    plan = [*apt, "install", "--simulate", "--no-install-recommends", package]
    steps = subprocess.run(plan, check=True, capture_output=True, text=True).stdout.splitlines()
    missing = [step.split()[1] for step in steps if step.startswith("Inst ")]
    subprocess.run([*apt, "download", *missing], cwd=folder, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A balancer, a dashboard, a node behind ufw and one behind firewalld; each node's port has a server."""
    folder = tmp_path_factory.mktemp("firewalls")
    governed = {"walled": "ufw", "zoned": "firewalld"}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: fetch(name, folder / name), governed.values()))
    with Lan.up(names=HOSTS, state=folder / "lan", share=[folder / name for name in governed.values()]) as lan:
        config = {
            "fleet": "walled",
            "hosts": {h: {"address": lan.host(h).address, "connection": "ssh", "user": "root"} for h in HOSTS},
            "balancers": [{"name": "b1", "host": "lb"}],
            "nodes": [{"name": "l1", "host": "walled", "port": 5001}, {"name": "l2", "host": "zoned", "port": 5001}],
            "dashboard": {"host": "dash"},
        }
        site = Site(lan, folder, config)

        def govern(host: str) -> None:
            name = governed[host]
            site.on(host, INSTALL[name].format(packages=folder / name))
            site.on(host, START[name])
            for port in (5001, 5011):
                site.on(host, SERVE.format(port=port))

        with ThreadPoolExecutor() as pool:
            list(pool.map(govern, governed))
        yield site


def reached(site: Site, port: int) -> dict[str, list[str]]:
    """Host -> which of balancer and dashboard get through to that port of it."""
    found: dict[str, list[str]] = {}
    for host in ("walled", "zoned"):
        url = f"http://{site.lan.host(host).address}:{port}/"
        asked = {who: site.on(who, f"curl -s -o /dev/null -m 3 -w %{{http_code}} {url} || true") for who in HOSTS[:2]}
        found[host] = [who for who, code in asked.items() if code == "200"]
    return found


def test_rules_go_to_the_manager_that_governs_and_to_it_alone(site: Site) -> None:
    assert reached(site, 5001) == {"walled": [], "zoned": []}
    made = site.fab("firewall")
    assert {host: answer["manager"] for host, answer in made["firewall"].items()} == {
        "lb": "nftables",
        "dash": "nftables",
        "walled": "ufw",
        "zoned": "firewalld",
    }
    assert made["proof"] == []
    assert reached(site, 5001) == {"walled": ["lb"], "zoned": ["lb"]}
    for host in ("walled", "zoned"):
        assert "inet fairlead" not in site.on(host, "/usr/sbin/nft list tables")


def test_the_same_rules_change_nothing_and_another_port_replaces_them(site: Site) -> None:
    rules = "ufw show added 2>/dev/null || firewall-cmd --permanent --list-rich-rules"
    before = {host: site.on(host, rules) for host in ("walled", "zoned")}
    again = site.fab("firewall")
    assert {row["host"]: row["result"] for row in again["hosts"]} == dict.fromkeys(HOSTS, "unchanged")
    assert {host: site.on(host, rules) for host in ("walled", "zoned")} == before
    for node in site.config["nodes"]:
        node["port"] = 5011
    site.write_config()
    assert site.fab("firewall")["proof"] == []
    assert reached(site, 5001) == {"walled": [], "zoned": []}
    assert reached(site, 5011) == {"walled": ["lb"], "zoned": ["lb"]}
    site.fab("teardown", "--yes")
    assert site.on("walled", "ufw show added").splitlines()[1:] == ["ufw allow 22/tcp"]
    assert site.on("zoned", "firewall-cmd --list-rich-rules; firewall-cmd --permanent --list-rich-rules").strip() == ""
