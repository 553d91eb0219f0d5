"""Our programs on Windows' own CPython, under Wine: all of them can be imported.

Whether a real Windows agrees, docs/windows.md says what was shown and what not.
"""

import pytest

from tests.windows.wine import installed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]  # it may have the prefix to make, which takes most of a minute
SERVED = ("node.serve", "balancer.serve", "balancer.control", "dashboard.serve", "deploy.keeper.verbs", "balancer.cli")


def test_all_that_a_windows_host_runs_can_be_imported_there() -> None:
    wine = installed()
    names = "; ".join(f"import {name}" for name in SERVED)
    done = wine.run([wine.python, "-c", f"import sys; {names}; print(sys.platform)"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "win32\n", "")
