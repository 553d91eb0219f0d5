"""Which programs a fleet is made of, what they are called, where they listen."""

import json
from typing import Any

import pytest

from cluster.config import Fleet
from cluster.load import parse
from cluster.programs import Role, bind_address, local_hosts, programs_of, reach


def fleet(**parts: Any) -> Fleet:
    small: dict[str, Any] = {"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}], "dashboard": {}}
    return parse(json.dumps({**small, **parts}))


SPREAD = {
    "hosts": {
        "desk": {"address": "10.0.0.1", "connection": "local"},
        "pc": {"address": "10.0.0.2", "connection": "ssh"},
    },
    "balancers": [{"name": "b1", "host": "desk"}, {"name": "b2", "host": "pc"}],
    "nodes": [
        {"name": "l1", "host": "desk", "port": 5001},
        {"name": "l2", "host": "pc", "port": 5001, "runs": "command", "command": "x", "probe": {"path": "/ok"}},
        {"name": "far", "port": 80, "runs": "external", "address": "10.0.0.9", "probe": {"path": "/"}},
    ],
    "dashboard": {"host": "desk"},
}


def test_one_machine_has_the_names_of_the_design() -> None:
    assert [(p.name, p.port, p.key) for p in programs_of(fleet())] == [
        ("node-l1", 5001, "nodes[0].port"),
        ("balancer-control", 8081, "balancers[0].control_port"),
        ("balancer", 8080, "balancers[0].port"),
        ("dashboard", 8090, "dashboard.port"),
        ("fairlead-listener", None, ""),
    ]


def test_without_a_dashboard_nobody_listens_for_it() -> None:
    assert {p.role for p in programs_of(fleet(dashboard=None))} == {Role.NODE, Role.CONTROL, Role.BALANCER}


def test_each_host_gets_its_own_and_external_nodes_belong_to_none() -> None:
    spread = fleet(**SPREAD)
    assert local_hosts(spread) == ("desk",)
    names = {host: [p.name for p in programs_of(spread, (host,))] for host in spread.hosts}
    assert names == {
        "desk": ["node-l1", "balancer-control", "balancer", "dashboard", "fairlead-listener"],
        "pc": ["node-l2", "balancer-control", "balancer", "fairlead-listener"],
    }
    assert programs_of(spread, ()) == []


def test_several_balancers_on_one_host_never_share_a_name() -> None:
    names = [
        p.name for p in programs_of(fleet(balancers=[{"name": "x"}, {"name": "control", "port": 1, "control_port": 2}]))
    ]
    assert {"balancer.x", "balancer-control.x", "balancer.control", "balancer-control.control"} <= set(names)
    assert len(set(names)) == len(names)


def test_how_a_programs_health_is_asked() -> None:
    paths = {p.name: p.health_path for p in programs_of(fleet(**SPREAD))}
    assert paths["node-l1"] == paths["balancer"] == paths["dashboard"] == "/-/health"
    assert paths["node-l2"] == "/ok"
    unprobed = [{"name": "a", "port": 1, "runs": "command", "command": "x", "probe": {"enabled": False}}]
    assert programs_of(fleet(nodes=unprobed))[0].health_path is None


@pytest.mark.parametrize(
    ("parts", "open_to_lan"),
    [
        ({}, {"balancer", "dashboard"}),
        (SPREAD, {"balancer", "dashboard", "node-l1"}),  # b2, on the other host, needs l1
        ({**SPREAD, "dashboard": {"host": "pc"}}, {"balancer", "balancer-control", "node-l1"}),
    ],
)
def test_only_what_others_need_is_opened_to_the_lan(parts: dict[str, Any], open_to_lan: set[str]) -> None:
    described = fleet(**parts)
    here = [p for p in programs_of(described, local_hosts(described)) if p.port]
    assert {bind_address(p, described, lan=False) for p in here} == {"127.0.0.1"}
    assert {p.name for p in here if bind_address(p, described, lan=True) == "0.0.0.0"} == open_to_lan


def test_this_machine_is_reached_by_loopback() -> None:
    hosts = fleet(**SPREAD).hosts
    assert (reach(hosts["desk"]), reach(hosts["pc"])) == ("127.0.0.1", "10.0.0.2")
