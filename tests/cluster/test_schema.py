"""The generated reference of config.json: up to date, complete, and its examples work."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cluster import config, schema
from cluster.load import parse

PROJECT = Path(__file__).parents[2]


def models() -> Iterator[type[BaseModel]]:
    for value in vars(config).values():
        if isinstance(value, type) and issubclass(value, config.Model) and value is not config.Model:
            yield value


def test_the_generated_files_are_what_the_models_say_now() -> None:
    assert schema.stale(PROJECT) == [], "run: python -m cluster.schema"


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for path, text in schema.files().items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert schema.stale(tmp_path) == []
    (tmp_path / schema.MANUAL).write_text("old", encoding="utf-8")
    (tmp_path / schema.SCHEMA).unlink()
    assert schema.stale(tmp_path) == [schema.SCHEMA, schema.MANUAL]


def test_every_model_has_its_section_and_every_field_its_description() -> None:
    assert {m.__name__ for m in models()} == set(schema.WHERE)
    for model in models():
        for name, field in model.model_fields.items():
            inner = field.annotation
            described = field.description or (isinstance(inner, type) and inner.__doc__)
            assert described, f"{model.__name__}.{name} has no description"
            assert f"| `{name}` |" in schema.manual()


def test_no_cell_of_the_manual_is_empty() -> None:
    for line in schema.manual().splitlines():
        if line.startswith("| "):
            assert all(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]), line


def test_links_inside_the_manual_lead_to_headings() -> None:
    text = schema.manual()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("## ")
    }
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert links
    assert links <= headings


@pytest.mark.parametrize("title", schema.EXAMPLES)
def test_the_examples_are_good_configurations(title: str) -> None:
    assert parse(schema.EXAMPLES[title]).nodes


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    def objects(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            if "properties" in part:
                yield part
            for value in part.values():
                yield from objects(value)

    found = list(objects(json.loads(schema.files()[schema.SCHEMA])))
    assert len(found) == len(schema.WHERE)
    assert all(part["additionalProperties"] is False for part in found)


def test_the_check_option_says_what_is_stale_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(schema.paths, "PROJECT", tmp_path)
    assert schema.main(["--check"]) == 1
    assert f"{schema.MANUAL} is stale" in capsys.readouterr().out
    assert list((tmp_path / "docs").iterdir()) == []
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0
