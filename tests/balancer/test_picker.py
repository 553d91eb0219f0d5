"""Which nodes are on offer, which algorithm is in force, and that a pick is counted before anything else can run."""

from collections import Counter
from random import Random

import pytest

from balancer.algorithms import ALGORITHMS
from balancer.algorithms.seen import SeenRequest
from balancer.http1_fields import SortedFields
from balancer.http1_request import Request
from balancer.picker import DOUBT_S, Picker
from balancer.scoreboard import Scoreboard
from cluster.errors import NoReadyNode
from cluster.states import Admin, Health

NOW = 1000.0


def made(names: str = "abc", key: str = "round_robin", slow_start_s: float = 0.0) -> tuple[Scoreboard, Picker]:
    board = Scoreboard.in_memory(tuple(names))
    picker = Picker(board, key, slow_start_s, Random(1))
    picker.refresh(NOW)
    return board, picker


def picks(picker: Picker, count: int, now: float = NOW) -> Counter[str]:
    out: Counter[str] = Counter()
    for _ in range(count):
        sequence = picker.sequence()
        request = SeenRequest(sequence=sequence, client_key=f"client {sequence}")
        node = picker.pick(request, (), now)
        node.end()
        if picker.tell_end is not None:
            picker.tell_end(node, request, now, 1.0, 1.0, True)
        out[node.name] += 1
    return out


def test_the_count_goes_up_with_the_pick() -> None:
    board, picker = made(key="least_connections")
    taken = [picker.pick(SeenRequest(), (), NOW) for _ in range(9)]
    assert [node.in_flight for node in board.nodes] == [3, 3, 3]
    for node in taken:
        node.end()
    assert [node.in_flight for node in board.nodes] == [0, 0, 0]


def test_orders_and_health_take_effect_at_the_next_pick() -> None:
    board, picker = made()
    board.nodes[0].order(admin=Admin.DRAINING)
    assert set(picks(picker, 6)) == {"b", "c"}
    board.nodes[1].order(health=Health.DOWN)
    assert set(picks(picker, 6)) == {"c"}
    board.nodes[0].order(admin=Admin.ENABLED)
    board.nodes[1].order(health=Health.UP)
    assert set(picks(picker, 6)) == {"a", "b", "c"}


def test_weight_zero_is_picked_by_nobody() -> None:
    board, picker = made()
    board.nodes[2].order(weight=0)
    assert set(picks(picker, 6)) == {"a", "b"}


@pytest.mark.parametrize("key", list(ALGORITHMS))
def test_a_switch_is_followed_at_the_next_pick_and_loses_no_count(key: str) -> None:
    board, picker = made(key="round_robin")
    held = picker.pick(SeenRequest(), (), NOW)
    picks(picker, 10)
    board.order_algorithm(key)
    picks(picker, 1)
    assert picker.algorithm.key == key
    assert picker.sequence() == 12
    assert held.in_flight == 1
    assert picker._board.worker(0, 1) == board.generation, "the control process sees that this worker has followed"


def test_an_unknown_key_on_the_scoreboard_falls_back_to_the_configured_one() -> None:
    board, picker = made(key="weighted")
    board.order_algorithm("from_a_newer_release")
    picks(picker, 1)
    assert picker.algorithm.key == "weighted"


def test_a_switch_back_to_the_same_algorithm_keeps_its_state() -> None:
    board, picker = made(key="weighted")
    before = picker.algorithm
    board.order_algorithm("weighted")
    picks(picker, 1)
    assert picker.algorithm is before


def test_tried_nodes_are_left_out_until_there_is_no_other() -> None:
    board, picker = made()
    tried = [board.nodes[0]]
    assert {picker.pick(SeenRequest(sequence=n), tried, NOW).name for n in range(6)} == {"b", "c"}
    tried = list(board.nodes)
    assert {picker.pick(SeenRequest(sequence=n), tried, NOW).name for n in range(6)} == {"a", "b", "c"}


def test_nobody_ready_says_who_is_in_which_state() -> None:
    board, picker = made("ab")
    board.nodes[0].order(admin=Admin.DRAINING, health=Health.UP)
    board.nodes[1].order(health=Health.DOWN)
    with pytest.raises(NoReadyNode, match=r"a draining/up, b enabled/down") as caught:
        picker.pick(SeenRequest(), (), NOW)
    assert caught.value.status == 503
    assert [node.in_flight for node in board.nodes] == [0, 0]


@pytest.mark.parametrize("key", list(ALGORITHMS))
def test_a_warming_node_gets_a_growing_share_whatever_the_algorithm(key: str) -> None:
    board, picker = made("ab", key, slow_start_s=10.0)
    board.nodes[1].order(health=Health.UP, slow_from=NOW)
    shares = []
    for age_s in (0.1, 5.0, 11.0):
        picker.refresh(NOW + age_s)
        shares.append(picks(picker, 2000, NOW + age_s)["b"] / 2000)
    assert shares[0] == pytest.approx(0.05, abs=0.03)
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] == pytest.approx(0.5, abs=0.05)


def test_a_warming_node_that_is_alone_gets_everything() -> None:
    board, picker = made("a", slow_start_s=10.0)
    board.nodes[0].order(health=Health.UP, slow_from=NOW)
    picker.refresh(NOW)
    assert picks(picker, 50) == {"a": 50}


def test_the_sequence_counts_all_workers_picks() -> None:
    board = Scoreboard.in_memory(("a", "b", "c"), slots=3)
    pickers = []
    for slot in range(3):
        board.use_slot(slot)
        picker = Picker(board, "round_robin", 0.0, Random(slot))
        picker.refresh(NOW)
        pickers.append(picker)
    names = []
    for n in range(30):  # whichever worker takes the next request, the nodes come in turn
        board.use_slot((n * 7) % 3)
        picker = pickers[board.slot]
        names.append(picker.pick(SeenRequest(sequence=picker.sequence()), (), NOW).name)
    assert "".join(names) == "abc" * 10


def request(method: bytes, sequence: int) -> Request:
    made = Request(SortedFields(method, [], version_1_1=True), b"/", b"a.example")
    made.sequence = sequence
    return made


def test_a_node_that_failed_gets_for_a_moment_only_what_may_be_sent_again() -> None:
    _, picker = made()
    picker.doubt(picker.ready[0], NOW)
    assert {picker.pick(request(b"GET", n), (), NOW).name for n in range(6)} == {"a", "b", "c"}
    assert {picker.pick(request(b"POST", n), (), NOW).name for n in range(6)} == {"b", "c"}
    picker.refresh(NOW + DOUBT_S + 0.1)
    assert {picker.pick(request(b"POST", n), (), NOW).name for n in range(6)} == {"a", "b", "c"}


def test_when_all_have_failed_each_of_them_is_as_good() -> None:
    _, picker = made("ab")
    for node in picker.ready:
        picker.doubt(node, NOW)
    assert {picker.pick(request(b"POST", n), (), NOW).name for n in range(6)} == {"a", "b"}
