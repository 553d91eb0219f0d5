"""Asking nodes for their load beside the traffic: whom, how often, and what an answer or a silence leads to."""

from collections.abc import Callable, Iterator
from time import monotonic

import gevent
import pytest
from gevent.server import StreamServer
from gevent.socket import socket as Socket

from balancer.load_probes import BURST, TIMEOUT_S, LoadProbes
from balancer.scoreboard import Scoreboard
from balancer.stream import Waits
from balancer.upstream import NodePool
from cluster.config import Limits, Node, Timeouts
from cluster.wire import NodeReport, report_to_orca

REPORT = NodeReport(rif=3, slots=8, service_ms=12.5)
ANSWER = f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nendpoint-load-metrics: {report_to_orca(REPORT)}\r\n\r\n{{}}".encode()


class Answering:
    """One node behind a real socket, asked by one worker; `behave` answers a question."""

    def __init__(self, behave: Callable[[Socket], None], **node: object) -> None:
        self.asked: list[bytes] = []
        self.connections = 0
        self.heard: list[tuple[int, NodeReport]] = []
        self.behave = behave
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self._waits = Waits()
        port = int(self._server.server_port)
        pool = NodePool("l1", "127.0.0.1", port, Timeouts(), Limits(), self._waits)
        made = Node.model_validate({"name": "l1", "port": port, **node})
        self.board = Scoreboard.in_memory(("l1",))
        self.probes = LoadProbes([pool], [made], lambda index, report, now: self.heard.append((index, report)))

    def _serve(self, sock: Socket, address: object) -> None:
        self.connections += 1
        while data := sock.recv(4096):
            self.asked.append(data)
            self.behave(sock)

    def send(self, now: float) -> None:
        self.probes.send(self.board.nodes, now)

    def settle(self) -> None:
        """Until nothing is under way."""
        with gevent.Timeout(3):
            while self.probes._asking:
                gevent.sleep(0.002)

    def close(self) -> None:
        self._server.stop()
        self._waits.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Answering]]:
    made: list[Answering] = []

    def make(behave: Callable[[Socket], None] = lambda sock: sock.sendall(ANSWER), **node: object) -> Answering:
        made.append(Answering(behave, **node))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_an_answer_is_heard_and_the_connection_is_kept_for_the_next(make: Callable[..., Answering]) -> None:
    node = make()
    for _ in range(3):
        node.send(monotonic() + 1)
        node.settle()
    assert node.heard == [(0, REPORT)] * 3
    assert node.connections == 1
    assert node.asked[0].startswith(b"GET /-/load HTTP/1.1\r\nHost: 127.0.0.1:")


def test_one_question_at_a_time_and_none_right_after_another(make: Callable[..., Answering]) -> None:
    node = make()
    for _ in range(20):
        node.send(monotonic())
    node.settle()
    node.send(monotonic())
    node.settle()
    assert len(node.asked) == 1


def test_no_more_than_so_many_a_second(make: Callable[..., Answering]) -> None:
    node = make()
    probes = node.probes
    assert sum(probes._may(100.0) for _ in range(500)) == BURST
    assert sum(probes._may(100.01 + n * 0.001) for n in range(500)) == pytest.approx(200, abs=5)


@pytest.mark.parametrize("behave", ["silent", "closes", "not_http", "no_report"])
def test_what_is_no_report_changes_nothing_and_the_next_question_is_asked(
    make: Callable[..., Answering], behave: str
) -> None:
    does: dict[str, Callable[[Socket], None]] = {
        "silent": lambda sock: None,
        "closes": lambda sock: sock.close(),
        "not_http": lambda sock: sock.sendall(b"220 smtp\r\n"),
        "no_report": lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    }
    node = make(does[behave])
    begun = monotonic()
    node.send(begun)
    node.settle()
    assert monotonic() - begun < TIMEOUT_S + 0.4
    assert node.heard == []
    node.behave = lambda sock: sock.sendall(ANSWER)
    node.send(monotonic() + 1)
    node.settle()
    assert node.heard == [(0, REPORT)]


def test_a_node_that_is_gone_is_asked_in_vain(make: Callable[..., Answering]) -> None:
    node = make()
    node._server.stop()
    node.send(monotonic())
    node.settle()
    assert node.heard == []


def test_a_program_of_somebody_else_is_asked_on_its_probe_path_and_only_once_it_has_reported(
    make: Callable[..., Answering],
) -> None:
    node = make(runs="external", address="127.0.0.1", probe={"path": "/healthz"})
    node.send(monotonic())
    node.settle()
    assert node.asked == []
    node.board.nodes[0].reported(REPORT, 1.0)
    node.send(monotonic())
    node.settle()
    assert node.asked[0].startswith(b"GET /healthz HTTP/1.1")
    silent = make(runs="external", address="127.0.0.1", probe={"enabled": False})
    silent.board.nodes[0].reported(REPORT, 1.0)
    silent.send(monotonic())
    assert not silent.probes._asking
