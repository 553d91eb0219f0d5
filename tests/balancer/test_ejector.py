"""Passive ejection: when, how long, how many, and how it ends."""

from random import Random

import pytest

from balancer.algorithms.seen import SeenRequest
from balancer.ejector import Ejector
from balancer.picker import Picker
from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import N_ERRORS
from cluster.config import Ejection
from cluster.errors import NoReadyNode
from cluster.states import Admin, Health, State

SETTINGS = Ejection(consecutive_failures=3, base_s=5, max_s=40, max_share=0.5)
NOW = 1000.0


def board_of(*names: str) -> Scoreboard:
    return Scoreboard.in_memory(names or ("a", "b", "c", "d"))


def fail(ejector: Ejector, board: Scoreboard, name: str, now: float, times: int = 3) -> bool:
    node = {node.name: node for node in board.nodes}[name]
    return [ejector.failed(node, "refused", now) for _ in range(times)][-1]


def test_only_failures_in_a_row_eject() -> None:
    board = board_of()
    ejector, node = Ejector(board, SETTINGS), board.nodes[0]
    for _ in range(5):
        assert not fail(ejector, board, "a", NOW, times=2)
        node.answered(20.0, 0, True, True, NOW)
    assert node.ejected_until() == 0.0
    assert fail(ejector, board, "a", NOW)
    assert node.state(NOW) is State.EJECTED
    assert node.count(N_ERRORS) == 13


def test_the_pause_doubles_up_to_its_limit_and_then_stays() -> None:
    board = board_of()
    ejector, node, now = Ejector(board, SETTINGS), board.nodes[0], NOW
    pauses = []
    for _ in range(6):
        assert fail(ejector, board, "a", now)
        pauses.append(node.ejected_until() - now)
        now = node.ejected_until() + 0.01
    assert pauses == pytest.approx([5, 10, 20, 40, 40, 40])


def test_a_long_time_without_failures_is_forgiven() -> None:
    board = board_of()
    ejector, node, now = Ejector(board, SETTINGS), board.nodes[0], NOW
    for _ in range(3):
        assert fail(ejector, board, "a", now)
        now = node.ejected_until() + 0.01
    now += 1000
    assert fail(ejector, board, "a", now)
    assert node.ejected_until() - now == pytest.approx(5)


def test_it_comes_back_by_itself_when_the_pause_is_over() -> None:
    board = board_of()
    fail(Ejector(board, SETTINGS), board, "a", NOW)
    node = board.nodes[0]
    assert not node.ready(NOW + 4.9)
    assert node.ready(NOW + 5.1)


def test_never_more_than_the_share_sits_out() -> None:
    board = board_of()
    ejector = Ejector(board, SETTINGS)
    assert fail(ejector, board, "a", NOW)
    assert fail(ejector, board, "b", NOW)
    assert not fail(ejector, board, "c", NOW, times=20)
    assert sum(node.ejected_until() > NOW for node in board.nodes) == 2
    assert fail(ejector, board, "c", NOW + 6, times=1), "there is room again"


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (3, 0.0), (2, 0.1)])
def test_one_may_always_be_ejected(count: int, share: float) -> None:
    board = board_of(*"abc"[:count])
    ejector = Ejector(board, Ejection(consecutive_failures=1, max_share=share))
    assert fail(ejector, board, "a", NOW, times=1)


def test_switched_off_it_only_counts() -> None:
    board = board_of()
    assert not fail(Ejector(board, Ejection(enabled=False, consecutive_failures=1)), board, "a", NOW, times=50)
    assert board.nodes[0].count(N_ERRORS) == 50
    assert board.nodes[0].ready(NOW)


def test_failures_while_it_is_out_do_not_prolong_it() -> None:
    board = board_of()
    ejector = Ejector(board, SETTINGS)
    fail(ejector, board, "a", NOW)
    until = board.nodes[0].ejected_until()
    assert not fail(ejector, board, "a", NOW + 1, times=10)
    assert board.nodes[0].ejected_until() == until


def test_a_pardon_ends_it_and_the_next_failures_count_anew() -> None:
    board = board_of()
    ejector, node = Ejector(board, SETTINGS), board.nodes[0]
    fail(ejector, board, "a", NOW)
    node.pardon(NOW + 1)
    assert node.ready(NOW + 1)
    assert not fail(ejector, board, "a", NOW + 2, times=2)
    assert fail(ejector, board, "a", NOW + 2, times=1)
    assert node.state(NOW + 2) is State.EJECTED, "a pardon is no licence"


def test_one_worker_ejects_for_all() -> None:
    board = Scoreboard.in_memory(("a", "b"), slots=2)
    board.use_slot(1)
    assert fail(Ejector(board, SETTINGS), board, "a", NOW)
    board.use_slot(0)
    assert board.nodes[0].state(NOW) is State.EJECTED


def picker_over(board: Scoreboard) -> Picker:
    picker = Picker(board, "round_robin", 0.0, Random(1))
    picker.refresh(NOW)
    return picker


def test_when_only_ejected_nodes_are_left_they_are_used_after_all() -> None:
    board = board_of("a", "b")
    ejector = Ejector(board, Ejection(consecutive_failures=1, max_share=1.0))
    assert fail(ejector, board, "a", NOW, times=1)
    assert fail(ejector, board, "b", NOW, times=1)
    picker = picker_over(board)
    assert picker.bypassed
    assert {picker.pick(SeenRequest(sequence=n), (), NOW).name for n in range(4)} == {"a", "b"}


def test_the_last_resort_never_uses_what_probes_or_operators_took_out() -> None:
    board = board_of("a", "b", "c", "d")
    ejector = Ejector(board, Ejection(consecutive_failures=1, max_share=1.0))
    for name in "abcd":
        assert fail(ejector, board, name, NOW, times=1)
    board.nodes[0].order(admin=Admin.DRAINING)
    board.nodes[1].order(health=Health.DOWN)
    board.nodes[2].order(weight=0)
    picker = picker_over(board)
    assert {picker.pick(SeenRequest(sequence=n), (), NOW).name for n in range(8)} == {"d"}
    board.nodes[3].order(admin=Admin.MAINTENANCE)
    with pytest.raises(NoReadyNode, match="d maintenance"):
        picker.pick(SeenRequest(), (), NOW)
