"""The scoreboard file: shared, rebuilt when it cannot be read, its counts carried on when the fleet changes."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import (
    H_BOOT,
    H_CHECK,
    H_NODES,
    H_SLOTS,
    H_VERSION,
    HEADER,
    N_ATTEMPTS,
    N_ERRORS,
    O_ADMIN,
    O_HEALTH,
    O_WEIGHT,
    ORDER,
    S_CONNECTIONS,
    S_IN_FLIGHT,
    S_REQUESTS,
    blank,
    names_of,
    size,
)
from cluster.histogram import BUCKETS
from cluster.states import Admin, Health, State

NAMES = ("l1", "l2", "l3")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "b1.scoreboard"


def busy(file: Path, names: tuple[str, ...] = NAMES, slots: int = 4) -> Scoreboard:
    """A board on which something happened: l1 has 3 attempts, 2 in flight, 1 error; l2 is drained, weight 9."""
    board = Scoreboard.open(file, names, slots)
    board.claim()
    for _ in range(3):
        board.nodes[0].start()
    board.nodes[0].end()
    board.q[board.nodes[0].own + N_ERRORS] += 1
    board.nodes[0].answered(20.0, 100, True, True, 1000.0)
    board.add(S_REQUESTS, 5)
    board.add(S_IN_FLIGHT, 2)
    board.add(S_CONNECTIONS, 2)
    board.nodes[1].order(admin=Admin.DRAINING, weight=9)
    board.order_algorithm("least_connections")
    return board


def gone(board: Scoreboard) -> None:
    """As when the only process that held it has ended."""
    board.save()
    os.close(board._fd)


def test_the_memory_outlives_whatever_becomes_of_its_files(file: Path) -> None:
    mine = busy(file)
    for damage in (
        lambda f: f.unlink(),
        lambda f: f.write_bytes(b""),
        lambda f: f.write_bytes(b"1 x 3\n\xff 2\n9 9 9\n"),
    ):
        damage(file)
        damage(file.with_name("b1.scoreboard.holders"))
        assert mine.is_current(), "it is announced again"
        other = Scoreboard.open(file, NAMES, 4)
        assert other.nodes[0].count(N_ATTEMPTS) == 3
        other.nodes[2].order(weight=7)
        assert mine.nodes[2].weight == 7
        mine.save()
    with pytest.raises(PermissionError):
        os.truncate(f"/proc/self/fd/{mine._fd}", 0)


def test_a_saved_copy_is_gone_on_with_when_nobody_lives(file: Path) -> None:
    gone(busy(file))
    board = Scoreboard.open(file, NAMES, 4)
    assert board.nodes[0].count(N_ATTEMPTS) == 3
    assert (board.nodes[1].admin, board.nodes[1].weight) == (Admin.DRAINING, 9)
    board.claim()
    assert board.nodes[0].in_flight == 0, "nobody is left to end what was in flight"


def test_counts_and_orders_are_seen_by_whoever_opens_it(file: Path) -> None:
    mine = busy(file)
    other = Scoreboard.open(file, NAMES, 4)
    other.refresh_live()
    assert other.nodes[0].in_flight == 2
    assert other.nodes[0].count(N_ATTEMPTS) == 3
    assert sum(other.nodes[0].histogram()) == 1
    assert other.total(S_REQUESTS) == 5
    assert (other.nodes[1].admin, other.nodes[1].weight) == (Admin.DRAINING, 9)
    assert other.nodes[1].state(0.0) is State.DRAINING
    assert other.algorithm == "least_connections"
    assert other.is_current()
    other.nodes[2].order(health=Health.DOWN)
    assert mine.nodes[2].health is Health.DOWN
    assert file.stat().st_mode & 0o777 == 0o600


def test_every_order_raises_the_generation(file: Path) -> None:
    board = Scoreboard.open(file, NAMES, 4)
    seen = [board.generation]
    board.order_algorithm("dynamic")
    seen.append(board.generation)
    board.nodes[0].order(weight=3)
    seen.append(board.generation)
    board.nodes[0].pardon(1.0)
    seen.append(board.generation)
    assert sorted(set(seen)) == seen


def test_opening_again_makes_nothing_anew(file: Path) -> None:
    busy(file)
    inode = file.stat().st_ino
    board = Scoreboard.open(file, NAMES, 4)
    assert file.stat().st_ino == inode
    assert board.nodes[0].count(N_ATTEMPTS) == 3


def spoil(data: bytearray, word: int, value: int) -> bytearray:
    struct.pack_into("q", data, word * 8, value)
    return data


DAMAGE = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "header only": lambda data: data[: HEADER * 8],
    "cut short": lambda data: data[:-8],
    "cut in a word": lambda data: data[:-3],
    "too long": lambda data: data + b"\0" * 8,
    "zeros": lambda data: bytes(len(data)),
    "another program's": lambda data: b"SQLite format 3\0" + data[16:],
    "another version": lambda data: spoil(data, H_VERSION, 99),
    "wrong count of nodes": lambda data: spoil(data, H_NODES, 2),
    "no nodes": lambda data: spoil(data, H_NODES, 0),
    "negative slots": lambda data: spoil(data, H_SLOTS, -4),
    "a billion slots": lambda data: spoil(data, H_SLOTS, 10**9),
    "wrong check": lambda data: spoil(data, H_CHECK, 1),
    "a name overwritten": lambda data: spoil(data, HEADER, 0x41414141),
    "an admin state that does not exist": lambda data: spoil(data, HEADER + O_ADMIN, 77),
    "a health that does not exist": lambda data: spoil(data, HEADER + ORDER + O_HEALTH, -1),
    "a weight below zero": lambda data: spoil(data, HEADER + O_WEIGHT, -5),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_file_that_is_not_a_scoreboard_is_made_anew(file: Path, damage) -> None:  # type: ignore[no-untyped-def]
    gone(busy(file))
    file.write_bytes(damage(bytearray(file.read_bytes())))
    board = Scoreboard.open(file, NAMES, 4)
    assert file.stat().st_size == size(3, 4)
    assert [node.name for node in board.nodes] == list(NAMES)
    assert [(node.admin, node.health, node.weight) for node in board.nodes] == [(Admin.ENABLED, Health.UNKNOWN, 1)] * 3
    assert board.total(S_REQUESTS) == 0
    assert board.claim() == 0


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_damage_of_the_header_never_stops_an_opener(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("board") / "b1.scoreboard"
    whole = bytearray(blank(NAMES, 2, 1))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, (HEADER + 3 * ORDER) * 8 - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(whole)
    board = Scoreboard.open(file, NAMES, 2)
    for node in board.nodes:
        node.ready(1000.0)
    assert isinstance(board.algorithm, str)


def test_a_folder_in_its_place_is_an_error_that_names_it(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(OSError, match=r"b1\.scoreboard"):
        Scoreboard.open(file, NAMES, 4)


def test_an_old_mapping_knows_that_it_is_old(file: Path) -> None:
    old = busy(file)
    Scoreboard.open(file, (*NAMES, "l4"), 4)
    assert not old.is_current()
    old.nodes[0].end()  # still its own memory: a worker that has not stopped yet does no harm
    old.save()
    assert names_of(file.read_bytes()) == (*NAMES, "l4"), "nor does it save what is of the past"
    file.unlink()
    assert not old.is_current()


@pytest.mark.parametrize(
    ("names", "slots"),
    [(("l1", "l2", "l3", "l4"), 4), (("l2", "l1"), 4), (("l0", "l1", "l2"), 4), (NAMES, 8), (NAMES, 1)],
    ids=["added", "removed and reordered", "replaced", "more workers", "fewer workers"],
)
def test_counts_and_orders_are_carried_over_by_name(file: Path, names: tuple[str, ...], slots: int) -> None:
    busy(file)
    board = Scoreboard.open(file, names, slots)
    nodes = {node.name: node for node in board.nodes}
    assert nodes["l1"].count(N_ATTEMPTS) == 3
    assert nodes["l1"].count(N_ERRORS) == 1
    assert (nodes["l2"].admin, nodes["l2"].weight) == (Admin.DRAINING, 9)
    assert board.total(S_REQUESTS) == 5
    assert board.algorithm == "least_connections"
    assert board.total(S_IN_FLIGHT) == 0
    assert [node.in_flight for node in board.nodes] == [0] * len(names)
    for name in set(names) - set(NAMES):
        assert nodes[name].count(N_ATTEMPTS) == 0
        assert (nodes[name].admin, nodes[name].weight) == (Admin.ENABLED, 1)


def test_after_a_reboot_times_are_dropped_and_orders_and_counts_stay(file: Path) -> None:
    board = busy(file)
    board.nodes[0].order(health=Health.UP, slow_from=1e9)
    board.nodes[0].reported({"rif": 1, "slots": 2, "service_ms": 3.0}, 1e9)
    board.nodes[1].report_probed({"rif": 1, "slots": 2, "service_ms": 3.0}, 1e9)
    board.q[H_BOOT] = 12345
    again = Scoreboard.open(file, NAMES, 4)
    assert again.nodes[0].newest_report() is None
    assert again.nodes[1].newest_report() is None
    assert again.nodes[0].latency_ms()[1] == 0.0
    assert again.nodes[0].slow_start(10.0, 10.0) == 1.0
    assert again.nodes[0].health is Health.UNKNOWN
    assert again.nodes[1].admin is Admin.DRAINING
    assert again.nodes[0].count(N_ATTEMPTS) == 3


def test_the_newest_report_wins_and_counts_what_was_sent_since(file: Path) -> None:
    board = Scoreboard.open(file, NAMES, 4)
    board.claim()
    node = board.nodes[0]
    assert node.newest_report() is None
    node.report_probed({"rif": 1, "slots": 4, "service_ms": 10.0}, 5.0)
    assert node.newest_report() == ({"rif": 1, "slots": 4, "service_ms": 10.0}, 5.0, 0)
    node.reported({"rif": 2, "slots": 4, "service_ms": 11.0}, 6.0)
    node.start()
    node.start()
    assert node.newest_report() == ({"rif": 2, "slots": 4, "service_ms": 11.0}, 6.0, 2)
    node.report_probed({"rif": 7, "slots": 4, "service_ms": 12.0}, 7.0)
    assert node.newest_report() == ({"rif": 7, "slots": 4, "service_ms": 12.0}, 7.0, 0)


def test_moving_averages(file: Path) -> None:
    board = Scoreboard.open(file, NAMES, 4)
    board.claim()
    node = board.nodes[0]
    assert node.latency_ms() == (0.0, 0.0)
    node.answered(100.0, 1, True, False, 1.0)
    assert node.latency_ms() == (100.0, 1.0)
    assert node.own_service_ms() == (0.0, 0.0), "it had to wait, so it says nothing of pure service time"
    node.answered(200.0, 1, True, True, 2.0)
    assert node.latency_ms() == pytest.approx((105.0, 2.0))
    assert node.own_service_ms() == (200.0, 2.0)
    node.answered(50.0, 1, True, True, 3.0)
    assert node.own_service_ms() == pytest.approx((100.0, 3.0)), "the geometric mean of the first few"
    node.answered(0.1, 1, False, True, 4.0)
    assert node.latency_ms()[1] == node.own_service_ms()[1] == 3.0, "an error's time says nothing of the node's speed"
    assert node.histogram()[1] == 4


def test_slow_start_grows_from_a_tenth_to_the_whole() -> None:
    node = Scoreboard.in_memory(("a",)).nodes[0]
    node.order(slow_from=100.0)
    shares = [node.slow_start(100.0 + age_s, 10.0) for age_s in (0, 0.5, 5, 10, 20)]
    assert shares == pytest.approx([0.1, 0.1, 0.5, 1.0, 1.0])
    assert node.slow_start(100.0, 0.0) == 1.0, "switched off"


def test_histograms_of_all_workers_add_up() -> None:
    board = Scoreboard.in_memory(("a", "b"), slots=3)
    for slot in range(3):
        board.use_slot(slot)
        board.nodes[1].answered(1.0, 7, True, True, 1.0)
        board.q[board.own_histogram + 9] += slot
    assert board.nodes[1].histogram()[7] == 3
    assert sum(board.nodes[0].histogram()) == 0
    assert board.histogram()[9] == 3
    assert len(board.histogram()) == BUCKETS


def test_a_worker_writes_only_its_own_slot() -> None:
    board = Scoreboard.in_memory(NAMES, slots=3)
    board.use_slot(1)
    before = bytes(board._bytes)
    node = board.nodes[2]
    node.start()
    node.answered(20.0, 5, True, True, 3.0)
    node.reported({"rif": 1, "slots": 2, "service_ms": 3.0}, 3.0)
    node.end()
    board.add(S_REQUESTS)
    changed = {i // 8 for i, (a, b) in enumerate(zip(before, bytes(board._bytes), strict=True)) if a != b}
    assert changed
    assert min(changed) >= board.slot_at(1)
    assert max(changed) < board.slot_at(2)
