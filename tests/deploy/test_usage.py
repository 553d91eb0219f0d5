"""How `fab` ends and what it prints, as far as no host is asked: as a person starts it, as a process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.paths import PROJECT


@pytest.fixture
def fab(tmp_path: Path) -> Any:
    """Run it."""
    config = {
        "hosts": {name: {"address": f"192.0.2.{i}", "connection": "ssh"} for i, name in enumerate(("lb", "n1"), 1)},
        "balancers": [{"name": "b1", "host": "lb"}],
        "nodes": [{"name": "l1", "host": "n1", "port": 5001}],
        "dashboard": {"host": "lb"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    own = {"FAIRLEAD_STATE": str(tmp_path / "run"), "FAIRLEAD_CONFIG": str(tmp_path / "config.json")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fabric", *words],
            cwd=PROJECT, env=os.environ | own, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("deploy --nonsense", "'--nonsense'"),
        ("nonsense", "'nonsense'"),
        ("deploy nonsense", "'nonsense'"),
        ("deploy --batch many", "'many'"),
        ("exec", "'line'"),
        ("--help nonsense", "'nonsense'"),
    ],
)
def test_bad_usage_ends_with_2_and_says_what_was_not_understood(fab: Any, words: str, said: str) -> None:
    done = fab(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_no_bad_usage_ends_as_before(fab: Any) -> None:
    assert fab("--list").returncode == 0
    assert fab("--help", "deploy").returncode == 0
    assert fab("status", "--hosts", "nobody").returncode == 2


def test_with_json_there_is_one_object_and_nothing_else(fab: Any) -> None:
    people = fab("firewall", "--show").stdout
    told = json.loads(fab("firewall", "--show", "--json").stdout)
    assert set(told["rules"]) == {"lb", "n1"}
    assert all(f"# {host}\n{text}" in people for host, text in told["rules"].items())
    endless = fab("logs", "--follow", "--json")
    assert (endless.returncode, json.loads(endless.stdout)["code"]) == (2, 2)
    assert "--follow" in json.loads(endless.stdout)["summary"]
