"""The typical service time: a moving geometric mean that one odd sample cannot carry away."""

from math import exp, log
from random import Random
from statistics import mean, pstdev

import pytest

from cluster.service_time import STEP, typical_ms


def learned(samples: list[float], begin_ms: float = 0.0, count: int = 0) -> float:
    known = begin_ms
    for n, sample in enumerate(samples, start=count + 1):
        known = typical_ms(known, sample, n)
    return known


def test_the_first_samples_give_their_geometric_mean() -> None:
    assert learned([10.0]) == 10.0
    assert learned([10.0, 40.0, 20.0]) == pytest.approx((10 * 40 * 20) ** (1 / 3))


def test_later_samples_count_5_percent_each() -> None:
    assert learned([20.0], 10.0, count=1000) == pytest.approx(10.0 * 2**STEP)
    assert learned([20.0] * 14, 10.0, count=1000) == pytest.approx(20.0 / 2 ** (0.95**14), rel=1e-9)


def test_a_sample_counts_at_most_as_ten_times_what_was_typical_and_nothing_breaks_it() -> None:
    assert learned([1e9], 10.0, count=1000) == pytest.approx(10.0 * 10**STEP)
    assert learned([0.0], 10.0, count=1000) == pytest.approx(10.0 / 10**STEP)
    assert learned([0.0]) > 0


def test_a_node_that_becomes_ten_times_slower_is_known_to_be_so_after_a_few_dozen_answers() -> None:
    assert learned([100.0] * 40, 10.0, count=1000) > 70.0


def test_it_scatters_less_than_a_plain_mean() -> None:
    """Lognormal with a squared coefficient of variation of 4: the reason for logarithms."""
    dice, spread = Random(1), log(5.0)
    geometric, plain, known, average = [], [], 1.0, exp(spread / 2)
    for n in range(20_000):
        sample = dice.lognormvariate(0.0, spread**0.5)
        known = typical_ms(known, sample, 1000)
        average += 0.05 * (sample - average)
        if n % 20 == 0:
            geometric.append(known)
            plain.append(average)
    assert pstdev(geometric) / mean(geometric) < 0.24
    assert pstdev(plain) / mean(plain) > 0.27
