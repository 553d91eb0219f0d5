"""Who may import whom, and how long a file may be: the table of the design, held against the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("cluster", "balancer", "node", "dashboard", "deploy", "lab")

# Packages meet over HTTP in the shapes of cluster/wire.py. Only what stands on the right may be imported of ours.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "cluster": (),
    "node": ("cluster",),
    "dashboard": ("cluster",),
    "deploy": ("cluster",),
    "balancer": ("cluster",),
    # The simulator runs the very classes that balance.
    "lab": ("cluster", "balancer.algorithms", "balancer.scoreboard"),
}
# What a pure part must not know, because it has to run under a simulated clock and without a network.
SERVERS = ("gevent", "flask", "flask_socketio", "gunicorn", "socket", "socketserver", "asyncio", "http.server")
BANNED: dict[str, tuple[str, ...]] = {
    "balancer.algorithms": (*SERVERS, "time", "datetime", "threading", "os"),
    "cluster": SERVERS,
    "cluster.histogram": (*SERVERS, "time"),
    "balancer.windows": (*SERVERS, "time"),
    "balancer.ejector": (*SERVERS, "time"),
    "balancer.picker": (*SERVERS, "time"),
    "balancer.retry": (*SERVERS, "time"),
    "balancer.scoreboard": (*SERVERS, "time"),
    "balancer.node_record": (*SERVERS, "time"),
    "balancer.http1_request": (*SERVERS, "time"),
    "balancer.http1_response": (*SERVERS, "time"),
}
SERVES = ("cluster.serving",)  # gunicorn's worker, and what stands in where gunicorn does not run
DATA_PATH = (
    "balancer.worker", "balancer.listening", "balancer.connection", "balancer.exchange", "balancer.attempt",
    "balancer.datapath", "balancer.stream", "balancer.tunnel", "balancer.upstream",
)  # fmt: skip
MOST_LINES = 400
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "misc"}


def files() -> list[Path]:
    return sorted(
        path for package in PACKAGES for path in (PROJECT / package).rglob("*.py") if "node_modules" not in path.parts
    )


def module_of(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports anywhere in it, with the line. `from a import b` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import; say where it comes from"
            yield node.module or "", node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def violations(path: Path) -> list[str]:
    """What a file imports and must not."""
    module = module_of(path)
    own = module.partition(".")[0]
    found = []
    for imported, line in imports(path):
        where = f"{path.relative_to(PROJECT)}:{line} imports {imported}"
        top = imported.partition(".")[0]
        if top in PACKAGES and top != own:
            allowed = MAY_IMPORT[own]
            # `from cluster import paths` yields `cluster` first; for lab, `balancer` alone is only the way to a part.
            leads_there = any(part.startswith(imported + ".") for part in allowed) and "." not in imported
            if not within(imported, allowed) and not leads_there:
                found.append(f"{where}: {own} may import only {', '.join(allowed) or 'nothing of ours'}")
        if top == "tests":
            found.append(f"{where}: tests are for testing")
        for part, banned in BANNED.items():
            if within(module, (part,)) and within(imported, banned) and not within(module, SERVES):
                found.append(f"{where}: {part} is pure")
        if module in DATA_PATH and within(imported, ("flask", "requests", "urllib", "http.client", "werkzeug")):
            found.append(f"{where}: the data path speaks HTTP itself")
    return found


def test_there_is_something_to_look_at() -> None:
    seen = {module_of(path).partition(".")[0] for path in files()}
    assert {"cluster", "balancer", "node", "dashboard", "deploy"} <= seen
    modules = {module_of(path) for path in files()}
    assert set(DATA_PATH) <= modules, "a file of the data path was renamed: tell this test"
    assert set(BANNED) <= modules, "a pure file was renamed: tell this test"


def test_everyone_imports_only_what_the_design_allows() -> None:
    assert [text for path in files() for text in violations(path)] == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("cluster/x.py", "import balancer"),
        ("cluster/x.py", "from node import work"),
        ("cluster/x.py", "import gevent"),
        ("cluster/x.py", "from flask import Flask"),
        ("dashboard/x.py", "from balancer.scoreboard import Scoreboard"),
        ("dashboard/x.py", "def later():\n    import deploy.start"),
        ("node/x.py", "import dashboard"),
        ("deploy/x.py", "from balancer import cli"),
        ("balancer/x.py", "from deploy import start"),
        ("balancer/algorithms/x.py", "import time"),
        ("balancer/algorithms/x.py", "from gevent import sleep"),
        ("balancer/algorithms/x.py", "import socket"),
        ("balancer/worker.py", "import requests"),
        ("lab/x.py", "from balancer.worker import BalancerWorker"),
        ("lab/x.py", "from node import kinds"),
        ("balancer/x.py", "from tests.fleet import Fleet"),
    ],
)
def test_a_wrong_import_would_be_seen(place: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert violations(path)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("lab/x.py", "from balancer.algorithms import ALGORITHMS"),
        ("lab/x.py", "from balancer.scoreboard import Scoreboard"),
        ("lab/x.py", "from balancer import algorithms"),
        ("dashboard/x.py", "from cluster.wire import Snapshot"),
        ("balancer/algorithms/x.py", "from random import Random"),
        ("node/x.py", "from node.work import Backend"),
    ],
)
def test_a_right_import_is_let_pass(place: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert violations(path) == []


def test_a_file_is_what_one_person_reads_at_one_sitting() -> None:
    too_long = {
        str(path.relative_to(PROJECT)): lines
        for path in files()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert too_long == {}


def test_every_file_says_what_it_is_and_none_has_a_name_that_says_nothing() -> None:
    for path in files():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"
        assert path.stem not in VAGUE_NAMES, path
