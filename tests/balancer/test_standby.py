"""Whose turn it is, when the files that say so are removed, made anew or cannot be written.

Each `Turn` stands for a master; that they are in one process is nothing to the lock.
"""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from balancer.standby import Turn
from cluster import pair

WITHIN_S = 10.0


class Master:
    """What a turn sees of gunicorn's master, and whether it serves."""

    def __init__(self, state: Path) -> None:
        self.told_to_stop = False
        self.serves = threading.Event()
        self.gunicorn = SimpleNamespace(stop=lambda graceful: None, manage_workers=lambda: None, SIG_QUEUE=None)
        self._turn = Turn(state, "balancer")
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        self._turn.wait(self.gunicorn)
        self.serves.set()

    def beats(self) -> None:
        """What gunicorn does once a second."""
        self.gunicorn.manage_workers()

    def ends(self) -> None:
        self.gunicorn.stop(True)


def serving(*masters: Master) -> list[Master]:
    return [master for master in masters if master.serves.is_set()]


def test_only_who_waits_says_that_it_stands_by(tmp_path: Path) -> None:
    first = Master(tmp_path)
    assert first.serves.wait(WITHIN_S)
    assert not pair.standby_file(tmp_path, "balancer").exists()
    second = Master(tmp_path)
    until_stands_by(tmp_path)
    assert not second.serves.is_set()
    first.ends()
    assert second.serves.wait(WITHIN_S)


def until_stands_by(state: Path) -> None:
    ticking = threading.Event()
    for _ in range(int(WITHIN_S / 0.01)):
        if pair.read_pid(pair.standby_file(state, "balancer")):
            return
        ticking.wait(0.01)
    pytest.fail("nobody stands by")


def test_two_do_not_serve_when_the_file_was_removed(tmp_path: Path) -> None:
    first = Master(tmp_path)
    assert first.serves.wait(WITHIN_S)
    second = Master(tmp_path)
    until_stands_by(tmp_path)
    pair.serving_file(tmp_path, "balancer").unlink()
    pair.standby_file(tmp_path, "balancer").unlink()
    first.beats()
    assert pair.read_pid(pair.serving_file(tmp_path, "balancer"))
    until_stands_by(tmp_path)  # the second asks for the lock that counts now
    pair.standby_file(tmp_path, "balancer").unlink()
    third = Master(tmp_path)
    until_stands_by(tmp_path)
    assert serving(first, second, third) == [first]
    first.ends()
    assert second.serves.wait(WITHIN_S) or third.serves.is_set()


@pytest.mark.parametrize("full", ["serving", "standby"])
def test_a_full_disk_keeps_nobody_from_serving(tmp_path: Path, full: str) -> None:
    """The pids are for people and for deploys."""
    (tmp_path / f"balancer.{full}").symlink_to("/dev/full")
    first = Master(tmp_path)
    assert first.serves.wait(WITHIN_S)
    second = Master(tmp_path)
    first.ends()
    assert second.serves.wait(WITHIN_S)


def test_garbage_is_written_over(tmp_path: Path) -> None:
    file = pair.serving_file(tmp_path, "balancer")
    file.write_bytes(b"\xff\0" * 5000)
    assert pair.read_pid(file) == 0
    assert Master(tmp_path).serves.wait(WITHIN_S)
    assert pair.read_pid(file)
