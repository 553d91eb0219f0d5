"""Where a fleet keeps its files."""

from pathlib import Path

import pytest

from cluster import paths


def test_by_default_they_are_the_projects_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAIRLEAD_STATE", "FAIRLEAD_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    project = Path(__file__).parents[2]
    assert paths.config_file() == project / "config.json"
    assert (paths.state_dir(), paths.log_dir()) == (project / ".run", project / "logs")


def test_two_variables_move_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path / "run"))
    monkeypatch.setenv("FAIRLEAD_CONFIG", str(tmp_path / "lab.json"))
    inside = [
        paths.token_file(),
        paths.scoreboard_file("b1"),
        paths.orders_file("b1"),
    ]
    assert {path.parent for path in inside} == {tmp_path / "run"}
    assert len(set(inside)) == len(inside)
    assert (paths.config_file(), paths.log_dir()) == (tmp_path / "lab.json", tmp_path / "logs")


def test_relative_ones_are_made_absolute_and_empty_ones_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRLEAD_STATE", "here")
    assert paths.state_dir() == tmp_path / "here"
    monkeypatch.setenv("FAIRLEAD_STATE", "")
    assert paths.state_dir() == paths.PROJECT / ".run"
