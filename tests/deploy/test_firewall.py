"""Who may connect to which port, for every firewall manager."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cluster.config import Fleet
from cluster.load import parse
from deploy.firewall import Rule, lan_addresses, nftables, refused_network, rules, wanted
from deploy.hosts.linux import Linux

LAN, OPERATOR = "10.0.0.0/24", "10.0.0.99"


def fleet(**parts: Any) -> Fleet:
    names = ["lb", "dash", "n1"]
    described: dict[str, Any] = {
        "hosts": {name: {"address": f"10.0.0.{i}", "connection": "ssh"} for i, name in enumerate(names, 1)},
        "balancers": [{"name": "b1", "host": "lb"}],
        "nodes": [{"name": "l1", "host": "n1", "port": 5001}],
        "dashboard": {"host": "dash"},
    }
    return parse(json.dumps(described | parts))


def of(host: str, described: Fleet | None = None) -> list[Rule]:
    described = described or fleet()
    return rules(described, host, LAN, OPERATOR, lan_addresses(described, {}))


def test_the_lan_may_use_balancer_and_dashboard_and_nothing_else() -> None:
    assert of("dash") == [Rule(8090, (LAN,), "dashboard")]
    assert of("n1") == [Rule(5001, ("10.0.0.1", OPERATOR), "node-l1")]
    assert of("lb") == [Rule(8081, ("10.0.0.2", OPERATOR), "balancer-control"), Rule(8080, (LAN,), "balancer")]


def test_what_listens_on_loopback_needs_no_rule() -> None:
    alone = fleet(dashboard={"host": "lb"})
    assert [rule.port for rule in of("lb", alone)] == [8080, 8090]


def test_what_a_host_says_of_its_own_address_counts() -> None:
    assert lan_addresses(fleet(), {"lb": "10.0.0.77"}) == {"lb": "10.0.0.77", "dash": "10.0.0.2", "n1": "10.0.0.3"}


def test_our_table_names_our_ports_alone_and_replaces_itself_whole() -> None:
    text = nftables(of("n1"))
    assert text.index("delete table inet fairlead") < text.index("table inet fairlead {")
    assert "policy accept" in text  # SSH, and everything else, is none of our business
    assert "ip saddr { 10.0.0.1, 10.0.0.99 } tcp dport 5001 accept" in text
    ports = {word for line in text.splitlines() if "dport" in line for word in line.split() if word.isdigit()}
    assert ports == {"5001"}


def test_nft_takes_the_rules(tmp_path: Path) -> None:
    nft = shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin")
    assert nft, "nftables must be installed"
    path = tmp_path / "rules.nft"
    path.write_text(nftables(of("lb")))
    # In a network namespace of its own: --check asks the kernel.
    done = subprocess.run(["unshare", "-n", nft, "--check", "--file", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_same_rules_for_ufw_and_firewalld() -> None:
    rendered = wanted(of("n1"), Linux())
    assert rendered["ufw"][0] == ["from", "10.0.0.1", "to", "any", "port", "5001", "proto", "tcp"]
    assert len(rendered["ufw"]) == len(rendered["firewalld"]) == 2
    assert all('log prefix="fairlead"' in rule and rule.endswith("accept") for rule in rendered["firewalld"])
    assert rendered["digest"] != wanted(of("lb"), Linux())["digest"]


@pytest.mark.parametrize("lan", ["", "0.0.0.0/0", "8.8.8.0/24", "nonsense", "10.0.0.0/7"])
def test_the_whole_world_is_never_let_in(lan: str) -> None:
    assert refused_network(lan)


def test_private_networks_are_let_in() -> None:
    assert [refused_network(lan) for lan in ("10.0.0.0/24", "192.168.1.0/24", "172.16.0.0/12")] == ["", "", ""]
