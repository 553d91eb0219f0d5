"""Which connections a worker that stops may cut, and when. The clock is handed in."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from balancer import listening

GRACE_S = 30.0


@dataclass(eq=False)
class Connection:
    is_idle: Callable[[], bool]
    stream: SimpleNamespace


class Stop:
    """A worker's connections while it stops."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.closed_at: float | None = None
        self.cut: dict[str, float] = {}  # seconds after the beginning
        self.when_closed: Callable[[], None] = lambda: None
        self._interrupts: list[Callable[[], None]] = []
        self.path: Any = SimpleNamespace(draining=False, connections=set())
        monkeypatch.setattr(listening, "monotonic", lambda: self.now)
        monkeypatch.setattr(listening.gevent, "sleep", self._sleep)

    def connection(self, name: str, *, idle: bool = True, newcomer: bool = False) -> None:
        def interrupt() -> None:
            self.cut[name] = self.elapsed
            self.path.connections.discard(made)

        stream = SimpleNamespace(newcomer=newcomer, interrupt=lambda: self._interrupts.append(interrupt))
        made = Connection(lambda: idle, stream)
        self.path.connections.add(made)

    @property
    def elapsed(self) -> float:
        return round(self.now - 100.0, 3)

    def run(self, others_until_s: float = 0.0) -> float:
        """How long it took."""
        server: Any = SimpleNamespace(close=self._close, serves=lambda: bool(self.path.connections))
        listening.finish(self.path, [server], GRACE_S, lambda: None, lambda: self.elapsed < others_until_s)
        return self.elapsed

    def _close(self) -> None:
        if self.closed_at is None:
            self.closed_at = self.elapsed
            self.when_closed()

    def _sleep(self, seconds: float) -> None:
        while self._interrupts:
            self._interrupts.pop()()
        self.now += seconds


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    return Stop(monkeypatch)


def test_without_clients_it_accepts_on_for_a_moment(stop: Stop) -> None:
    assert stop.run() == pytest.approx(listening.ACCEPT_ON_S, abs=0.1)
    assert stop.path.draining


def test_who_comes_in_the_last_moment_is_served(stop: Stop) -> None:
    stop.when_closed = lambda: stop.connection("late", newcomer=True)
    stop.run()
    assert stop.closed_at is not None
    assert stop.cut["late"] > stop.closed_at + listening.NEWCOMER_GRACE_S


def test_who_is_only_kept_is_cut_when_nobody_new_is_taken(stop: Stop) -> None:
    stop.connection("kept")
    stop.run()
    assert stop.closed_at is not None
    assert stop.closed_at > listening.IDLE_GRACE_S
    assert stop.cut == {"kept": pytest.approx(stop.closed_at, abs=0.06)}


def test_who_has_just_come_may_still_say_what_it_wants(stop: Stop) -> None:
    stop.connection("newcomer", newcomer=True)
    stop.run()
    assert stop.closed_at is not None
    assert stop.cut["newcomer"] > stop.closed_at + listening.NEWCOMER_GRACE_S


def test_who_is_served_is_never_cut(stop: Stop) -> None:
    stop.connection("served", idle=False)
    assert stop.run() > GRACE_S
    assert not stop.cut


def test_it_accepts_on_as_long_as_others_start(stop: Stop) -> None:
    stop.connection("kept")
    assert stop.run(others_until_s=7.0) > 7.0
    assert stop.closed_at is not None
    assert stop.closed_at >= 7.0
    assert stop.cut["kept"] >= 7.0
