"""Routes, sticky cookies, and the queue for nodes that have as much as they may."""

from random import Random
from types import SimpleNamespace

import gevent
import pytest

from balancer.picker import Picker
from balancer.request_queue import RequestQueue
from balancer.routes import Routes
from balancer.scoreboard import Scoreboard
from balancer.sticky import StickyCookie
from cluster.config import Balancer, Node, Queue, Route, Sticky
from cluster.errors import AllBusy, ConfigError, NoReadyNode
from cluster.load import parse

NODES = (
    Node(name="l1", port=1),
    Node(name="l2", port=2, kind="image"),  # type: ignore[arg-type]
    Node(name="l3", port=3, kind="image"),  # type: ignore[arg-type]
)


def request() -> SimpleNamespace:
    return SimpleNamespace(kind="general", client_key="c", sequence=0)


# -- routes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "group"),
    [
        (b"/", 0),
        (b"/image", 1),
        (b"/image/7", 1),
        (b"/image?x=1", 1),
        (b"/images", 0),
        (b"/image/thumb/1", 2),
        (b"/other/image", 0),
    ],
)
def test_longest_prefix_of_whole_segments_counts(target: bytes, group: int) -> None:
    routes = (Route(path="/image", kind="image"), Route(path="/image/thumb", nodes=("l1",)))  # type: ignore[arg-type]
    found = Routes(Balancer(name="b", routes=routes), NODES)
    assert found.group_of(target) == group
    assert found.groups == [frozenset({0, 1, 2}), frozenset({1, 2}), frozenset({0})]


def test_groups_rotate_each_on_their_own() -> None:
    """Requests that alternate between two routes must not lock round robin to one node of each."""
    board = Scoreboard.in_memory(["a", "b"])
    picker = Picker(board, "round_robin", 0, Random(1), [frozenset({0, 1}), frozenset({0, 1})])
    seen = []
    for _ in range(4):
        for group in (0, 1):
            asked = request()
            asked.sequence = picker.sequence(group)
            node = picker.pick(asked, (), 0.0, group)
            node.end()
            seen.append((group, node.name))
    assert [name for group, name in seen if group == 0] == ["a", "b", "a", "b"]
    assert [name for group, name in seen if group == 1] == ["a", "b", "a", "b"]


def test_a_route_to_nowhere_is_a_problem_with_its_path() -> None:
    text = """{"balancers": [{"name": "b1", "routes": [{"path": "/a"}, {"path": "/b", "nodes": ["zz"]},
               {"path": "/c", "kind": "video"}]}], "nodes": [{"name": "l1", "port": 5001}]}"""
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert [p.path for p in error.value.problems] == [
        "balancers[0].routes[0]",
        "balancers[0].routes[1].nodes",
        "balancers[0].routes[2].kind",
    ]


# -- stickiness ----------------------------------------------------------------------------------------------------


def cookie_of(line: bytes) -> bytes:
    return line.removeprefix(b"Set-Cookie: ").partition(b";")[0]


def test_the_cookie_names_its_node_and_cannot_be_made_up() -> None:
    sticky = StickyCookie(Sticky(max_age_s=60), "secret")
    line = sticky.line("l2")
    assert b"HttpOnly" in line
    assert b"Max-Age=60" in line
    good = cookie_of(line)
    assert sticky.node_of([(b"Cookie", b"a=b; " + good)]) == "l2"
    assert sticky.node_of([(b"cookie", good.replace(b"l2", b"l3"))]) is None
    assert sticky.node_of([(b"cookie", b"fairlead=l2.")]) is None
    assert StickyCookie(Sticky(), "other").node_of([(b"cookie", good)]) is None
    assert sticky.node_of([]) is None


def test_a_preferred_node_is_taken_only_while_it_is_ready() -> None:
    board = Scoreboard.in_memory(["a", "b"])
    picker = Picker(board, "round_robin", 0, Random(1))
    assert [picker.pick(request(), (), 0.0, preferred="b").name for _ in range(3)] == ["b", "b", "b"]
    assert picker.pick(request(), [board.nodes[1]], 0.0, preferred="b").name == "a"  # it was tried and failed
    assert picker.pick(request(), (), 0.0, preferred="gone").name == "a"


# -- late binding --------------------------------------------------------------------------------------------------


def test_a_full_node_is_not_picked_and_all_full_is_said() -> None:
    board = Scoreboard.in_memory(["a", "b"])
    for node in board.nodes:
        node.max_in_flight = 1
    picker = Picker(board, "least_connections", 0, Random(1))
    assert {picker.pick(request(), (), 0.0).name for _ in range(2)} == {"a", "b"}
    with pytest.raises(AllBusy):
        picker.pick(request(), (), 0.0)
    board.nodes[1].end()
    assert picker.pick(request(), (), 0.0).name == "b"


def test_the_queue_is_first_come_first_served() -> None:
    queue, room, order = RequestQueue(Queue()), [0], []

    def client(number: int) -> None:
        def attempt() -> int:
            if not room[0]:
                raise AllBusy("all_busy", "")
            room[0] -= 1
            return number

        order.append(queue.wait(attempt, lambda: None))

    clients = [gevent.spawn(client, number) for number in range(5)]
    gevent.sleep(0)
    for _ in range(5):
        room[0] += 1
        queue.wake()
        gevent.sleep(0)
    gevent.joinall(clients, timeout=5, raise_error=True)
    assert order == [0, 1, 2, 3, 4]
    assert not queue.line


def test_the_queue_is_bounded_and_says_why() -> None:
    with pytest.raises(NoReadyNode) as full:
        RequestQueue(Queue(size=0)).wait(lambda: 1, lambda: None)
    assert full.value.reason == "queue_full"

    def busy() -> int:
        raise AllBusy("all_busy", "")

    queue = RequestQueue(Queue(timeout_s=0.001))
    with pytest.raises(NoReadyNode) as late:
        queue.wait(busy, lambda: None)
    assert late.value.reason == "queue_timeout"
    assert not queue.line


def test_who_leaves_the_line_lets_the_next_one_look() -> None:
    queue = RequestQueue(Queue())

    class Gone(Exception):
        pass

    def busy() -> int:
        raise AllBusy("all_busy", "")

    def gone() -> None:
        raise Gone

    with pytest.raises(Gone):
        queue.wait(busy, gone)
    assert queue.wait(lambda: 7, lambda: None) == 7
