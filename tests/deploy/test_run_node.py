"""Becoming one node: what is run, where, and with what."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.config import Node
from cluster.errors import ConfigError, StartError
from deploy import run_node

PROJECT = Path(__file__).parents[2]


def node(**fields: Any) -> Node:
    return Node.model_validate({"name": "l1", "port": 5001, **fields})


def command(words: str, **fields: Any) -> Node:
    return node(runs="command", command=words, **fields)


def test_ours_is_gunicorn_in_the_project() -> None:
    plan = run_node.plan(node(), {"HOME": "/h", "PYTHONPATH": "/x"}, Path("/p"), "/v/python")
    assert plan.argv == ["/v/python", "-m", "gunicorn", "-c", "python:node.gunicorn_conf", "node.app:application"]
    assert plan.directory == Path("/p")
    assert plan.environment == {"HOME": "/h", "FAIRLEAD_NODE": "l1"}


def test_a_command_gets_port_and_name_its_folder_and_its_variables() -> None:
    it = command(
        "./serve --port={port} '{name} of {port}' {x} %d", directory="web", environment={"A": "1", "HOME": "/w"}
    )
    plan = run_node.plan(it, {"HOME": "/h"}, Path("/p"), "python")
    assert plan.argv == ["./serve", "--port=5001", "l1 of 5001", "{x}", "%d"]
    assert plan.directory == Path("/p/web")
    assert plan.environment == {"HOME": "/w", "A": "1", "FAIRLEAD_NODE": "l1"}
    assert run_node.plan(command("x", directory="/srv"), {}, Path("/p"), "python").directory == Path("/srv")


def test_quotes_group_and_nothing_is_a_shell() -> None:
    assert run_node.command_words(command('sh -c "a ; b # $HOME"')) == ["sh", "-c", "a ; b # $HOME"]


def test_an_external_node_is_not_started() -> None:
    far = node(runs="external", address="10.0.0.9")
    with pytest.raises(StartError, match=r"external, at 10\.0\.0\.9:5001"):
        run_node.plan(far, {}, Path("/p"), "python")


def test_the_port_comes_from_the_option_then_the_variable() -> None:
    assert run_node._port(7000, {"PORT": "8000"}) == 7000
    assert run_node._port(None, {"PORT": "8000"}) == 8000
    assert run_node._port(None, {}) is None
    for bad in ("http", "0", "65536", "-1", "80 "):
        with pytest.raises(ConfigError, match="from 1 to 65535"):
            run_node._port(None, {"PORT": bad})


def run(tmp_path: Path, *arguments: str, fleet: dict[str, Any], **env: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "config.json").write_text(json.dumps({"balancers": [{"name": "b1"}], **fleet}))
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SUPERVISOR_", "FAIRLEAD_")) and k != "PORT"}
    return subprocess.run(
        [sys.executable, "-m", "deploy.run_node", "--config", str(tmp_path / "config.json"), *arguments],
        cwd=PROJECT,
        env={**clean, "FAIRLEAD_STATE": str(tmp_path / "run"), **env},
        capture_output=True,
        text=True,
        timeout=30,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_process_becomes_the_command(tmp_path: Path) -> None:
    it = command("printenv FAIRLEAD_NODE FAIRLEAD_BIND GREETING", environment={"GREETING": "a 'b' \"c\" ;d %e"})
    it = it.model_copy(update={"port": free_port()})
    fleet = {"nodes": [json.loads(it.model_dump_json(exclude_unset=True)) | {"probe": {"path": "/"}}]}
    done = run(tmp_path, "l1", "--lan", fleet=fleet)
    assert done.stdout.splitlines() == ["l1", "0.0.0.0", "a 'b' \"c\" ;d %e"]
    assert done.returncode == 0
    assert f"http://0.0.0.0:{it.port}/" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "fleet", "code", "says"),
    [
        (["l9"], {"nodes": [{"name": "l1", "port": 5001}]}, 2, 'none is called "l9" (known: l1)'),
        (["l1"], {"nodes": []}, 2, "at least one"),
        (["l1", "--port", "99999"], {"nodes": [{"name": "l1", "port": 5001}]}, 2, "from 1 to 65535"),
        (
            ["l1"],
            {"nodes": [{"name": "l1", "port": 80, "runs": "external", "address": "x", "probe": {"path": "/"}}]},
            1,
            "nothing is started for it",
        ),
    ],
)
def test_what_cannot_be_started_is_said(
    tmp_path: Path, arguments: list[str], fleet: dict[str, Any], code: int, says: str
) -> None:
    done = run(tmp_path, *arguments, fleet=fleet)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    nodes = [
        {"name": "l1", "port": free_port(), "runs": "command", "command": "no-such {port}", "probe": {"path": "/"}}
    ]
    done = run(tmp_path, "l1", fleet={"nodes": nodes})
    assert done.returncode == 1
    assert "no-such" in done.stderr
    assert "No such file or directory" in done.stderr


def test_a_taken_port_is_said_to_a_person_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run(tmp_path, "l1", fleet={"nodes": [{"name": "l1", "port": 5001}]}, PORT=str(port))
    assert done.returncode == 1
    assert f"{port} is used by pid {os.getpid()}" in done.stderr
