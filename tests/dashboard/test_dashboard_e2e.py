"""The dashboard as it runs: gunicorn, sockets, budgets on the wire, restarts."""

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.e2e


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningDashboard]:
    made = RunningDashboard(tmp_path)
    yield made.start()
    made.close()


def until(true: Callable[[], Any], seconds: float = 8.0) -> Any:
    """Wait for something; fails when it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


class Browser:
    """The least of a Socket.IO client: packets in, packets out."""

    def __init__(self, running: RunningDashboard, port: int | None = None, **options: Any) -> None:
        headers = {"Cookie": running.cookie(), "Origin": f"http://127.0.0.1:{port or running.port}"}
        url = f"ws://127.0.0.1:{port or running.port}/socket.io/?EIO=4&transport=websocket"
        opened = connect(url, additional_headers=headers, max_size=None, **options)
        self.socket: ClientConnection = opened.__enter__()  # closed by the test, or with it
        assert self.socket.recv(5)[:1] == "0"
        self.socket.send("40")
        assert str(self.socket.recv(5)).startswith("40")

    def emit(self, *event: Any) -> None:
        self.socket.send("42" + json.dumps(event))

    def forget(self) -> None:
        """Throw away what has arrived."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.socket.recv(0.05)

    def next(self, wanted: str, seconds: float = 5.0) -> Any:
        """The payload of the next message of that name."""
        end = time.monotonic() + seconds
        while True:
            name, payload = self.any(max(0.01, end - time.monotonic()))
            if name == wanted:
                return payload

    def any(self, seconds: float) -> tuple[str, Any]:
        """Name and payload of the next message."""
        end = time.monotonic() + seconds
        while True:
            packet = str(self.socket.recv(max(0.01, end - time.monotonic())))
            if packet == "2":
                self.socket.send("3")
            elif packet.startswith("42"):
                name, payload = json.loads(packet[2:])
                return name, payload

    def ticks_until(self, wanted: str, true: Callable[[Any], bool]) -> int:
        """How many ticks come before a message of that name of which `true` holds: time as the page counts it."""
        ticks = 0
        while ticks < 20:
            packet = str(self.socket.recv(10))
            if packet == "2":
                self.socket.send("3")
            elif packet.startswith("42"):
                name, payload = json.loads(packet[2:])
                if name == wanted and true(payload):
                    return ticks
                ticks += name == "tick"
        raise AssertionError(f"{ticks} ticks, and no such message named {wanted}")


def post(running: RunningDashboard, path: str, body: Any, method: str = "POST", **headers: str) -> int:
    request = urllib.request.Request(running.url + path, json.dumps(body).encode(), method=method)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=10) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_a_browser_gets_everything_then_ticks_changes_and_events(running: RunningDashboard) -> None:
    browser = Browser(running)
    browser.emit("watch")
    hello = browser.next("hello")
    assert [n["name"] for n in hello["layout"]["nodes"]] == ["l1", "l2", "l3"]
    first, second = browser.next("tick"), browser.next("tick")
    assert second[0] == first[0] + 1
    assert post(running, "/actions/algorithm", {"algorithm": "dynamic"}, Cookie=running.cookie()) == 200
    assert browser.next("change")["algorithm"] == "dynamic"
    running.control.event("health", "l2 is down", "l2")
    began = time.monotonic()
    while "l2 is down" not in str(browser.next("events")):
        pass
    assert time.monotonic() - began < 1.0
    assert post(running, "/actions/nodes/l2", {"admin": "draining"}, "PATCH", Cookie=running.cookie()) == 200
    assert browser.next("change")["nodes"]["1"]["admin"] == "draining"
    browser.socket.close()


def test_history_and_events_are_there_for_who_comes_later(running: RunningDashboard) -> None:
    for i in range(5):
        running.control.event("health", f"number {i}", "l1")
    first = Browser(running)
    first.emit("watch")
    for _ in range(7):
        first.next("tick")
    first.socket.close()
    second = Browser(running)
    second.emit("watch")
    hello = second.next("hello")
    assert len(hello["history"]["at"]) >= 3
    assert len(hello["history"]["nodes"]) == 3
    texts = [entry[5] for entry in second.next("past")]
    assert [f"number {i}" for i in range(5)] == [text for text in texts if text.startswith("number")]
    second.socket.close()


