"""Nodes and their surroundings by hand: times that can be worked out with a pencil."""

from pathlib import Path

import numpy as np
import pytest

from balancer.algorithms.least_connections import LeastConnections
from cluster.errors import ConfigError
from lab.simulate import Result, Scenario, simulate


def traced(tmp_path: Path, rows: str, rule: str = "round_robin", **scenario: object) -> Result:
    """Requests `at_s,work_ms` through a scenario without probes."""
    trace = tmp_path / "trace.csv"
    trace.write_text("at_s,work_ms\n" + rows)
    raw = {
        "nodes": [{"slots": 1}],
        "arrivals": {"process": "trace", "trace": str(trace)},
        "measure": [0.0, 1.0],
        **scenario,
    }
    return simulate(Scenario.model_validate(raw), rule, 1)


def latencies(result: Result) -> list[float]:
    return [round(float(value), 6) for value in result.latency_ms]


def test_a_fifo_node_serves_in_order(tmp_path: Path) -> None:
    assert latencies(traced(tmp_path, "0,100\n0.05,100\n0.06,10\n1,10\n")) == [100, 150, 150, 10]


def test_a_faster_node_takes_less_and_slots_work_side_by_side(tmp_path: Path) -> None:
    node = [{"slots": 2, "speed": 2.0}]
    assert latencies(traced(tmp_path, "0,100\n0,200\n0,100\n", nodes=node)) == [50, 100, 100]


def test_a_sharing_node_divides_its_processor(tmp_path: Path) -> None:
    # 0-50 ms alone (50 done), then two: the first needs 50 more at half speed; the second has then 50 of 100
    found = traced(tmp_path, "0,100\n0.05,100\n", queueing="sharing")
    assert latencies(found) == [150, 150]
    found = traced(tmp_path, "0,100\n0.05,100\n", queueing="sharing", nodes=[{"slots": 2}])
    assert latencies(found) == [100, 100]


@pytest.mark.parametrize("queueing", ["fifo", "sharing"])
def test_the_network_takes_half_its_time_each_way(tmp_path: Path, queueing: str) -> None:
    found = traced(tmp_path, "0,100\n0.01,100\n", queueing=queueing, rtt_ms=20)
    # sharing: the first is alone for 10 ms, then shares until its 90 are done at 200; the second needs 10 more
    assert latencies(found) == {"fifo": [120, 210], "sharing": [210, 210]}[queueing]


def test_a_brown_out_slows_what_begins_in_it_and_a_shared_processor_at_once(tmp_path: Path) -> None:
    rows = "0,100\n0.5,100\n1,1\n"
    brown_out = [{"node": 1, "factor": 10, "begin": 0.05, "end": 0.9}]
    assert latencies(traced(tmp_path, rows, brown_outs=brown_out))[:2] == [100, 1000]
    # 50 ms fast, 450 ms at a tenth (45 done), then 5 ms are left, shared with the second until 0.9: 10 ms each ...
    shared = latencies(traced(tmp_path, rows, brown_outs=brown_out, queueing="sharing"))
    assert shared[0] == 600
    assert shared[1] == pytest.approx(100 + 300 + 65, abs=1)


@pytest.mark.parametrize("queueing", ["fifo", "sharing"])
def test_a_deadline_ends_a_request_and_frees_its_place(tmp_path: Path, queueing: str) -> None:
    found = traced(tmp_path, "0,500\n0,500\n0.25,100\n", queueing=queueing, deadline_ms=200)
    assert found.ok.tolist() == [False, False, True]
    assert latencies(found) == [200, 200, 100]


def test_late_binding_lets_requests_wait_in_the_balancer_for_the_first_free_slot(tmp_path: Path) -> None:
    rows = "0,300\n0,100\n0.01,100\n0.02,100\n"
    nodes = [{"slots": 1}, {"slots": 1}]
    bound_early = traced(tmp_path, rows, nodes=nodes)
    assert bound_early.node.tolist() == [0, 1, 0, 1]
    late = traced(tmp_path, rows, nodes=nodes, max_in_flight="slots")
    assert late.node.tolist() == [0, 1, 1, 1]
    assert latencies(late) == [300, 100, 190, 280]
    central = traced(tmp_path, rows, "central queue", nodes=nodes)
    assert latencies(central) == latencies(late)


def test_a_request_that_waits_in_the_balancer_gives_up_at_its_deadline(tmp_path: Path) -> None:
    found = traced(tmp_path, "0,150\n0.01,100\n0.02,10\n", max_in_flight="slots", deadline_ms=100)
    assert found.ok.tolist() == [False, False, True]
    assert found.node.tolist() == [0, 0, 0]
    assert latencies(found) == [100, 100, 100]


