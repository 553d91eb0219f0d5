"""What moves on the page: what has just passed, probe strips; both without sockets or a clock."""

from typing import Any

from dashboard.flow import NOTHING, Flow
from dashboard.probes import Probes
from tests.dashboard.fake_control import FakeControl


def snapshot(at: float, attempts: int, errors: int = 0, retried: int = 0, balancer: str = "b1") -> Any:
    node = {"name": "l1", "attempts": attempts, "errors": errors, "retried": retried}
    return {"balancer": balancer, "at": at, "nodes": [node]}


def test_a_first_look_gives_nothing() -> None:
    assert Flow().take([snapshot(10.0, 500)]) == {"l1": NOTHING}


def test_what_has_passed_is_the_difference() -> None:
    flow = Flow()
    flow.take([snapshot(10.0, 500, 3, 1)])
    assert flow.take([snapshot(10.5, 550, 5, 2)]) == {"l1": (100.0, 2, 1)}


def test_bad_answers_went_wrong_too() -> None:
    flow = Flow()
    before, after = snapshot(10.0, 500, 3), snapshot(10.5, 550, 4)
    before["nodes"][0]["bad_answers"], after["nodes"][0]["bad_answers"] = 7, 12
    flow.take([before])
    assert flow.take([after]) == {"l1": (100.0, 6, 0)}


def test_several_balancers_are_summed() -> None:
    flow = Flow()
    flow.take([snapshot(10.0, 0), snapshot(10.0, 0, balancer="b2")])
    assert flow.take([snapshot(11.0, 30), snapshot(11.0, 12, 1, balancer="b2")]) == {"l1": (42.0, 1, 0)}


def test_the_same_snapshot_again_repeats_the_rate_and_not_the_failures() -> None:
    flow = Flow()
    flow.take([snapshot(10.0, 0)])
    flow.take([snapshot(11.0, 30, 4)])
    assert flow.take([snapshot(11.0, 30, 4)]) == {"l1": (30.0, 0, 0)}
    assert flow.take([snapshot(12.0, 40, 4)]) == {"l1": (10.0, 0, 0)}


def test_counters_that_began_anew_give_nothing() -> None:
    flow = Flow()
    flow.take([snapshot(10.0, 500)])
    assert flow.take([snapshot(10.5, 3)]) == {"l1": NOTHING}


def test_a_balancer_that_is_gone_is_forgotten() -> None:
    flow = Flow()
    flow.take([snapshot(10.0, 500)])
    assert flow.take([]) == {}
    assert flow.take([snapshot(20.0, 900)]) == {"l1": NOTHING}


def probes(**changed: Any) -> Any:
    view = FakeControl("t", ("l1",)).probes()["l1"]
    return {"l1": {**view, **changed}}


def test_a_strip_is_a_row_of_bits() -> None:
    seen = Probes()
    seen.saw("b1", probes(history=[1, 1, 0, 1], last_ms=1.26))
    assert seen.strips(["l1", "l2"]) == [[4, "d", 1.3], None]


def test_the_cause_is_told_only_while_probes_fail() -> None:
    seen = Probes()
    seen.saw("b1", probes(fails=2, cause="timeout"))
    assert seen.about("l1") == {"path": "/-/health", "interval_s": 1.0, "cause": "timeout"}
    seen.saw("b1", probes(fails=0, cause="timeout"))
    assert (seen.about("l1") or {})["cause"] == ""
    assert seen.about("l2") is None


def test_when_the_first_balancer_is_lost_the_next_ones_probes_are_shown() -> None:
    seen = Probes()
    seen.saw("b1", probes(history=[1]))
    seen.saw("b2", probes(history=[0, 0]))
    assert seen.strips(["l1"])[0][:2] == [1, "1"]  # type: ignore[index]
    seen.lost("b1")
    assert seen.strips(["l1"])[0][:2] == [2, "0"]  # type: ignore[index]
