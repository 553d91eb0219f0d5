"""Under load the algorithm is switched, nodes are drained and brought back, the balancer is reloaded: 0 errors."""

import itertools
import signal
import time

from balancer.algorithms import ALGORITHMS
from tests.clients import Stream, Visitor, fetch
from tests.fleet import RunningFleet


def work(visitor: Visitor) -> None:
    fetch(visitor, f"/?service_ms={visitor.rng.uniform(0, 6):.1f}")


def test_100_switches_under_load(whole_fleet: RunningFleet) -> None:
    fleet = whole_fleet
    begin = fleet.idle()
    stream = Stream(fleet.url, work, clients=6)
    try:
        fleet.until(lambda shot: stream.sent > 20)
        numbers = []
        for key in itertools.islice(itertools.cycle(ALGORITHMS), 100):
            status, said = fleet.control("/algorithm", "POST", {"algorithm": key, "who": "test"})
            assert (status, said["algorithm"]) == (200, key)
            numbers.append(said["seq"])
            time.sleep(0.01)
    finally:
        tally = stream.stop()
    assert not tally.errors, tally.errors
    assert tally.lost == 0
    assert len(set(numbers)) == 100
    events = {event["seq"]: event for event in fleet.events(begin["last_event"])}
    assert all(events[number]["kind"] == "algorithm" for number in numbers)
    end = fleet.idle()
    assert end["totals"]["requests"] - begin["totals"]["requests"] == tally.sent, "no counter was reset"
    assert {line["why"] for line in fleet.log("access")[-tally.sent :]} == set(ALGORITHMS), "each had its turn"


def test_a_drained_node_finishes_what_it_has_and_gets_nothing_more(whole_fleet: RunningFleet) -> None:
    fleet = whole_fleet
    slow = Stream(fleet.url, lambda visitor: fetch(visitor, "/?service_ms=400"), clients=6)
    stream = Stream(fleet.url, work, clients=4)
    try:
        fleet.until(lambda shot: shot["nodes"][1]["in_flight"] >= 2)
        fleet.order("l2", admin="draining")
        # Workers take an order at their next pick, so the count can grow for a moment, and then never again.
        time.sleep(0.1)
        left = fleet.nodes()["l2"]["attempts"]
        fleet.until(lambda shot: shot["nodes"][1]["in_flight"] == 0, within_s=3)
        at = stream.sent
        fleet.until(lambda shot: stream.sent > at + 100)
        assert fleet.nodes()["l2"]["attempts"] == left
        fleet.order("l2", admin="enabled")
        fleet.until(lambda shot: shot["nodes"][1]["attempts"] > left + 10)
    finally:
        tallies = [slow.stop(), stream.stop()]
    for tally in tallies:
        assert not tally.errors, tally.errors
        assert tally.lost == 0
    fleet.idle()


def test_a_reload_of_the_balancer_loses_no_request_and_no_count(whole_fleet: RunningFleet) -> None:
    """HUP: gunicorn starts fresh workers and stops the old ones, which answer what comes on their connections first."""
    fleet = whole_fleet
    begin = fleet.idle()
    stream = Stream(fleet.url, work, clients=6)
    try:
        for _ in range(2):
            fleet.until(lambda shot: len(shot["workers"]) == 2, within_s=10)
            old = {worker["pid"] for worker in fleet.snapshot()["workers"]}
            at = stream.sent
            fleet.until(lambda shot, at=at: stream.sent > at + 50)  # type: ignore[misc]
            fleet.processes["balancer"].send_signal(signal.SIGHUP)
            fleet.until(
                lambda shot, old=old: (
                    len(shot["workers"]) == 2  # type: ignore[misc]
                    and not old & {worker["pid"] for worker in shot["workers"]}
                ),
                within_s=15,
            )
    finally:
        tally = stream.stop()
    assert not tally.errors, tally.errors
    assert tally.lost == 0
    assert fleet.idle()["totals"]["requests"] - begin["totals"]["requests"] == tally.sent
