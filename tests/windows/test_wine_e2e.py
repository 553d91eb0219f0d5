"""Our programs on Windows' own CPython, under Wine: all of them can be imported, and one that only asks can be run.

Whether a real Windows agrees, docs/windows.md says what was shown and what not.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.windows.wine import PROJECT, Wine, installed, windows_path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]  # the first one makes the prefix, which takes most of a minute
SERVED = ("node.serve", "balancer.serve", "balancer.control", "dashboard.serve", "deploy.keeper.verbs", "balancer.cli")


@pytest.fixture(scope="module")
def wine() -> Iterator[Wine]:
    made = installed()
    made.keep_warm()
    yield made
    made.end()


def test_all_that_a_windows_host_runs_can_be_imported_there(wine: Wine) -> None:
    names = "; ".join(f"import {name}" for name in SERVED)
    done = wine.run([wine.python, "-c", f"import sys; {names}; print(sys.platform)"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "win32\n", "")


@pytest.mark.parametrize(("text", "code"), [(None, 0), ("{", 2)], ids=["the one that comes along", "one that is none"])
def test_check_says_whether_a_config_is_good(wine: Wine, tmp_path: Path, text: str | None, code: int) -> None:
    config = PROJECT / "config.json"
    if text is not None:
        config = tmp_path / "a b.json"
        config.write_text(text)
    done = wine.run([wine.python, "-m", "balancer.cli", "check", "--config", windows_path(config)])
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
