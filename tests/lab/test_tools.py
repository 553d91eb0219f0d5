"""The way to the lab's tools, and what they say when something that they need is not there."""

import subprocess

import pytest

from cluster.paths import PROJECT
from lab import tools


def test_what_is_missing_is_named_with_the_way_out() -> None:
    tools.need("json", "socket")
    with pytest.raises(SystemExit) as caught:
        tools.need("json", "no_such_package", "nor_this_one")
    assert caught.value.code == (
        "no_such_package, nor_this_one is not installed: scripts/linux/lab installs what the lab needs and runs it"
    )


@pytest.mark.parametrize("given", [[], ["nothing"], ["../lab"], [""]])
def test_the_script_names_its_tools(given: list[str]) -> None:
    done = subprocess.run(["scripts/linux/lab", *given], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 2
    known = done.stderr.rpartition(": ")[2].split()
    assert {
        "simulate",
        "load",
        "compare_algorithms",
        "bench",
        "faults",
        "lan",
        "replay",
        "pictures",
        "pick_cost",
    } == set(known)
