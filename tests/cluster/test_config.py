"""Reading config.json: what it takes, what it refuses, and how it says so."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.config import Fleet, Kind, Runs
from cluster.errors import ConfigError
from cluster.load import load, parse

SMALL: dict[str, Any] = {"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}]}


def problems(raw: object) -> dict[str, str]:
    """Path -> text of every problem in a configuration; fails when there is none."""
    with pytest.raises(ConfigError) as caught:
        parse(raw if isinstance(raw, str) else json.dumps(raw))
    return {p.path: p.text for p in caught.value.problems}


def with_node(**fields: Any) -> dict[str, Any]:
    return {**SMALL, "nodes": [{"name": "l1", "port": 5001, **fields}]}


def with_balancer(**fields: Any) -> dict[str, Any]:
    return {**SMALL, "balancers": [{"name": "b1", **fields}]}


def test_the_projects_own_file_is_in_order_and_says_what_the_readme_says() -> None:
    fleet = load(Path(__file__).parents[2] / "config.json")
    assert [(n.name, n.port, n.kind) for n in fleet.nodes] == [
        ("l1", 5001, Kind.GENERAL),
        ("l2", 5002, Kind.GENERAL),
        ("l3", 5003, Kind.GENERAL),
    ]
    assert (fleet.balancers[0].port, fleet.balancers[0].control_port) == (8080, 8081)
    assert fleet.dashboard is not None
    assert fleet.dashboard.port == 8090


def test_what_is_left_out_has_its_default() -> None:
    fleet = parse(json.dumps(SMALL))
    node, balancer = fleet.nodes[0], fleet.balancers[0]
    assert (fleet.fleet, fleet.hosts["here"].address, fleet.dashboard) == ("local", "127.0.0.1", None)
    assert (node.runs, node.kind, node.weight, node.known_slots, node.probe_path) == (
        Runs.SIMULATED,
        Kind.GENERAL,
        1,
        8,
        "/-/health",
    )
    assert (balancer.port, balancer.control_port, balancer.workers, balancer.algorithm) == (
        8080,
        8081,
        2,
        "round_robin",
    )
    assert fleet.health.probe.interval_s == 1.0


def test_a_fleet_cannot_be_changed_after_it_was_read() -> None:
    fleet = parse(json.dumps(SMALL))
    with pytest.raises(ValueError, match="frozen"):
        fleet.fleet = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("raw", "path", "near"),
    [
        ({**SMALL, "node": []}, "node", "nodes"),
        ({**SMALL, "dashbord": {}}, "dashbord", "dashboard"),
        (with_node(wieght=2), "nodes[0].wieght", "weight"),
        (with_node(probe={"pth": "/"}), "nodes[0].probe.pth", "path"),
        (with_balancer(contol_port=1), "balancers[0].contol_port", "control_port"),
        (with_balancer(timeouts={"conect_s": 1}), "balancers[0].timeouts.conect_s", "connect_s"),
        ({**SMALL, "hosts": {"here": {"adress": "x"}}}, "hosts.here.adress", "address"),
        ({**SMALL, "health": {"ejection": {"bse_s": 1}}}, "health.ejection.bse_s", "base_s"),
        ({**SMALL, "dashboard": {"prot": 1}}, "dashboard.prot", "port"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(raw: dict[str, Any], path: str, near: str) -> None:
    assert problems(raw) == {path: f'unknown key; did you mean "{near}"?'}


def test_an_unknown_key_that_is_near_to_none_lists_those_that_exist() -> None:
    text = problems({**SMALL, "dashboard": {"zzzzzz": 1}})["dashboard.zzzzzz"]
    assert text == "unknown key; known here: anonymous_view, host, lab, port"


@pytest.mark.parametrize(
    ("raw", "path", "says"),
    [
        (with_node(port=70000), "nodes[0].port", "70000: input should be less than or equal to 65535"),
        (with_node(port=0), "nodes[0].port", "0: input should be greater than or equal to 1"),
        (with_node(port="http"), "nodes[0].port", "integer"),
        (with_node(weight=-1), "nodes[0].weight", "greater than or equal to 0"),
        (with_node(weight=257), "nodes[0].weight", "less than or equal to 256"),
        (with_node(slots=0), "nodes[0].slots", "greater than or equal to 1"),
        (with_node(speed=0), "nodes[0].speed", "greater than 0"),
        (with_node(kind="audio"), "nodes[0].kind", "'general', 'api', 'image' or 'video'"),
        (with_node(runs="docker"), "nodes[0].runs", "'simulated', 'command' or 'external'"),
        (with_node(name="l 1"), "nodes[0].name", "must be a letter, then letters, digits and -"),
        (with_node(name="1l"), "nodes[0].name", "must be a letter, then letters, digits and -"),
        (with_node(name="l" * 33), "nodes[0].name", "must be a letter, then letters, digits and -"),
        (with_node(probe={"path": "health"}), "nodes[0].probe.path", "must begin with /"),
        (with_node(probe={"path": "/a b"}), "nodes[0].probe.path", "without spaces"),
        (with_balancer(workers=0), "balancers[0].workers", "greater than or equal to 1"),
        (with_balancer(timeouts={"connect_s": 0}), "balancers[0].timeouts.connect_s", "greater than 0"),
        (with_balancer(trusted_proxies=["10.0.0.0/33"]), "balancers[0].trusted_proxies[0]", "10.0.0.0/33"),
        ({**SMALL, "hosts": {"here": {"os": "macos"}}}, "hosts.here.os", "'linux' or 'windows'"),
        ({**SMALL, "nodes": []}, "nodes", "at least one"),
        ({**SMALL, "balancers": []}, "balancers", "at least one"),
        ({"balancers": SMALL["balancers"]}, "nodes", "is missing"),
        ({**SMALL, "nodes": {"l1": {}}}, "nodes", "must be a list"),
        ({**SMALL, "nodes": [7]}, "nodes[0]", "7: must be an object"),
        (with_node(port=None), "nodes[0].port", "null"),
        (with_node(port="5001"), "nodes[0].port", '"5001": input should be a valid integer'),
        (with_balancer(workers=True), "balancers[0].workers", "true: input should be a valid integer"),
        (with_node(name="l" * 5000), "nodes[0].name", "l…: must be a letter"),
        ({**SMALL, "hosts": {"here": {"address": "http://pc1/"}}}, "hosts.here.address", "no http://, no port"),
        (with_balancer(sticky={"cookie": "a b"}), "balancers[0].sticky.cookie", "must be letters, digits"),
    ],
)
def test_a_bad_value_is_named_with_its_place_and_the_rule(raw: dict[str, Any], path: str, says: str) -> None:
    found = problems(raw)
    assert list(found) == [path]
    assert says in found[path]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"runs": "command", "probe": {"path": "/"}}, 'runs "command" needs "command"'),
        ({"runs": "external", "probe": {"path": "/"}}, 'runs "external" needs "address"'),
        ({"command": "x"}, '"command" belongs to runs "command"'),
        ({"address": "10.0.0.1"}, '"address" belongs to runs "external"'),
        ({"runs": "command", "command": "sh -c 'x", "probe": {"path": "/"}}, "no closing quotation"),
        ({"runs": "command", "command": "  ", "probe": {"path": "/"}}, '"command" is empty'),
        ({"runs": "command", "command": "a\0b", "probe": {"path": "/"}}, "no NUL character"),
        ({"runs": "command", "command": "a", "environment": {"A=B": ""}, "probe": {"path": "/"}}, "is not the name of"),
        ({"runs": "external", "address": "10.0.0.1:80", "probe": {"path": "/"}}, "no port, no path"),
        ({"runs": "external", "address": "a\r\nX: y", "probe": {"path": "/"}}, "an IP address alone"),
    ],
)
def test_how_a_node_runs_and_its_other_keys_must_fit(fields: dict[str, Any], says: str) -> None:
    (text,) = problems(with_node(**fields)).values()
    assert says in text


@pytest.mark.parametrize("runs", [{"runs": "command", "command": "x"}, {"runs": "external", "address": "10.0.0.1"}])
def test_a_node_that_is_not_ours_names_its_probe_path_or_is_not_probed(runs: dict[str, Any]) -> None:
    assert "is needed with runs" in problems(with_node(**runs))["nodes[0].probe.path"]
    for fine in (
        with_node(**runs, probe={"path": "/ok"}),
        with_node(**runs, probe={"enabled": False}),
        {**with_node(**runs), "health": {"probe": {"enabled": False}}},
    ):
        assert isinstance(parse(json.dumps(fine)), Fleet)


def test_all_problems_are_told_at_once_each_with_its_path() -> None:
    found = problems(
        {
            "flet": "x",
            "hosts": {"here": {}, "pc": {"os": "beos"}},
            "balancers": [{"name": "b1", "workers": 0}],
            "nodes": [
                {"name": "l1", "port": 99999},
                {"name": "l1", "port": 5002, "wait": 1},
                {"name": "l3", "port": 5002, "host": "nowhere"},
                {"name": "l4", "port": 5002},
                {"name": "l5", "port": 5005, "runs": "command", "command": "x"},
            ],
            "dashboard": {"port": 8081},
        }
    )
    assert set(found) == {
        "flet",
        "hosts.pc.os",
        "balancers[0].workers",
        "nodes[0].port",
        "nodes[1].wait",
        "nodes[1].name",
        "nodes[2].host",
        "nodes[3].port",
        "nodes[4].probe.path",
        "dashboard.port",
    }


def test_names_are_unique_over_nodes_and_balancers() -> None:
    assert problems({**SMALL, "nodes": [{"name": "b1", "port": 5001}]}) == {
        "nodes[0].name": '"b1" is also balancers[0]; names are unique'
    }


def test_one_port_has_one_listener_a_host() -> None:
    assert problems({**SMALL, "dashboard": {"port": 8080}}) == {
        "dashboard.port": "8080 on host here is also balancers[0].port"
    }
    assert problems(with_balancer(control_port=8080)) == {
        "balancers[0].control_port": "8080 on host here is also balancers[0].port"
    }
    two_hosts = {
        **SMALL,
        "hosts": {"here": {}, "pc": {"address": "10.0.0.2", "connection": "ssh"}},
        "nodes": [{"name": "l1", "port": 5001}, {"name": "l2", "port": 5001, "host": "pc"}],
    }
    assert len(parse(json.dumps(two_hosts)).nodes) == 2


def test_an_external_node_may_use_any_port_and_no_host() -> None:
    raw = with_node(port=8080, host="elsewhere", runs="external", address="10.0.0.9", probe={"path": "/"})
    fleet = parse(json.dumps(raw))
    assert fleet.address_of(fleet.nodes[0]) == ("10.0.0.9", 8080)


def test_a_key_that_stands_twice_is_refused_though_json_would_take_it() -> None:
    text = '{"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001, "port": 5002}]}'
    assert problems(text) == {"port": "this key is there 2 times in one object; keep one"}


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("", "line 1, column 1", "not JSON"),
        ('{"a": 1,}', "line 1, column 9", "no comma before a closing bracket"),
        ("9" * 5000, "", "thousands of digits"),
        ("{\n  'a': 1}", "line 2, column 3", "not JSON"),
        ("[" * 100_000, "", "nested too deeply"),
        ("[]", "", "must be an object"),
        ("null", "", "null: must be an object"),
    ],
)
def test_what_is_no_json_object_is_named_with_line_and_column(text: str, path: str, says: str) -> None:
    found = problems(text)
    assert list(found) == [path]
    assert says in found[path]


def test_a_missing_unreadable_or_binary_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; give another with --config"):
        load(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 0\)"):
        load(tmp_path / "binary.json")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "windows.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(SMALL).encode())
    assert load(tmp_path / "windows.json").nodes[0].port == 5001


def test_the_message_lists_one_problem_a_line_under_the_files_name() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(json.dumps(with_node(port=0, weight=-1)), source="lab.json")
    lines = str(caught.value).splitlines()
    assert lines[0] == "lab.json: 2 problems"
    assert [line.split()[0] for line in lines[1:]] == ["nodes[0].port", "nodes[0].weight"]
    assert caught.value.exit_code == 2


def test_a_large_fleet_is_read_in_no_time() -> None:
    nodes = [{"name": f"n{i}", "port": 10000 + i} for i in range(2000)]
    began = time.perf_counter()
    assert len(parse(json.dumps({**SMALL, "nodes": nodes})).nodes) == 2000
    assert time.perf_counter() - began < 5
