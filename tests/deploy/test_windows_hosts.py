"""What `fab` brings to a Windows host, as far as it shows without one: plan, wheels, rules, the agent's start."""

import json
import subprocess
import sys
from typing import Any

from cluster.config import Fleet
from cluster.load import parse
from deploy import firewall, plan
from deploy.hosts import SYSTEMS
from deploy.hosts.agent_archive import agent_archive
from deploy.hosts.system import NO_PYTHON
from deploy.hosts.windows import Windows
from deploy.wheelhouse import Target

SYSTEM = SYSTEMS["windows"]
NODE: dict[str, Any] = {"name": "l1", "host": "win", "port": 5001}


def fleet(**node: Any) -> Fleet:
    return parse(
        json.dumps(
            {
                "hosts": {
                    "lb": {"address": "192.168.7.10", "connection": "ssh"},
                    "win": {"address": "192.168.7.11", "connection": "ssh", "os": "windows"},
                },
                "balancers": [{"name": "b1", "host": "lb"}],
                "nodes": [NODE | node],
                "dashboard": {"host": "lb"},
            }
        )
    )


def test_a_keeper_gets_programs_without_gunicorn_and_no_listener() -> None:
    files = plan.host_files(fleet(), "win", 0, SYSTEM)
    assert set(files) == {plan.KEEPER, plan.PROGRAMS}
    told = json.loads(files[plan.KEEPER])
    assert told["dashboard"] == "http://192.168.7.10:8090"
    (node,) = told["programs"]
    assert node["argv"] == ["{python}", "-m", "node.serve"]
    assert node["environment"]["FAIRLEAD_STATE"] == "C:/fairlead/shared/run"
    assert node["environment"]["PYTHONPATH"] == "{release};{env}"
    assert [p["processes"] for p in plan.wanted(fleet(), "win")] == [["node-l1:node-l1"]]
    assert plan.CONF in plan.host_files(fleet(), "lb", 4096, SYSTEMS["linux"])
    (trial,) = plan.trials(fleet(), "win", SYSTEM)
    assert (trial["argv"], trial["environment"]["FAIRLEAD_PORT"]) == (node["argv"], "{port}")


def test_a_command_node_is_refused_there_and_nowhere_else() -> None:
    own = fleet(runs="command", command="python app.py", app={"path": "app"}, probe={"path": "/"})
    assert plan.unfit(own, "win").startswith("l1: `fab` brings no node of runs: command")
    assert plan.unfit(own, "lb") == plan.unfit(fleet(), "win") == ""


def test_wheels_are_those_of_windows() -> None:
    target = Target("3.11.9", "AMD64", "windows")
    assert target.platforms() == ["win_amd64"]
    assert target.tag == "cp311-AMD64-windows"


def test_netsh_is_told_the_subnet_by_its_own_word() -> None:
    addresses = {"lb": "192.168.7.10", "win": "192.168.7.11"}
    found = firewall.rules(fleet(), "win", "192.168.7.0/24", "192.168.7.2", addresses)
    (rule,) = firewall.wanted(found, SYSTEM, "192.168.7.0/24")["netsh"]
    assert rule[0] == "Fairlead node-l1"
    assert rule[4:] == ["localport=5001", "remoteip=192.168.7.10,192.168.7.2", "profile=private,domain"]


def test_a_host_without_python_is_told_what_its_system_needs() -> None:
    assert "apt install python3" in SYSTEMS["linux"].why_it_ended(NO_PYTHON)
    for status in (NO_PYTHON, 9009):  # as of cmd.exe for a command that it does not know
        assert "python.org" in SYSTEM.why_it_ended(status)
    assert SYSTEM.why_it_ended(1) == SYSTEMS["linux"].why_it_ended(127) == ""


def test_the_agent_comes_from_memory_and_the_command_line_has_nothing_to_quote() -> None:
    archive = agent_archive()
    line = Windows().start_agent(len(archive), as_root=False)
    words = line.split('"')
    assert len(words) == 3
    assert not set(words[1]) & set("%^&|<>'!")
    whole = b"import deploy.agent.windows; print(main.__module__)"  # with all that it needs
    preamble = Windows().preamble(len(archive)).replace(b"main('C:/fairlead')", whole)
    code = f"import sys;exec(sys.stdin.buffer.read({len(preamble)}))"
    done = subprocess.run([sys.executable, "-I", "-c", code], input=preamble + archive, capture_output=True, timeout=30)
    assert done.stdout.strip() == b"deploy.agent.__main__", done.stderr
