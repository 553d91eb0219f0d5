"""The pictures of docs/algorithms.md are what the classes do now."""

import subprocess
import sys
from pathlib import Path

import pytest

from balancer.algorithms import ALGORITHMS
from cluster.paths import PROJECT
from lab.pictures import FOLDER, picture


@pytest.mark.parametrize("key", list(ALGORITHMS))
def test_the_committed_picture_is_what_the_class_draws(key: str) -> None:
    assert (FOLDER / f"{key}.svg").read_text() == picture(key), "draw it again: python -m lab.pictures"


def test_help_draws_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "lab.pictures", "--help"]
    done = subprocess.run(argv, cwd=tmp_path, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
    assert (done.returncode, "FOLDER" in done.stdout, list(tmp_path.iterdir())) == (0, True, [])


def test_the_page_shows_one_for_each() -> None:
    page = (PROJECT / "docs" / "algorithms.md").read_text()
    assert [key for key in ALGORITHMS if f"](images/algorithms/{key}.svg)" not in page] == []
    assert {file.stem for file in FOLDER.glob("*.svg")} == set(ALGORITHMS), "one that is no longer there, or new"
