"""What is recorded of an algorithm's life is enough to live it again: every algorithm, every call, to the byte."""

import json
from random import Random
from typing import Any

import pytest

from balancer.algorithms import ALGORITHMS
from balancer.algorithms.record import Recorder
from balancer.algorithms.seen import SeenNode, SeenRequest
from cluster.wire import NodeReport
from lab.replay import replay


def lived(key: str, steps: int = 400, seed: int = 5) -> list[str]:
    """The log of a life on nodes that go on changing between any two calls."""
    lines: list[str] = []

    def write(record: dict[str, Any]) -> None:
        lines.append(
            json.dumps({"at": 1.5, "worker": 0, "life": 3, **record}, separators=(",", ":"), ensure_ascii=False)
        )

    dice, now = Random(seed), 100.0
    everyone = [SeenNode(f"n{i}", i, weight=i % 3 + 1) for i in range(6)]
    algorithm = ALGORITHMS[key](Random(9), balancers=2)
    told = Recorder(algorithm, Random(8), write, lambda request: f"id-{request.sequence}")
    running: list[tuple[SeenNode, SeenRequest, float]] = []
    told.on_membership(everyone, now)
    for n in range(steps):
        now += dice.random() * 0.05
        ready = everyone[dice.randrange(3) :]
        request = SeenRequest(dice.choice(("general", "api", "video")), f"10.0.0.{dice.randrange(20)}", n)
        node = told.pick(request, ready, now)
        assert any(node is each for each in ready), "a real node, not a copy"
        node.in_flight += 1
        told.on_start(node, request, now)
        for asked in told.probe(ready, now):
            report = NodeReport(rif=dice.randrange(9), slots=4, service_ms=dice.random() * 40)
            asked.report = (report["rif"], 4, report["service_ms"], now, 0)
            told.on_report(asked, report, now)
        running.append((node, request, now))
        if n % 7 == 0:
            told.forced(request, ready[:1], ready[0], now)
        while running and dice.random() < 0.5:
            ended, what, begun = running.pop(0)
            ended.in_flight -= 1
            took_ms = (now - begun) * 1e3 + dice.random()
            ended.latency = (took_ms, now)
            ended.own_service = (took_ms / 2, now)
            told.on_end(ended, what, now, took_ms, took_ms / 2, dice.choice((True, True, False, None)))
    return lines


@pytest.mark.parametrize("key", list(ALGORITHMS))
def test_the_same_life_again_gives_the_same_lines(key: str) -> None:
    result = replay(lived(key))
    assert result.different == []
    assert result.decisions[key] == result.identical[key] == 400 + 58
    assert (result.beginning_lost, result.unreadable) == (0, 0)


@pytest.mark.parametrize("key", ["least_connections", "weighted_least_connections", "power_of_two", "dynamic"])
def test_another_input_gives_another_line(key: str) -> None:
    lines = lived(key)
    record = json.loads(lines[50])
    while record["do"] != "pick":
        lines.pop(50)
        record = json.loads(lines[50])
    for seen in record["nodes"]:
        seen[2] = 0 if seen[0] != record["node"] else 99
    lines[50] = json.dumps(record, separators=(",", ":"))
    assert replay(lines).different


def test_a_log_whose_beginning_is_gone_is_not_taken_for_replayed() -> None:
    result = replay(lived("weighted")[1:])
    assert not result.decisions
    assert result.beginning_lost == 400 + 58


def test_lines_that_are_no_records_are_counted_and_passed_over() -> None:
    lines = lived("round_robin")
    lines[10:10] = ["", "{", "[]", '{"worker": 0}', '{"worker": 0, "life": 3, "do": "fresh", "algorithm": "no_such"}']
    result = replay(lines)
    assert result.unreadable == 5
    assert result.different == []


@pytest.mark.parametrize("change", [('"worker":0', '"worker":1'), ('"life":3', '"life":4')])
def test_two_workers_and_two_lives_in_one_file_do_not_disturb_each_other(change: tuple[str, str]) -> None:
    """A life that was switched away goes on hearing how its requests end."""
    one = lived("dynamic_by_kind", seed=1)
    other = [line.replace(*change) for line in lived("dynamic", seed=2)]
    mixed = [line for pair in zip(one, other, strict=False) for line in pair]
    result = replay(mixed)
    assert result.different == []
    assert set(result.decisions) == {"dynamic_by_kind", "dynamic"}