@pytest.mark.parametrize("rule", ["least_connections", "dynamic", "prequal", "dynamic_by_kind"])
@pytest.mark.parametrize("extra", [{}, {"rtt_ms": 2.0}, {"queueing": "sharing"}, {"max_in_flight": 3, "balancers": 2}])
def test_every_request_is_answered_once_and_no_bound_is_beaten(rule: str, extra: dict[str, object]) -> None:
    scenario = Scenario.model_validate({"requests": 3000, **extra})
    found = simulate(scenario, rule, 1)
    assert found.ok.all()
    assert (found.node >= 0).all()
    served_ms = found.work_s * 1000 / 4
    assert (found.latency_ms >= served_ms - 1e-6).all()
    assert found.latency_ms.mean() > simulate(scenario, "ideal pool", 1).latency_ms.mean()
    busy = sum(found.utilization[i] * group.slots for i, group in enumerate(scenario.each))
    assert busy > 0


class Watching(LeastConnections):
    """The same rule, but one that is told of every answer: the event loop takes the long way."""

    def on_end(self, *what: object) -> None:
        assert len(what) == 6


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"balancers": 3},
        {"deadline_ms": 50, "load": 0.95},
        {"brown_outs": [{"node": 8}]},
        {"kinds": {"general": {"distribution": "constant"}}, "arrivals": {"process": "constant"}},
    ],
)
def test_the_short_way_for_rules_that_only_count_gives_the_very_same(extra: dict[str, object]) -> None:
    scenario = Scenario.model_validate({"requests": 5000, **extra})
    short, long = simulate(scenario, LeastConnections, 1), simulate(scenario, Watching, 1)
    assert short.node.tolist() == long.node.tolist()
    assert short.latency_ms.tolist() == long.latency_ms.tolist()
    assert short.ok.tolist() == long.ok.tolist()
    assert short.utilization == long.utilization


def test_brown_outs_slow_both_bounds() -> None:
    sick = [{"node": node, "factor": 10, "begin": 0.2, "end": 0.8} for node in (8, 9, 10)]
    well, ill = Scenario(requests=20_000), Scenario.model_validate({"requests": 20_000, "brown_outs": sick})
    for bound in ("central queue", "ideal pool", "oracle"):
        assert simulate(ill, bound, 1).latency_ms.mean() > 2 * simulate(well, bound, 1).latency_ms.mean()


BURSTS = {"length_s": 0.1, "every_s": 0.5}


def test_bursts_and_steps_keep_the_mean_rate() -> None:
    for arrivals in ({"process": "bursts", "bursts": BURSTS}, {"steps": [0.5, 1.0, 1.5]}, {"process": "constant"}):
        scenario = Scenario.model_validate({"requests": 200_000, "arrivals": arrivals})
        at_s = simulate(scenario, "central queue", 2).at_s
        assert len(at_s) / at_s[-1] == pytest.approx(scenario.offered_rps, rel=0.06)
    ramp = Scenario.model_validate({"requests": 30_000, "arrivals": {"steps": [0.5, 1.5]}})
    at_s = simulate(ramp, "central queue", 2).at_s
    assert (at_s < at_s[-1] / 2).sum() == pytest.approx(30_000 * 0.25, rel=0.05)


@pytest.mark.parametrize(
    ("work", "scv"), [("lognormal", 4.0), ("exponential", 1.0), ("constant", 0.0), ("normal", 0.38)]
)
def test_work_has_the_mean_and_the_spread_that_were_asked_for(work: str, scv: float) -> None:
    kinds = {"general": {"distribution": work, "mean_ms": 50}}
    work_s = simulate(Scenario.model_validate({"requests": 200_000, "kinds": kinds}), "central queue", 1).work_s
    assert work_s.mean() == pytest.approx(0.05, rel=0.02)
    assert work_s.var() / work_s.mean() ** 2 == pytest.approx(scv, rel=0.1, abs=1e-9)
    assert (work_s >= 0).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("when,work_ms\n1,2\n", "line 1  the head line must name a column at_s; it has when, work_ms"),
        ("at_s\n1\nsoon\n", "line 3  at_s 'soon' is not a number"),
        ("at_s\n2\n1\n", "line 3  at_s 1 is before the line above; sort the file by at_s"),
        ("at_s,kind\n1,general\n2,film\n", "line 3  kind 'film' is not one of the scenario's"),
        ("at_s,work_ms\n1,nan\n", "line 2  work_ms nan must be from 0 to 1e9"),
        ("at_s\n1\n", "a trace needs at least 2 requests, it has 1"),
    ],
)
def test_what_is_wrong_with_a_trace_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    scenario = Scenario.model_validate({"arrivals": {"process": "trace", "trace": str(trace)}})
    with pytest.raises(ConfigError) as error:
        simulate(scenario, "round_robin", 1)
    assert said in str(error.value)


def test_a_trace_may_leave_kind_and_work_to_the_scenario(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("at_s,kind,work_ms\n5,api,7\n5.5,,\n6,api,\n")
    raw = {
        "kinds": {"api": {"mean_ms": 20, "distribution": "constant"}, "video": {"share": 1e-9}},
        "arrivals": {"process": "trace", "trace": str(trace)},
    }
    found = simulate(Scenario.model_validate(raw), "round_robin", 1)
    assert found.at_s.tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(found.work_s, [0.007, 0.02, 0.02])
    assert [found.kinds[i] for i in found.kind] == ["api", "api", "api"]
