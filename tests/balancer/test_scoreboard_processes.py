"""The scoreboard among real processes: slots are owned by living ones, and what a killed one held goes back to zero."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import N_ATTEMPTS, S_CONNECTIONS, S_IN_FLIGHT, S_PID, S_REQUESTS
from cluster import paths

NAMES = ("l1", "l2", "l3")
SLOTS = 4

WORKER = """
import sys
from pathlib import Path
from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import S_CONNECTIONS, S_IN_FLIGHT, S_REQUESTS
board = Scoreboard.open(Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]))
try:
    slot = board.claim()
except RuntimeError as error:
    print(error, flush=True)
    raise SystemExit(1)
for node in board.nodes:
    node.start()
    node.start()
    node.end()
board.add(S_REQUESTS, 10)
board.add(S_IN_FLIGHT, 3)
board.add(S_CONNECTIONS, 4)
print(slot, flush=True)
sys.stdin.read()
"""


class Worker:
    """A process that claims a slot and has one request in flight at each node."""

    def __init__(self, file: Path, names: tuple[str, ...] = NAMES, slots: int = SLOTS) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(file), ",".join(names), str(slots)],
            cwd=paths.PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def said(self) -> str:
        """Its slot, or why it has none; waits for it."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "b1.scoreboard"


@pytest.fixture
def start(file: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(*args: object) -> Worker:
        workers.append(Worker(file, *args))  # type: ignore[arg-type]
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def test_living_workers_have_slots_of_their_own_and_a_killed_one_leaves_no_trace_but_its_counts(
    file: Path, start: Callable[..., Worker]
) -> None:
    workers = [start() for _ in range(SLOTS)]
    slots = [worker.said() for worker in workers]
    assert set(slots) == {"0", "1", "2", "3"}
    board = Scoreboard.open(file, NAMES, SLOTS)
    board.refresh_live()
    assert board.reap() == 0, "all are alive"
    assert [node.in_flight for node in board.nodes] == [4, 4, 4]
    assert {board.worker(slot, S_PID) for slot in range(SLOTS)} == {worker.process.pid for worker in workers}

    assert start().said() == "all 4 worker slots of the scoreboard are taken"

    workers[1].kill()
    workers[3].kill()
    assert board.reap() == 2
    assert board.reap() == 0, "each death is told once"
    assert [node.in_flight for node in board.nodes] == [2, 2, 2]
    assert board.total(S_IN_FLIGHT) == 6
    assert board.total(S_CONNECTIONS) == 8
    assert board.total(S_REQUESTS) == 40, "what the dead had counted stays counted"
    assert [node.count(N_ATTEMPTS) for node in board.nodes] == [8, 8, 8]

    successor = start()
    assert successor.said() in (slots[1], slots[3])
    board.refresh_live()
    assert board.total(S_REQUESTS) == 50
    assert [node.in_flight for node in board.nodes] == [3, 3, 3]

    for worker in (workers[0], workers[2], successor):
        worker.kill()
    assert board.reap() == 3
    assert [node.in_flight for node in board.nodes] == [0, 0, 0]
    assert (board.total(S_IN_FLIGHT), board.total(S_CONNECTIONS), board.total(S_REQUESTS)) == (0, 0, 50)


def test_a_new_worker_clears_what_its_dead_forerunner_held_even_if_nobody_reaped(
    file: Path, start: Callable[..., Worker]
) -> None:
    first = start((*NAMES,), 1)
    assert first.said() == "0"
    board = Scoreboard.open(file, NAMES, 1)  # as control does: while one process lives, nothing is lost
    first.kill()
    assert start((*NAMES,), 1).said() == "0"
    assert [node.in_flight for node in board.nodes] == [1, 1, 1]
    assert board.total(S_REQUESTS) == 20


def test_many_openers_at_once_agree_on_one_file(file: Path, start: Callable[..., Worker]) -> None:
    for _ in range(2):
        file.write_bytes(b"not a scoreboard")
        workers = [start() for _ in range(SLOTS)]
        assert {worker.said() for worker in workers} == {"0", "1", "2", "3"}
        board = Scoreboard.open(file, NAMES, SLOTS)
        assert board.total(S_REQUESTS) == 40
        for worker in workers:
            worker.kill()
        os.close(board._fd)  # nobody holds it any more, and the copy on the disk is damaged again


def test_a_changed_fleet_at_the_same_time_from_two_processes(file: Path, start: Callable[..., Worker]) -> None:
    assert start().said() == "0"
    names = ("l1", "l3", "l4")
    both = [start(names), start(names)]
    assert {worker.said() for worker in both} == {"0", "1"}
    board = Scoreboard.open(file, names, SLOTS)
    board.refresh_live()
    assert board.total(S_REQUESTS) == 30, "10 carried over, 10 of each"
    assert [node.count(N_ATTEMPTS) for node in board.nodes] == [6, 6, 4]
    assert [node.in_flight for node in board.nodes] == [2, 2, 2]


def test_reaping_takes_no_time_to_speak_of(file: Path, start: Callable[..., Worker]) -> None:
    worker = start()
    worker.said()
    board = Scoreboard.open(file, NAMES, SLOTS)
    worker.kill()
    begun = time.monotonic()
    assert board.reap() == 1
    assert time.monotonic() - begun < 0.05


def test_a_full_disk_keeps_no_worker_from_joining(
    file: Path, start: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start().said() == "0"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("balancer.scoreboard.shared_memory.announce", full)
    board = Scoreboard.open(file, NAMES, SLOTS)
    assert (board.claim(), board.total(S_REQUESTS)) == (1, 10)
    with pytest.raises(OSError, match="No space"):  # nobody would find this one
        Scoreboard.open(file.with_name("other"), NAMES, SLOTS)


def test_when_all_were_killed_on_a_full_disk_the_next_ones_find_each_other(
    file: Path, start: Callable[..., Worker]
) -> None:
    first = start()
    assert first.said() == "0"
    first.kill()
    file.with_name(f"{file.name}.holders.new").mkdir()  # like a full disk: no new file, but the old one can be written
    board = Scoreboard.open(file, NAMES, SLOTS)
    assert board.claim() == 0
    again = Scoreboard.open(file, NAMES, SLOTS)
    board.q[board.slot_at(0) + S_REQUESTS] = 77
    again.refresh_live()
    assert again.total(S_REQUESTS) == 77
