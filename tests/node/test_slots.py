"""Slots: at most so many at work, first come first served, never a slot lost."""

import random

import gevent
import pytest
from gevent import GreenletExit

from node.slots import Place, QueueFull, Slots, Where


def counts(slots: Slots) -> tuple[int, int, int]:
    return slots.working, slots.waiting, slots.rif


def test_free_slots_are_taken_at_once_and_the_rest_waits() -> None:
    slots = Slots(2)
    places = [slots.enter() for _ in range(5)]
    assert [place.where for place in places] == [Where.WORKING] * 2 + [Where.WAITING] * 3
    assert counts(slots) == (2, 3, 5)


def test_a_freed_slot_goes_to_the_first_in_the_queue() -> None:
    slots = Slots(1)
    first, second, third = (slots.enter() for _ in range(3))
    first.leave()
    assert (second.where, third.where) == (Where.WORKING, Where.WAITING)
    late = slots.enter()
    assert late.where is Where.WAITING  # nobody overtakes
    assert counts(slots) == (1, 2, 3)


def test_leaving_twice_frees_one_slot() -> None:
    slots = Slots(2)
    one, _two = slots.enter(), slots.enter()
    one.leave()
    one.leave()
    assert counts(slots) == (1, 0, 1)


def test_leaving_the_queue_frees_no_slot() -> None:
    slots = Slots(1)
    working, gone, patient = slots.enter(), slots.enter(), slots.enter()
    gone.leave()
    assert counts(slots) == (1, 1, 2)
    working.leave()
    assert patient.where is Where.WORKING
    assert gone.where is Where.OUT


def test_full_queue_turns_away() -> None:
    slots = Slots(1, max_waiting=2)
    for _ in range(3):
        slots.enter()
    with pytest.raises(QueueFull, match="1 at work and 2 waiting"):
        slots.enter()
    assert counts(slots) == (1, 2, 3)


def test_no_queue_at_all() -> None:
    slots = Slots(1, max_waiting=0)
    place = slots.enter()
    with pytest.raises(QueueFull):
        slots.enter()
    place.leave()
    assert slots.enter().where is Where.WORKING


def test_waiting_greenlets_are_served_in_order_whatever_kills_some_of_them() -> None:
    slots = Slots(1)
    served: list[int] = []

    def request(n: int) -> None:
        place = slots.enter()
        try:
            place.wait()
            served.append(n)
            gevent.sleep(0)
        finally:
            place.leave()

    greenlets = [gevent.spawn(request, n) for n in range(6)]
    gevent.sleep(0)  # all have entered
    assert counts(slots) == (1, 5, 6)
    greenlets[3].kill(GreenletExit)
    gevent.joinall(greenlets, timeout=5)
    assert served == [0, 1, 2, 4, 5]
    assert counts(slots) == (0, 0, 0)


def test_one_killed_between_grant_and_waking_passes_its_slot_on() -> None:
    slots = Slots(1)
    first = slots.enter()

    def request() -> None:
        place = slots.enter()
        try:
            place.wait()
        finally:
            place.leave()

    doomed = gevent.spawn(request)
    gevent.sleep(0)
    last = slots.enter()
    first.leave()  # the doomed one holds the slot now, but has not run yet
    doomed.kill(GreenletExit)
    assert last.where is Where.WORKING
    assert counts(slots) == (1, 0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_coming_and_going_keeps_the_books(seed: int) -> None:
    rng = random.Random(seed)
    slots = Slots(rng.randint(1, 4), max_waiting=6)
    inside: list[Place] = []
    for _ in range(500):
        if inside and rng.random() < 0.5:
            inside.pop(rng.randrange(len(inside))).leave()
        elif len(inside) < slots.slots + 6:
            inside.append(slots.enter())
        assert slots.rif == len(inside)
        assert slots.working == min(slots.slots, len(inside))
        assert [p.where for p in inside].count(Where.WORKING) == slots.working
        # those at work came before those who wait
        where = [place.where for place in inside]
        assert where == sorted(where, key=[Where.WORKING, Where.WAITING].index)
