"""Retries with real nodes that fail: a GET goes elsewhere, a POST is never worked on twice."""

import os
import signal
import threading
import time
from collections import Counter
from itertools import count

import pytest

from tests.clients import Stream, Tally, Visitor, crowd
from tests.fleet import RunningFleet

NODES = ("l1", "l2", "l3")


def ask(visitor: Visitor, method: str) -> None:
    identity = f"{method}-{visitor.rng.getrandbits(64):x}"
    body = b"x" * 100 if method != "GET" else None
    got = visitor.ask("/api/x?service_ms=3", method, body, {"X-Request-Id": identity})
    visitor.tally.posted.append(identity)
    if got is not None:
        visitor.tally.ok += 1


def executions(fleet: RunningFleet, ids: list[str]) -> Counter[int]:
    """How many of these requests were worked on how often, over all nodes."""
    seen = [fleet.node_stats(name)["executions"] for name in NODES]
    return Counter(sum(node.get(identity, 0) for node in seen) for identity in ids)


def load(fleet: RunningFleet, method: str, clients: int = 6, rounds: int = 40, seed: int = 0) -> Tally:
    """`seed`: another one sends requests of other ids."""
    return crowd(fleet.url, lambda visitor: ask(visitor, method), clients, rounds, seed=hash(method) % 1000 + seed)


@pytest.mark.parametrize("kind", ["refuse", "hang"])
def test_a_get_is_answered_by_another_node(whole_fleet: RunningFleet, kind: str) -> None:
    """`refuse` resets after the head, `hang` says nothing: a few attempts fail, no request does."""
    before = whole_fleet.idle()
    # A reset on a kept connection costs a fresh one, not a retry: half of them would leave no trace now and then.
    whole_fleet.fault("l2", kind=kind, health=False, expires_s=20, probability=1.0 if kind == "refuse" else 0.5)
    tally = load(whole_fleet, "GET", rounds=6)
    assert not tally.errors, tally.errors
    assert tally.ok == tally.sent == 36
    after = whole_fleet.idle()
    assert after["totals"]["retries"] > before["totals"]["retries"]
    assert after["totals"]["errors"] == before["totals"]["errors"]


def test_a_post_that_was_sent_is_not_sent_again(whole_fleet: RunningFleet) -> None:
    whole_fleet.fault("l2", kind="refuse", health=False, expires_s=20, probability=0.5)
    for seed in count(1000, 1000):  # POSTs keep away for a second from a node that failed, in the test before too
        tally = load(whole_fleet, "POST", seed=seed)
        if tally.errors:
            break
    failed = sum(tally.errors.values())
    assert set(tally.errors) <= {"POST: status 502 reset", "POST: status 502 closed"}
    assert 0 < failed < 120
    times = executions(whole_fleet, tally.posted)
    assert set(times) <= {0, 1}, "worked on at most once"
    assert times[1] >= tally.ok


def test_nobody_works_twice_when_a_node_dies_under_posts(whole_fleet: RunningFleet) -> None:
    fleet = whole_fleet
    stream = Stream(fleet.url, lambda visitor: ask(visitor, "POST"), clients=6)
    try:
        fleet.until(lambda shot: stream.sent > 100)
        fleet.kill("node-l3")
        fleet.until(lambda shot: shot["nodes"][2]["state"] == "down", within_s=5)
        at = stream.sent
        fleet.until(lambda shot: stream.sent > at + 50)
    finally:
        tally = stream.stop()
        fleet.start("node-l3")
    assert sum(tally.errors.values()) <= 6, "at most what was in its hands"
    assert tally.lost == 0
    seen = [fleet.node_stats(name)["executions"] for name in ("l1", "l2")]
    assert max(sum(node.get(identity, 0) for node in seen) for identity in tally.posted) == 1


def test_errors_that_a_node_answers_are_passed_on_and_not_retried(whole_fleet: RunningFleet) -> None:
    """They count as the node's bad answers, neither as failed attempts nor as errors of the balancer."""
    before = whole_fleet.idle()
    for name in NODES:
        whole_fleet.fault(name, kind="error", status=500, expires_s=5)
    tally = load(whole_fleet, "GET", clients=2, rounds=10)
    assert tally.errors == {"GET: status 500": 20}
    after = whole_fleet.idle()
    for counter in ("retries", "errors"):
        assert after["totals"][counter] == before["totals"][counter]
    for counter, grown in (("bad_answers", 20), ("errors", 0)):
        of = [sum(node[counter] for node in shot["nodes"]) for shot in (before, after)]
        assert of[1] - of[0] == grown, counter
    whole_fleet.until(
        lambda shot: all(part["window"]["errors_per_s"] > 0 for part in (shot, *shot["nodes"][: len(NODES)]))
    )


def test_a_node_that_hangs_for_its_probes_too_is_left_soon_and_its_requests_go_elsewhere(
    whole_fleet: RunningFleet,
) -> None:
    whole_fleet.fault("l1", kind="hang", expires_s=60)
    begun = time.monotonic()
    try:
        tally = load(whole_fleet, "GET", clients=4, rounds=30)
    finally:
        whole_fleet.fault("l1")
    assert not tally.errors, tally.errors
    assert time.monotonic() - begun < 20
    assert tally.by_node["l1"] == 0


def test_the_gunicorn_master_or_a_worker_is_killed_and_what_is_not_in_its_hands_goes_on(
    whole_fleet: RunningFleet,
) -> None:
    fleet = whole_fleet
    stream = Stream(fleet.url, lambda visitor: ask(visitor, "GET"), clients=6)
    try:
        fleet.until(lambda shot: stream.sent > 100)
        (victim,) = fleet.workers("balancer")[:1]

        os.kill(victim, signal.SIGKILL)
        fleet.until(
            lambda shot: len(shot["workers"]) == 2 and victim not in [worker["pid"] for worker in shot["workers"]],
            within_s=5,
        )
        at = stream.sent
        fleet.until(lambda shot: stream.sent > at + 100)
        lost_with_a_worker = 6
        fleet.kill_master("balancer")
        threading.Timer(0.0, fleet.start, args=("balancer",)).start()
        at = stream.sent
        fleet.until(lambda shot: stream.sent > at + 300, within_s=30)
    finally:
        tally = stream.stop()
    assert sum(tally.errors.values()) <= lost_with_a_worker, tally.errors
    assert tally.lost == 0
    fleet.idle()
