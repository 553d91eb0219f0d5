"""What may be out at the same time: hosts without their nodes, programs of a host, and what is tried once."""

import json
from dataclasses import replace
from typing import Any

from cluster.config import Fleet
from cluster.load import parse
from deploy import plan
from deploy.agent.programs import Wanted
from deploy.batches import next_batch
from deploy.rollout import together
from tests.deploy.test_plan import MACHINE, RELEASE, SYSTEM


def fleet(count: int, **node: Any) -> Fleet:
    """So many hosts with a node each."""
    hosts = {f"n{i}": {"address": f"10.0.0.{i}", "connection": "ssh"} for i in range(1, count + 1)}
    nodes = [{"name": f"l{i}", "host": f"n{i}", "port": 5000 + i, **node} for i in range(1, count + 1)]
    balancers = [{"name": "b1", "host": "n1"}]
    return parse(json.dumps({"hosts": hosts, "balancers": balancers, "nodes": nodes}))


def batch(fleet: Fleet, in_flight: int = 0, **options: Any) -> list[str]:
    """Of all hosts but the canary."""
    now = {node.name: in_flight for node in fleet.nodes}
    return next_batch(fleet, list(fleet.hosts)[1:], now, **options)


def test_at_most_half_of_the_nodes_are_out() -> None:
    assert [len(batch(fleet(count))) for count in (2, 3, 4, 5, 8)] == [1, 2, 2, 3, 4]


def test_the_nodes_that_stay_have_slots_for_what_is_in_flight_and_half_as_much_again() -> None:
    three = fleet(3)  # eight slots each
    assert len(batch(three, in_flight=1)) == 2
    assert len(batch(three, in_flight=2)) == 1


def test_a_node_that_does_not_serve_does_not_count_as_one_that_stays() -> None:
    assert next_batch(fleet(3), ["n2", "n3"], {"l2": 0, "l3": 0}) == ["n2"]


def test_unknown_slots_suffice_for_nothing() -> None:
    assert len(batch(fleet(5, runs="command", command="serve", probe={"enabled": False}))) == 1


def test_who_says_how_many_gets_so_many() -> None:
    assert batch(fleet(5), in_flight=100, most=3) == ["n2", "n3", "n4"]


def wanted(*names: str) -> list[Wanted]:
    return [Wanted(name=n, processes=[n], port=1, health_path="/", scheme="http", ours=True) for n in names]


def test_a_hosts_nodes_go_one_after_the_other_and_balancers_last() -> None:
    names = ("balancer.b1", "balancer-control.b1", "balancer.b2", "node-l1", "node-l2", "fairlead-listener")
    assert [[p["name"] for p in group] for group in together(wanted(*names))] == [
        ["node-l1", "balancer-control.b1", "fairlead-listener"],
        ["node-l2"],
        ["balancer.b1", "balancer.b2"],
    ]
    assert together([]) == []


def test_where_no_node_must_be_drained_all_go_at_once() -> None:
    host = wanted("balancer.b1", "balancer-control.b1", "fairlead-listener")
    assert together(host) == [host]


def test_the_same_program_is_tried_once_for_each_environment() -> None:
    three = fleet(3)
    key = RELEASE.environment.key("3.11.2", "x86_64")

    def made(host: str) -> plan.HostPlan:
        deployed = {"current": "", "envs": [key], "releases": [], "switching": None}
        states = {"programs": [], "others": []}
        states["programs"] = [{"name": p["name"], "well": True, "release": ""} for p in plan.wanted(three, host)]
        return plan.make(three, host, RELEASE, SYSTEM, MACHINE, deployed, states, {})

    def tried(plans: dict[str, plan.HostPlan], **envs: list[str]) -> dict[str, list[str]]:
        found = plan.trials_by_host(three, plans, {host: envs.get(host, [key]) for host in plans})
        return {host: [trial["name"] for trial in trials] for host, trials in found.items()}

    plans = {host: made(host) for host in three.hosts}
    assert tried(plans) == {"n1": ["node-l1", "balancer-control", "balancer"], "n2": [], "n3": []}
    assert tried(plans, n3=[])["n3"] == ["node-l3"]  # its environment is new: nothing has run in it yet
    plans["n2"] = replace(plans["n2"], environments={"": "another"})
    assert tried(plans, n2=["another"])["n2"] == ["node-l2"]
