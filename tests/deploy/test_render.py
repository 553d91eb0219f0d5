"""The generated Supervisor configuration, read back by Supervisor's own parser."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from supervisor.datatypes import RestartUnconditionally
from supervisor.options import ServerOptions

from cluster.config import Fleet
from cluster.errors import StartError
from cluster.load import parse
from deploy.render import STOP_WAIT_S, Options, supervisord_conf

SMALL: dict[str, Any] = {
    "balancers": [{"name": "b1"}],
    "nodes": [
        {"name": "l1", "port": 5001},
        {"name": "app", "port": 5002, "runs": "command", "command": 'sh -c "a ; b %d"', "probe": {"path": "/"}},
        {"name": "far", "port": 80, "runs": "external", "address": "10.0.0.9", "probe": {"path": "/"}},
    ],
    "dashboard": {},
}


def fleet(**parts: Any) -> Fleet:
    return parse(json.dumps({**SMALL, **parts}))


def options(base: Path, **changes: Any) -> Options:
    (base / "logs").mkdir(parents=True, exist_ok=True)
    (base / "run").mkdir(exist_ok=True)
    values: dict[str, Any] = {
        "config": base / "config.json",
        "state": base / "run",
        "logs": base / "logs",
        "project": base,
        "python": "/usr/bin/python3",
        "hosts": ("here",),
        **changes,
    }
    return Options(**values)


def read_back(text: str, base: Path) -> ServerOptions:
    """As supervisord does."""
    (base / "supervisord.conf").write_text(text)
    read = ServerOptions()
    read.realize(["-c", str(base / "supervisord.conf")])
    return read


def groups(text: str, base: Path) -> dict[str, Any]:
    return {group.name: group for group in read_back(text, base).process_group_configs}


def test_one_group_a_program_and_nothing_for_external_nodes(tmp_path: Path) -> None:
    found = groups(supervisord_conf(fleet(), options(tmp_path)), tmp_path)
    assert set(found) == {"node-l1", "node-app", "balancer-control", "balancer", "dashboard", "fairlead-listener"}


def test_commands_and_what_they_are_told(tmp_path: Path) -> None:
    found = groups(supervisord_conf(fleet(), options(tmp_path)), tmp_path)
    process = {name: group.process_configs[-1] for name, group in found.items()}
    python = "/usr/bin/python3 -m "
    assert process["node-l1"].command == python + "gunicorn -c python:node.gunicorn_conf node.app:application"
    assert process["node-app"].command == python + "deploy.run_node app"
    shared = {
        "FAIRLEAD_CONFIG": str(tmp_path / "config.json"),
        "FAIRLEAD_STATE": str(tmp_path / "run"),
        "FAIRLEAD_RELEASE": "dev",
        "PYTHONUNBUFFERED": "1",
    }
    assert process["node-l1"].environment == {**shared, "FAIRLEAD_BIND": "127.0.0.1", "FAIRLEAD_NODE": "l1"}
    assert process["balancer-control"].environment == {
        **shared,
        "FAIRLEAD_BIND": "127.0.0.1",
        "FAIRLEAD_BALANCER": "b1",
    }
    assert process["balancer"].environment == {
        **shared,
        "FAIRLEAD_BIND": "127.0.0.1",
        "FAIRLEAD_BALANCER": "b1",
        "FAIRLEAD_INHERIT": "1",
        "FAIRLEAD_PAIR": "balancer",
    }
    assert process["fairlead-listener"].environment == {
        **shared,
        "FAIRLEAD_DASHBOARD": "http://127.0.0.1:8090",
        "FAIRLEAD_HOST": "here",
    }


def test_every_process_is_kept_alive_and_ends_within_its_time(tmp_path: Path) -> None:
    for name, group in groups(supervisord_conf(fleet(), options(tmp_path)), tmp_path).items():
        for process in group.process_configs:
            assert process.autorestart is RestartUnconditionally, name
            assert (process.killasgroup, process.stopasgroup) == (True, False)
            assert process.startretries >= 1000
            assert process.stopwaitsecs in STOP_WAIT_S.values()
            assert process.stdout_logfile is None or process.stdout_logfile_maxbytes <= 5 << 20
            assert process.redirect_stderr or process.stderr_logfile_maxbytes <= 5 << 20


def test_the_balancer_is_two_processes_of_one_kind(tmp_path: Path) -> None:
    group = groups(supervisord_conf(fleet(), options(tmp_path)), tmp_path)["balancer"]
    assert group.socket_config.url == "tcp://127.0.0.1:8080"
    assert [process.name for process in group.process_configs] == ["balancer_0", "balancer_1"]
    command = "/usr/bin/python3 -m gunicorn -c python:balancer.gunicorn_conf balancer.worker:application"
    assert {process.command for process in group.process_configs} == {command}


def test_lan_opens_what_others_use_and_nothing_else(tmp_path: Path) -> None:
    found = groups(supervisord_conf(fleet(), options(tmp_path, lan=True)), tmp_path)
    bind = {name: group.process_configs[0].environment.get("FAIRLEAD_BIND") for name, group in found.items()}
    assert bind["node-l1"] == bind["node-app"] == bind["balancer-control"] == "127.0.0.1"
    assert bind["balancer"] == bind["dashboard"] == "0.0.0.0"
    assert found["balancer"].socket_config.url == "tcp://0.0.0.0:8080"


def test_supervisor_itself_listens_on_a_private_unix_socket_only(tmp_path: Path) -> None:
    (server,) = read_back(supervisord_conf(fleet(), options(tmp_path)), tmp_path).configroot.supervisord.server_configs
    assert (server["file"], server["chmod"]) == (str(tmp_path / "run" / "supervisor.sock"), 0o700)


@pytest.mark.parametrize("name", ["with space", "50%", "50%%s", "ünï", "a;b#c", "a,b=c", "(x)"])
def test_folders_with_odd_names_come_through_unchanged(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    base = tmp_path_factory.mktemp("d") / name  # short: a socket's path has at most 107 bytes
    base.mkdir()
    python = str(base / "bin" / "python")
    found = groups(supervisord_conf(fleet(), options(base, python=python)), base)
    process = found["node-l1"].process_configs[0]
    assert process.environment["FAIRLEAD_CONFIG"] == str(base / "config.json")
    assert process.stdout_logfile == str(base / "logs" / "node-l1.log")
    assert shlex.split(process.command)[0] == python


@pytest.mark.parametrize("name", ['quo"te', "quo'te", "a ;b", "a #b", "line\nbreak", "back\\slash", "%(here)s"])
def test_names_that_the_format_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StartError, match="Supervisor's configuration cannot hold"):
        supervisord_conf(fleet(), options(tmp_path, config=tmp_path / name / "config.json"))


def test_a_socket_path_that_is_too_long_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"may have 100 characters.*Set FAIRLEAD_STATE to a shorter folder"):
        supervisord_conf(fleet(), options(tmp_path, state=Path("/tmp") / ("x" * 90)))


def test_open_files_follow_the_balancers_limits_within_the_machines(tmp_path: Path) -> None:
    many = fleet(balancers=[{"name": "b1", "limits": {"connections": 20000}}])
    assert read_back(supervisord_conf(many, options(tmp_path)), tmp_path).configroot.supervisord.minfds == 41024
    text = supervisord_conf(many, options(tmp_path, max_open_files=4096))
    assert read_back(text, tmp_path).configroot.supervisord.minfds == 4096


def test_two_balancers_have_their_own_groups(tmp_path: Path) -> None:
    two = fleet(balancers=[{"name": "b1"}, {"name": "b2", "port": 8082, "control_port": 8083}])
    found = groups(supervisord_conf(two, options(tmp_path)), tmp_path)
    assert {"balancer.b1", "balancer.b2", "balancer-control.b1", "balancer-control.b2"} <= set(found)
    assert [p.environment["FAIRLEAD_BALANCER"] for p in found["balancer.b2"].process_configs] == ["b2", "b2"]
    assert len({p.stdout_logfile for g in found.values() for p in g.process_configs if p.stdout_logfile}) == 9
