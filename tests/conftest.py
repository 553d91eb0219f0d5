"""What all tests share: the real fleet that several test files look at, and the mark for whatever starts processes."""

from collections.abc import Iterator

import pytest

from tests.fleet import RunningFleet, fleet_config, running

STARTS_PROCESSES = {"shared_fleet", "whole_fleet", "stub_fleet"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses one of the fixtures that start real processes is end-to-end, wherever it stands."""
    for item in items:
        if STARTS_PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def shared_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """Three simulated nodes, a balancer with two workers and its control; started once for all."""
    config = fleet_config(
        [{"name": "l1", "slots": 8}, {"name": "l2", "slots": 8}, {"name": "l3", "slots": 8}],
        workers=2,
        decision_log=True,
        timeouts={"first_byte_s": 3, "no_node_s": 0.5},
        health={"probe": {"interval_s": 0.2}, "slow_start_s": 0},
    )
    with running(tmp_path_factory.mktemp("fleet"), config) as fleet:
        yield fleet


@pytest.fixture
def whole_fleet(shared_fleet: RunningFleet) -> Iterator[RunningFleet]:
    """The shared fleet as configured: round robin, all nodes enabled, up and without faults; left idle."""
    fleet = shared_fleet
    for node in ("l1", "l2", "l3"):
        fleet.fault(node)
        fleet.order(node, admin="enabled", weight=1)  # ends its ejection, too
    fleet.switch("round_robin")
    fleet.until(lambda shot: all(node["state"] == "up" for node in shot["nodes"]), within_s=10)
    yield fleet
    for node in ("l1", "l2", "l3"):
        fleet.fault(node)
    fleet.idle(within_s=10)
