"""What a simulated balancer learns of a node is, figure by figure, what the live scoreboard learns."""

from random import Random

import pytest

from balancer.scoreboard import Scoreboard
from cluster.wire import NodeReport
from lab.simulate.knowledge import KnownNode
from lab.simulate.nodes import FifoNode
from node.stats import Stats


def test_a_known_node_and_a_node_record_say_the_same_after_the_same() -> None:
    board = Scoreboard.in_memory(["n1"])
    record, known = board.nodes[0], KnownNode(0, "n1", 2, 1)
    rng = Random(1)
    for step in range(300):
        now = 1.0 + step * 0.01
        if record.in_flight < 3 and rng.random() < 0.6:
            record.start()
            known.in_flight += 1
            known.attempts += 1
        elif record.in_flight:
            report = NodeReport(rif=rng.randrange(5), slots=2, service_ms=rng.random() * 50)
            latency_ms, unqueued = rng.random() * 100 + 1, rng.random() < 0.5
            record.reported(report, now)
            known.reported(report, now)
            record.answered(latency_ms, 0, True, unqueued, now)
            known.answered(latency_ms, unqueued, now)
            record.end()
            known.in_flight -= 1
        assert known.in_flight == record.in_flight
        assert known.newest_report() == record.newest_report()
        assert known.latency_ms() == record.latency_ms()
        assert known.own_service_ms() == record.own_service_ms()
    assert record.latency_ms()[0] > 0
    assert record.own_service_ms()[0] > 0


def test_a_simulated_node_reports_the_service_time_that_a_real_one_reports() -> None:
    stats, node, rng = Stats(), FifoNode(0, 2, 1.0, ()), Random(2)
    for _ in range(200):
        service_ms = rng.expovariate(1 / 30)
        stats.served(service_ms)
        report = node.left(service_ms / 1000)
        assert report is not None
        assert report["service_ms"] == pytest.approx(stats.service_ms, rel=1e-12)
