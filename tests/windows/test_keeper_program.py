"""When a kept program is started again: pure, with a clock by hand."""

from itertools import pairwise

from deploy.keeper.program import LONGEST_PAUSE_S, STEADY_S, Kept, pause_s


def test_pauses_grow_and_then_stay() -> None:
    assert [pause_s(ends) for ends in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert pause_s(10_000) == LONGEST_PAUSE_S


def test_a_program_that_cannot_run_is_tried_for_ever_ever_more_slowly() -> None:
    kept, now, starts = Kept("a"), 0.0, list[float]()
    while now < 3600:
        if kept.is_due(now):
            starts.append(now)
            kept.started(7, now)
            kept.ended("exit status 1", now)
            assert kept.state == "BACKOFF"
        now += 0.5
    gaps = [round(b - a, 1) for a, b in pairwise(starts)]
    assert gaps[:6] == [1, 2, 4, 8, 16, 30]
    assert set(gaps[5:]) == {30.0}
    assert 115 < len(starts) < 130
    assert kept.description == "exit status 1"


def test_a_program_that_ran_well_is_back_at_once() -> None:
    kept = Kept("a")
    kept.ended("exit status 1", 0)
    kept.started(7, 1)
    assert kept.ran_on(2)
    assert kept.state == "RUNNING"
    kept.ran_on(2 + STEADY_S)
    kept.ended("terminated by SIGKILL", 3 + STEADY_S)
    assert (kept.state, kept.ends, kept.pid) == ("EXITED", 0, 0)
    assert kept.is_due(3 + STEADY_S)


def test_what_was_stopped_by_order_stays_stopped() -> None:
    kept = Kept("a")
    kept.started(7, 0)
    kept.stopping()
    assert kept.state == "STOPPING"
    assert not kept.is_due(100)
    kept.ended("exit status 0", 1)
    assert kept.state == "STOPPED"
    assert not kept.is_due(1e9)


def test_stopping_what_waits_stops_it_at_once() -> None:
    kept = Kept("a")
    kept.ended("cannot be started", 0)
    kept.stopping()
    assert kept.state == "STOPPED"
