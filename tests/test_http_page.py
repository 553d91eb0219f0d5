"""docs/http.md names a test for each rule: it exists, and says itself where the rule comes from."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\| (.+) \| (.+) \| `(\w+\.py)` (\w+) \|$", re.MULTILINE)
ROWS = ROW.findall((PROJECT / "docs" / "http.md").read_text(encoding="utf-8"))


def test_there_are_rules() -> None:
    assert len(ROWS) > 40


@pytest.mark.parametrize(("rule", "source", "file", "name"), ROWS, ids=[row[3] for row in ROWS])
def test_a_rule_has_its_test(rule: str, source: str, file: str, name: str) -> None:
    tree = ast.parse((PROJECT / "tests" / "balancer" / file).read_text(encoding="utf-8"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if source.startswith("RFC"):
        said = ast.get_docstring(function) or ""
        assert re.search(r"RFC \d+ (section|appendix)", said), f"{name} does not say where `{rule}` comes from"
