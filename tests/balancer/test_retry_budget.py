"""The retry budget: a share of the traffic, a floor a second, a burst."""

from balancer.retry import BURST, PER_SECOND, RetryBudget


def drain(budget: RetryBudget, now: float) -> int:
    taken = 0
    while budget.take(now):
        taken += 1
    return taken


def test_a_burst_is_there_from_the_start() -> None:
    assert drain(RetryBudget(0.2, now=0.0), now=0.0) == int(BURST)


def test_a_fifth_of_the_requests_may_be_retried() -> None:
    budget = RetryBudget(0.2, now=0.0)
    drain(budget, now=0.0)
    for _ in range(100):
        budget.request()
    assert drain(budget, now=0.0) in (19, 20)  # the sum of a hundred fifths, in floats


def test_few_requests_still_get_some_retries_a_second() -> None:
    budget = RetryBudget(0.0, now=0.0)
    drain(budget, now=0.0)
    assert drain(budget, now=1.0) == int(PER_SECOND)


def test_savings_are_bounded() -> None:
    budget = RetryBudget(1.0, now=0.0)
    for _ in range(10_000):
        budget.request()
    assert drain(budget, now=1_000.0) == int(BURST)
