"""What a host is to have and to run, and what that changes."""

import json
from typing import Any

from cluster.config import Fleet
from cluster.load import parse
from deploy import plan
from deploy.hosts.linux import Linux
from deploy.release import Environment, Release

SYSTEM = Linux()
MACHINE = {"python": "3.11.2", "machine": "x86_64", "max_open_files": 4096}


def fleet(**parts: Any) -> Fleet:
    described: dict[str, Any] = {
        "hosts": {name: {"address": f"10.0.0.{i}", "connection": "ssh"} for i, name in enumerate(["lb", "n1"], 1)},
        "balancers": [{"name": "b1", "host": "lb"}],
        "nodes": [
            {"name": "l1", "host": "n1", "port": 5001},
            {"name": "l2", "host": "n1", "port": 5002},
            {
                "name": "web",
                "host": "n1",
                "port": 5003,
                "runs": "command",
                "command": "serve",
                "probe": {"path": "/ok"},
            },
        ],
        "dashboard": {"host": "lb"},
    }
    return parse(json.dumps(described | parts))


RELEASE = Release("aaaaaaaaaaaa", {}, Environment("x==1"), {})


def deployed(current: str = "", **more: Any) -> dict[str, Any]:
    return {"current": current, "envs": [], "releases": [], "switching": None, **more}


def states(host: str, release: str, ill: str = "", others: list[str] | None = None) -> dict[str, Any]:
    rows = [{"name": p["name"], "well": p["name"] != ill, "release": release} for p in plan.wanted(fleet(), host)]
    return {"programs": rows, "others": others or []}


def made(host: str = "n1", **given: Any) -> plan.HostPlan:
    values = {"deployed": deployed(), "states": states(host, ""), "present": {}, **given}
    return plan.make(fleet(), host, RELEASE, SYSTEM, MACHINE, values["deployed"], values["states"], values["present"])


def unchanged() -> dict[str, Any]:
    files = plan.host_files(fleet(), "n1", 4096, SYSTEM)
    key = RELEASE.environment.key("3.11.2", "x86_64")
    now = deployed(RELEASE.id, envs=[key])
    return {"deployed": now, "states": states("n1", RELEASE.id), "present": files}


def test_a_fresh_host_gets_everything() -> None:
    host = made()
    assert host.to_restart == ["node-l1", "node-l2", "node-web", "fairlead-listener"]
    assert host.changes[0] == "release none -> aaaaaaaaaaaa"
    assert any(line.startswith("new environment") for line in host.changes)
    assert "+[program:node-l1]" in host.diff


def test_the_same_content_changes_nothing() -> None:
    host = made(**unchanged())
    assert (host.changes, host.to_restart, host.diff) == ([], [], "")


def test_a_program_that_is_ill_or_of_another_release_is_restarted_alone() -> None:
    ill = unchanged() | {"states": states("n1", RELEASE.id, ill="node-l2")}
    assert made(**ill).to_restart == ["node-l2"]
    stale = unchanged()
    stale["states"]["programs"][0]["release"] = "bbbbbbbbbbbb"
    assert made(**stale).to_restart == ["node-l1"]


def test_a_changed_file_of_the_host_is_shown_as_a_difference() -> None:
    other = unchanged()
    other["present"] = {**other["present"], plan.CONF: other["present"][plan.CONF].replace("minfds=", "minfds=9")}
    host = made(**other)
    assert "supervisord.conf is written anew" in host.changes
    assert "-minfds=9" in host.diff
    assert "+minfds=" in host.diff


def test_a_deploy_that_was_cut_off_is_a_change_and_so_is_what_the_configuration_no_longer_has() -> None:
    cut = unchanged()
    cut["deployed"]["switching"] = {"from": "", "to": RELEASE.id}
    assert made(**cut).changes
    gone = unchanged() | {"states": states("n1", RELEASE.id, others=["node-old"])}
    assert made(**gone).changes == ["stop node-old"]
    assert made(**gone).to_stop == ["node-old"]


def test_nothing_in_supervisors_file_names_a_release() -> None:
    """Or each release would change the balancer's group, and its port would be closed."""
    text = plan.host_files(fleet(), "lb", 4096, SYSTEM)[plan.CONF]
    assert "RELEASE" not in text
    assert "/opt/fairlead/current/.venv/bin/python" in text
    assert text.count("directory=/opt/fairlead/current") == 1 + 4  # supervisord's own, and that of each program
    assert "nodaemon=true" in text


def test_the_balancer_is_restarted_without_the_process_that_holds_its_port() -> None:
    programs = {p["name"]: p for p in plan.wanted(fleet(), "lb")}
    assert list(programs) == ["balancer-control", "balancer", "dashboard", "fairlead-listener"]
    assert programs["balancer"]["processes"] == ["balancer:balancer_0", "balancer:balancer_1"]
    assert programs["fairlead-listener"]["port"] is None


def test_trials_boot_what_differs_on_a_spare_port_and_touch_nothing() -> None:
    found = {trial["name"]: trial for trial in plan.trials(fleet(), "n1", SYSTEM)}
    assert list(found) == ["node-l1", "node-web"]  # l2 runs the same code as l1
    ours = found["node-l1"]
    assert ours["argv"][0] == "{release}/.venv/bin/python"
    assert ours["argv"][-2:] == ["-b", "127.0.0.1:{port}"]
    assert ours["check"][-1] == "--check-config"
    assert ours["environment"]["FAIRLEAD_CONFIG"] == "{release}/config.json"
    assert "FAIRLEAD_STATE" not in ours["environment"]
    web = found["node-web"]
    assert web["argv"][-4:] == ["--host", "127.0.0.1", "--port", "{port}"]
    assert (web["ours"], web["health_path"], web["check"]) == (False, "/ok", [])
    balancer = {t["name"]: t for t in plan.trials(fleet(), "lb", SYSTEM)}["balancer"]
    assert "FAIRLEAD_INHERIT" not in balancer["environment"]


def test_a_balancer_reaches_the_nodes_of_its_own_host_at_the_hosts_address() -> None:
    here = fleet(nodes=[{"name": "l1", "host": "lb", "port": 5001}])
    assert plan.ports(here, "lb")[0] == ("node-l1", "0.0.0.0", 5001)
