"""The fault table: how rows are counted, what promises say, what clients call a failure, what is printed."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import gevent
import pytest
from rich.console import Console

from lab.bench.processes import Processes, free_ports
from lab.faults import __main__ as command
from lab.faults.balancers import BALANCERS
from lab.faults.load import Client
from lab.faults.registry import FAULTS
from lab.faults.rows import Record, Row, always, at_most, gets, posts, row
from lab.faults.stage import NODES, Child
from lab.faults.table import cells, kinds, markdown, notes, table

LONG = "a-request-that-takes-long"


def record(
    at: float, outcome: str = "ok", *, ms: float = 5.0, client: int = 0, method: str = "GET", node: str = "l1"
) -> Record:
    return Record(at, ms, client, method, outcome, node if outcome == "ok" else "")


def made(records: list[Record], executed: Counter[str] | None = None, taken_back: float | None = 14.0) -> Row:
    return row("f", "b", records, injected=10.0, taken_back=taken_back, watched=["l2"], executed=executed or Counter())


# -- rows ------------------------------------------------------------------------------------------------------------


def test_only_what_was_asked_since_the_injection_or_under_way_then_counts() -> None:
    counted = made([record(9.0), record(9.9, ms=200.0), record(11.0, "502"), record(12.0, "cut", method="POST")])
    assert counted["sent"] == 3
    assert (counted["failed_get"], counted["failed_post"]) == ({"502": 1}, {"cut": 1})
    assert counted["normal_p99_ms"] == 5.0


def test_slow_ones_and_failures_say_how_long_it_was_not_whole() -> None:
    counted = made([record(10.5, ms=1500.0), record(11.0, "504", ms=3000.0), record(15.0)])
    assert (counted["slow"], counted["max_ms"]) == (1, 3000.0)
    assert (counted["hit_for_s"], counted["whole_after_s"]) == (1.0, 4.0)
    assert made([record(11.0)])["whole_after_s"] == 0.0


def test_back_is_the_first_answer_of_what_was_broken_after_it_was_taken_back() -> None:
    records = [record(13.0, node="l2"), record(14.1, node="l1"), record(14.5, node="l2"), record(15.0, node="l2")]
    assert made(records)["back_after_s"] == pytest.approx(0.5, abs=0.02)
    assert made(records[:2])["back_after_s"] is None
    assert made(records, taken_back=None)["back_after_s"] is None


def test_a_client_without_an_answer_at_the_end_is_stuck() -> None:
    records = [record(11.0, client=1), record(15.0, client=2), record(14.9, "502", client=3), record(15.0, client=4)]
    assert made(records)["stuck"] == 2


def test_posts_executed_twice_and_connections_cut_while_idle_are_counted() -> None:
    counted = made([record(11.0, "idle-cut", method="-"), record(12.0)], Counter(a=1, b=2, c=3))
    assert (counted["executed_twice"], counted["idle_cut"], counted["sent"]) == (2, 1, 1)
    assert "2 POST executed twice" in list(always(counted))


# -- promises --------------------------------------------------------------------------------------------------------


def test_what_no_fault_may_bring_about() -> None:
    bad = made([record(11.0, "garbage"), record(11.0, "wrong", method="POST")])
    bad["in_flight"] = 3
    assert list(always(bad)) == [
        "1 clients stuck at the end", "3 in flight at the end", "1 garbage answers", "1 wrong answers",
    ]  # fmt: skip
    assert list(always(made([record(11.0)]))) == []


def test_failures_are_bounded_in_number_and_kind() -> None:
    failed = made([record(11.0, "502"), record(11.1, "cut"), record(11.2, "503", method="POST")])
    assert gets(2, "502", "cut")(failed) is None
    assert gets(1, "502", "cut")(failed) == "2 GET failed, not at most 1"
    assert gets(5, "502")(failed) == "GET failed with cut"
    assert posts(1, "503")(failed) is None
    assert posts(0)(failed) == "1 POST failed, not at most 0"


def test_figures_of_the_row_and_of_the_fault_are_held_to_their_limits() -> None:
    counted = made([record(11.0, ms=50.0)])
    counted["measured"]["grew_mb"] = 9.5
    assert at_most("max_ms", 50, "longest, ms")(counted) is None
    assert at_most("grew_mb", 6, "growth, MB")(counted) == "growth, MB: 9.5, not at most 6"
    assert at_most("back_after_s", 1, "seconds")(counted) == "seconds: never"
    assert at_most("nothing-like-it", 1, "seconds")(counted) == "seconds: never"


# -- what is printed -------------------------------------------------------------------------------------------------


def test_a_row_is_a_line_of_the_table_and_of_a_page() -> None:
    one = made([record(9.0), record(11.0, "502"), record(11.1, "502"), record(11.2, "cut")])
    one["missed"], one["measured"], one["notes"] = ["2 GET failed"], {"grew_mb": 1.5}, ["control ended"] * 2
    assert kinds(one["failed_get"]) == "2 x 502, 1 x cut"
    assert cells(one)[-1] == "missed"
    console = Console(width=200, file=StringIO(), record=True)
    console.print(table([one]))
    assert "2 x 502, 1 x cut" in console.export_text()
    assert notes([one]) == ["f, b: missed: 2 GET failed. grew_mb 1.5. control ended"]
    assert markdown([one]).splitlines()[2].startswith("| f | b | 3 | 2 x 502, 1 x cut |")


def test_every_fault_says_what_happens_and_what_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    for fault in FAULTS.values():
        assert fault.run.__doc__, fault.key
        assert fault.target, fault.key
        assert set(fault.balancers) <= set(BALANCERS), fault.key
    assert command.main(["--list"]) == 0
    told = capsys.readouterr().out
    assert all(key in told for key in FAULTS)


def test_unknown_faults_and_balancers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for bad in (["--fault", "node-kil"], ["--balancer", "apache"]):
        with pytest.raises(SystemExit) as ended:
            command.main(bad)
        assert ended.value.code == 2, bad
    assert "apache" in capsys.readouterr().err


def test_a_balancer_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find", lambda program: None)
    assert command.main(["--balancer", "haproxy", "fairlead"]) == 2
    assert "haproxy not found" in capsys.readouterr().err


# -- what a client calls a failure -----------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"


def counted(text: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([OK.strip(), b"Content-Length: %d" % len(text), *fields]) + b"\r\n\r\n" + text


ANSWERS = {
    "ok": counted(b"l1 GET 0-0"),
    "ok, chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nl1\r\n8\r\n GET 0-0\r\n0\r\n\r\n",
    "wrong": counted(b"l1 GET 7-7"),
    "502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
    "503": b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    "503 bare": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "cut": b"",
    "cut short": counted(b"l1 GET 0-0")[:-2],
    "cut short, chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nl1\r\n",
    "cut short, no length": OK + b"\r\nl1 GET 0-0",
    "garbage": b"\x15\x03\x03 this is not HTTP\r\n\r\n",
}


@pytest.fixture
def answering() -> Iterator[tuple[int, list[bytes]]]:
    """A port whose every connection gets one request read and the bytes in the list sent, then closed."""
    answer = [b""]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.recv(65536)
                sock.sendall(answer[0])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], answer
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.mark.parametrize("outcome", ANSWERS)
def test_what_a_client_calls_it(outcome: str, answering: tuple[int, list[bytes]]) -> None:
    port, answer = answering
    answer[0] = ANSWERS[outcome]
    client = Client(0, port)
    running = gevent.spawn(client.run)
    while not client.records:
        gevent.sleep(0.005)
    client.stopped = True
    running.join(5)
    first = client.records[0]
    assert first.outcome == outcome.partition(",")[0]
    assert first.node == ("l1" if first.outcome == "ok" else "")
    if outcome == "ok" and len(client.records) > 1:
        assert client.records[1].outcome == "idle-cut", "closed after the answer, without Connection: close"


def test_nobody_listening_is_refused() -> None:
    client = Client(0, free_ports(1)[0])
    running = gevent.spawn(client.run)
    gevent.sleep(0.05)
    client.stopped = True
    running.join(5)
    assert {r.outcome for r in client.records} == {"refused"}


# -- the node --------------------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Iterator[tuple[Child, int, Path]]:
    port, journal = free_ports(1)[0], tmp_path / "journal"
    with Processes() as processes:
        child = Child(processes, "lab.faults.node", NODES[0], port, 2, journal, log=tmp_path / "log")
        child.tell(fault=None)
        yield child, port, journal
        child.finish()


def ask(port: int, target: str, method: str = "GET", timeout_s: float = 2.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as sock:
        sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: n\r\nContent-Length: 0\r\n\r\n".encode())
        sock.shutdown(socket.SHUT_WR)
        got = b""
        while data := sock.recv(65536):
            got += data
    return got


@pytest.mark.e2e
def test_a_node_misbehaves_when_it_is_told_to_and_counts_what_it_did(node: tuple[Child, int, Path]) -> None:
    child, port, journal = node
    assert b"l1 GET 1-1" in ask(port, "/w/1-1")
    child.tell(fault="garbage")
    assert ask(port, "/w/1-2", "POST").startswith(b"\x15\x03")
    assert ask(port, "/health").startswith(b"\x15\x03")
    child.tell(fault="cut-length")
    assert len(ask(port, "/w/1-3").partition(b"\r\n\r\n")[2]) == 100
    assert b"ok" in ask(port, "/health")
    child.tell(fault="cut-chunked")
    assert not ask(port, "/w/1-4").endswith(b"0\r\n\r\n")
    child.tell(fault="endless-head")
    assert len(ask(port, "/w/1-5")) > 2_000_000
    child.tell(fault="partition")
    with pytest.raises(TimeoutError):
        ask(port, "/w/1-6", timeout_s=0.3)
    child.tell(fault=None)
    assert b"l1 GET 1-7" in ask(port, "/w/1-7")
    assert [line.split()[1:] for line in journal.read_text().splitlines()] == [
        [method, f"1-{n}"] for n, method in ((1, "GET"), (2, "POST"), (3, "GET"), (4, "GET"), (5, "GET"), (7, "GET"))
    ]


@pytest.mark.e2e
def test_a_node_notes_when_the_other_side_goes_away(node: tuple[Child, int, Path]) -> None:
    _, port, journal = node
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(f"GET /wait/{LONG} HTTP/1.1\r\nHost: n\r\n\r\n".encode())
        gevent.sleep(0.1)
    gevent.sleep(0.3)
    begun, gone = (line.split() for line in journal.read_text().splitlines())
    assert (begun[:2], gone[:2]) == (["begun", LONG], ["gone", LONG])
    assert 0.05 < float(gone[2]) - float(begun[2]) < 1
