"""Who is waited for before a worker that was told to stop accepts no more."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from balancer import standby
from cluster import pair


@pytest.fixture
def master() -> Iterator[tuple[int, int]]:
    """A process with one child: both pids."""
    script = "sleep 60 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process.pid, child
        os.kill(child, 9)


def test_a_worker_that_has_not_claimed_its_place_is_waited_for(master: tuple[int, int]) -> None:
    parent, child = master
    assert standby.has_workers_to_come(parent, {1})
    assert not standby.has_workers_to_come(parent, {1, child})


def test_a_master_without_workers_is_waited_for_and_a_dead_one_is_not(master: tuple[int, int]) -> None:
    _, without = master
    assert standby.has_workers_to_come(without, set())
    with subprocess.Popen(["true"]) as ended:
        pass
    assert not standby.has_workers_to_come(ended.pid, set())


def test_who_is_not_one_of_two_has_nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path))
    monkeypatch.delenv(standby.PAIR, raising=False)
    assert standby.serving_master() == 0
    monkeypatch.setenv(standby.PAIR, "balancer")
    assert standby.serving_master() == 0  # nobody has served yet
    pair.serving_file(tmp_path, "balancer").write_text("17")
    assert standby.serving_master() == 17
