"""A balancer in front of nodes that do exactly what a test tells them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import RunningFleet, fleet_config, running
from tests.raw_client import RawClient
from tests.stub_node import Behaviour, Seen, StubNode

SHORT = {
    "connect_s": 0.5,
    "first_byte_s": 0.8,
    "idle_s": 0.8,
    "whole_s": 4,
    "head_s": 0.8,
    "keep_alive_s": 1.6,
    "node_keep_alive_s": 1.0,
    "no_node_s": 0.3,
}
HEDGING: dict[str, Any] = {
    "timeouts": SHORT | {"first_byte_s": 20.0, "whole_s": 60},
    "retries": {"hedge_after_s": 0.2},
}


def external(stub: StubNode, **settings: Any) -> dict[str, Any]:
    """How config.json names a stub."""
    return {
        "name": stub.name, "runs": "external", "address": "127.0.0.1", "port": stub.port, "probe": {"enabled": False},
        **settings,
    }  # fmt: skip


class Stubs:
    """One balancer worker before two stub nodes, s1 and s2. No ejection: each test stands alone."""

    def __init__(self, fleet: RunningFleet, nodes: list[StubNode]) -> None:
        self.fleet = fleet
        self.s1, self.s2 = self.nodes = nodes

    def behave(self, behaviour: Behaviour) -> None:
        """Both behave so, from their next connection on."""
        for node in self.nodes:
            node.behave = behaviour

    @property
    def seen(self) -> list[Seen]:
        """All requests that reached a node."""
        return [request for node in self.nodes for request in node.seen]

    def client(self) -> RawClient:
        return RawClient(self.fleet.port)

    def last_line(self) -> Any:
        """The newest line of the access log, which is written three times a second."""
        self.fleet.idle()
        count = self.fleet.snapshot()["totals"]
        wanted = count["requests"] + count["rejected"]
        ends = time.monotonic() + 3
        while len(lines := self.fleet.log("access")) < wanted:
            assert time.monotonic() < ends, (len(lines), wanted)
            time.sleep(0.05)
        return lines[-1]


@contextmanager
def two_stubs(folder: Path, node: dict[str, Any] | None = None, **balancer: Any) -> Iterator[Stubs]:
    """The processes, for a file of tests or all of them. `node`, `balancer`: their settings."""
    nodes = [StubNode("s1"), StubNode("s2")]
    config = fleet_config(
        [external(stub, **(node or {})) for stub in nodes],
        workers=1,
        health={"ejection": {"enabled": False}},
        **balancer,
    )
    with running(folder, config) as fleet:
        yield Stubs(fleet, nodes)
    for stub in nodes:
        stub.close()


@contextmanager
def fresh(stubs: Stubs) -> Iterator[Stubs]:
    """The stubs, answering `ok`; afterwards nothing is in flight and no stub met anything unforeseen."""
    for node in stubs.nodes:
        node.forget()
    yield stubs
    for node in stubs.nodes:
        assert not node.failures, node.failures
    stubs.fleet.idle(within_s=10)


@pytest.fixture(scope="session")
def stub_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    with two_stubs(tmp_path_factory.mktemp("stubs"), timeouts=SHORT, limits={"body_bytes": 200_000_000}) as stubs:
        yield stubs


@pytest.fixture
def stub_fleet(stub_processes: Stubs) -> Iterator[Stubs]:
    """See `fresh`."""
    with fresh(stub_processes) as stubs:
        yield stubs


@pytest.fixture(scope="module")
def hedging_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    with two_stubs(tmp_path_factory.mktemp("hedge"), **HEDGING) as stubs:
        yield stubs


@pytest.fixture
def stubs(hedging_processes: Stubs) -> Iterator[Stubs]:
    """See `fresh`; a late answer is hedged."""
    with fresh(hedging_processes) as stubs:
        yield stubs