@pytest.mark.parametrize(("nodes", "most"), [(3, 1024), (30, 4096), (100, 8192)])
def test_what_a_browser_costs_on_the_wire(tmp_path: Path, nodes: int, most: int) -> None:
    """Every byte that TCP carries to a browser in steady state, uncompressed, through a relay that counts."""
    running = RunningDashboard(tmp_path, tuple(f"l{i + 1}" for i in range(nodes)), rps=80.0 * nodes).start()
    relay = Relay(running.port)
    browser = Browser(running, port=relay.port, compression=None)
    browser.emit("watch")
    hello = len(json.dumps(browser.next("hello")))
    browser.next("past")
    browser.next("tick")
    before, began = relay.counted, time.monotonic()
    for _ in range(16):
        browser.next("tick")
    rate = (relay.counted - before) / (time.monotonic() - began)
    print(f"{nodes} nodes: {rate:.0f} bytes/s, snapshot {hello} bytes")
    browser.socket.close()
    relay.close()
    running.close()
    assert most / 20 < rate <= most
    assert hello <= 64 * 1024


class Relay:
    """Carries one connection to the dashboard, and counts what comes back."""

    def __init__(self, target: int) -> None:
        self.counted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._carry, args=(target,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._thread.join(5)
        self._listener.close()

    def _carry(self, target: int) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", target))
        up = threading.Thread(target=self._pump, args=(client, server, False), daemon=True)
        up.start()
        self._pump(server, client, True)
        up.join(5)
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket, count: bool) -> None:
        while data := _recv(source):
            if count:
                self.counted += len(data)
            target.sendall(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _recv(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except OSError:
        return b""


def test_who_is_hidden_gets_nothing_and_balancers_are_asked_less(running: RunningDashboard) -> None:
    browser = Browser(running)
    browser.emit("watch")
    browser.next("tick")
    asked = len(_snapshots(running))
    time.sleep(3)
    assert 4 <= len(_snapshots(running)) - asked <= 8
    browser.emit("unwatch")
    time.sleep(0.7)
    browser.forget()
    asked = len(_snapshots(running))
    with pytest.raises(TimeoutError):
        browser.next("tick", 3.0)
    assert len(_snapshots(running)) - asked <= 2
    browser.emit("watch")
    assert browser.next("hello")["tick"][0] > 1
    browser.next("tick")
    browser.socket.close()


def test_more_viewers_cost_the_balancer_nothing(running: RunningDashboard) -> None:
    browsers = [Browser(running) for _ in range(50)]
    for browser in browsers:
        browser.emit("watch")
    for browser in browsers:
        browser.next("tick")
    asked = len(_snapshots(running))
    time.sleep(3)
    assert len(_snapshots(running)) - asked <= 8
    for browser in browsers:
        browser.socket.close()


def _snapshots(running: RunningDashboard) -> list[str]:
    return [request for request in running.control.requests if request == "GET /snapshot"]


def test_idle_processor_time(running: RunningDashboard) -> None:
    """Nobody watches: the whole program stays under 0.7 % of a core."""
    time.sleep(2)
    before = running.cpu_s()
    time.sleep(10)
    share = (running.cpu_s() - before) / 10
    print(f"idle: {100 * share:.2f} % of a core")
    assert share < 0.007


def test_an_open_page_does_not_hold_up_a_restart(running: RunningDashboard) -> None:
    browser = Browser(running)
    browser.emit("watch")
    browser.next("tick")
    assert running.stop() < 4.5
    assert "graceful timeout" not in running.log()
    assert "Traceback" not in running.log()


def slow_reader(running: RunningDashboard) -> Browser:
    """A browser whose buffers are small; all that it can ask for at once is 190 kB."""
    for i in range(500):
        running.control.event("health", f"{i} " + "x" * 290, "l1")
    until(lambda: len(_state(running)["events"]) == 100)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    slow.connect(("127.0.0.1", running.port))
    return Browser(running, sock=slow, compression=None, max_queue=1)


def test_a_slow_reader_gets_whole_messages(running: RunningDashboard) -> None:
    """More than the kernel's buffers hold, to a browser that reads nothing for a while (see WholeSends)."""
    browser = slow_reader(running)
    for _ in range(50):  # 50 times 190 kB: more than the kernel takes
        browser.emit("watch")
    time.sleep(2)
    for _ in range(50):
        assert len(browser.next("past", 20)) == 500
    browser.socket.close()


def test_what_waits_for_a_slow_browser_is_bounded(running: RunningDashboard) -> None:
    """It asks for everything again and again, says that it has drawn what is yet to come, and reads nothing."""
    browser = slow_reader(running)
    for i in range(600):  # 600 times 190 kB
        browser.emit(*(("watch",) if i % 2 else ("drew", 10**9)))
        if not i % 50:
            browser.emit("unwatch")
    for _ in range(600):
        browser.emit("watch")
    seen = _state(running)["tick"][0]
    until(lambda: _state(running)["tick"][0] > seen + 8)
    got, tick = 0, 0
    while tick <= seen + 8:  # as long as there is something to read, up to what is new
        name, payload = browser.any(20)
        got += name == "past"
        tick = payload[0] if name == "tick" else tick
        browser.emit("drew", tick)
    print(f"{got} of 900")
    assert got < 200
    browser.socket.close()


def _state(running: RunningDashboard) -> Any:
    request = urllib.request.Request(running.url + "/state", headers={"Cookie": running.cookie()})
    with urllib.request.urlopen(request, timeout=5) as answered:
        return json.load(answered)


def test_sockets_need_the_cookie_and_our_own_origin(running: RunningDashboard) -> None:
    url = f"ws://127.0.0.1:{running.port}/socket.io/?EIO=4&transport=websocket"
    foreign = {"Cookie": running.cookie(), "Origin": "http://evil.example"}
    with pytest.raises(InvalidStatus), connect(url, additional_headers=foreign):
        pass
    with connect(url, additional_headers={"Origin": running.url}) as stranger:
        stranger.recv(5)
        stranger.send("40")
        refused = str(stranger.recv(5))
        assert refused.startswith("44")
        assert "signed out" in refused


def test_process_reports_reach_the_browser_at_once(running: RunningDashboard) -> None:
    browser = Browser(running)
    browser.emit("watch")
    browser.next("past")
    browser.next("tick")  # the first snapshot's own words and events are told before it
    browser.forget()
    now = time.time()
    event = {
        "seq": 1,
        "at": now,
        "kind": "process",
        "node": "l1",
        "who": "supervisor",
        "text": "node-l1 died of signal 9",
    }
    process = {"name": "node-l1", "state": "STARTING", "pid": 5, "since": now, "restarts": 1, "description": ""}
    body = {"host": "here", "at": now, "processes": [process], "events": [event]}
    assert post(running, "/processes", body, Authorization=f"Bearer {running.token}") == 204
    assert browser.ticks_until("events", lambda payload: "signal 9" in str(payload)) <= 1
    assert browser.ticks_until("change", lambda payload: _state_of_process(payload) == "STARTING") <= 1
    browser.socket.close()


def _state_of_process(change: Any) -> str | None:
    """Of the first node, when this change tells it; other words may change at any time."""
    process = change.get("nodes", {}).get("0", {}).get("process")
    return process["state"] if process else None


def test_control_dies_and_comes_back(running: RunningDashboard) -> None:
    browser = Browser(running)
    browser.emit("watch")
    browser.next("tick")
    running.control.stop()
    gone = browser.next("change", 3.0)["balancers"][0]
    assert (gone["reachable"], gone["cause"]) == (False, "connection closed") or gone["cause"] == "connection refused"
    running.control.boot = "boot-2"
    running.control.start()
    assert browser.next("change", 4.0)["balancers"][0]["reachable"] is True
    browser.next("tick", 2.0)
    running.control.event("start", "after the restart")
    until(lambda: any(entry[5] == "after the restart" for entry in _state(running)["events"]))
    browser.socket.close()
