"""Which hosts a command is about."""

import json
import re
from typing import Any

import pytest

from cluster.config import Fleet
from cluster.errors import ConfigError
from cluster.load import parse
from deploy.targets import choose, fleet_hosts, roles_of


def fleet(**parts: Any) -> Fleet:
    names = ["lb", "dash", "n1", "n2", "spare"]
    hosts = {name: {"address": f"10.0.0.{i}", "connection": "ssh"} for i, name in enumerate(names, 1)}
    described: dict[str, Any] = {
        "hosts": hosts,
        "balancers": [{"name": "b1", "host": "lb"}],
        "nodes": [{"name": "l1", "host": "n1", "port": 5001}, {"name": "l2", "host": "n2", "port": 5001}],
        "dashboard": {"host": "dash"},
    }
    return parse(json.dumps(described | parts))


def test_hosts_come_nodes_first_balancers_last_and_unused_ones_not_at_all() -> None:
    assert fleet_hosts(fleet()) == ["n1", "n2", "dash", "lb"]
    assert choose(fleet()) == ["n1", "n2", "dash", "lb"]


def test_a_host_that_carries_a_balancer_comes_last_whatever_else_it_carries() -> None:
    both = fleet(nodes=[{"name": "l1", "host": "lb", "port": 5001}, {"name": "l2", "host": "n1", "port": 5001}])
    assert fleet_hosts(both) == ["n1", "dash", "lb"]
    assert roles_of(both, "lb") == ["node", "balancer"]


@pytest.mark.parametrize(
    ("hosts", "roles", "besides", "chosen"),
    [
        ("n*", "", "", ["n1", "n2"]),
        ("lb, n2", "", "", ["n2", "lb"]),
        ("", "node,balancer", "", ["n1", "n2", "lb"]),
        ("n*", "node", "n1", ["n2"]),
        ("", "", "n?,dash", ["lb"]),
    ],
)
def test_patterns_narrow_down(hosts: str, roles: str, besides: str, chosen: list[str]) -> None:
    assert choose(fleet(), hosts, roles, besides) == chosen


@pytest.mark.parametrize(
    ("hosts", "roles", "besides", "said"),
    [
        ("m*", "", "", "--hosts  'm*' fits none of n1, n2, dash, lb"),
        ("", "worker", "", "--roles  'worker' fits none of node, balancer, dashboard"),
        ("spare", "", "", "'spare' fits none"),
        ("n1", "", "n1", "no host is left"),
    ],
)
def test_what_fits_nothing_is_an_error_not_nothing_to_do(hosts: str, roles: str, besides: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        choose(fleet(), hosts, roles, besides)


def test_a_fleet_of_this_machine_is_not_for_fab() -> None:
    with pytest.raises(ConfigError, match=r"hosts\.here\.connection\s+is local"):
        choose(parse(json.dumps({"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}]})))
