"""The histogram's promise: a value is known within 3.2 % (its bucket's middle), and adding histograms loses nothing."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.histogram import BUCKETS, added_up, bucket_of, middle_ms, packed, percentiles

LONGEST_S = (1 << 32) / 1e6
durations_s = st.floats(0, LONGEST_S * 2, allow_nan=False)


@given(us=st.integers(32, int(LONGEST_S * 1e6) - 1))
def test_the_middle_of_a_buckets_range_is_within_3_2_percent(us: int) -> None:
    assert abs(middle_ms(bucket_of(us / 1e6 + 1e-9)) * 1e3 - us) <= us * 0.032


@given(us=st.integers(0, 31))
def test_below_32_microseconds_each_has_its_own_bucket(us: int) -> None:
    assert bucket_of(us / 1e6 + 1e-9) == us
    assert middle_ms(us) * 1e3 == pytest.approx(us + 0.5)


@given(a=durations_s, b=durations_s)
def test_longer_never_falls_into_a_lower_bucket(a: float, b: float) -> None:
    low, high = sorted((bucket_of(a), bucket_of(b)))
    assert (bucket_of(min(a, b)), bucket_of(max(a, b))) == (low, high)
    assert 0 <= low <= high < BUCKETS


def test_every_bucket_is_where_its_middle_is() -> None:
    for index in range(BUCKETS):
        assert bucket_of(middle_ms(index) / 1e3) == index


def test_longer_than_the_range_counts_as_longest() -> None:
    assert bucket_of(1e9) == BUCKETS - 1
    assert bucket_of(0.0) == 0


def counted(values_ms: list[float]) -> list[int]:
    counts = [0] * BUCKETS
    for value in values_ms:
        counts[bucket_of(value / 1e3)] += 1
    return counts


@given(
    values=st.lists(st.floats(0.1, 60_000), min_size=1, max_size=300),
    share=st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]),
)
def test_a_percentile_is_within_the_buckets_error_of_the_exact_one(values: list[float], share: float) -> None:
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    found = percentiles(counted(values), (share,))[0]
    assert found == pytest.approx(exact, rel=0.034, abs=0.002)


def test_merging_is_adding() -> None:
    rng = Random(1)
    parts = [[rng.lognormvariate(3, 1) for _ in range(n)] for n in (10, 1000, 50)]
    merged = [sum(column) for column in zip(*map(counted, parts), strict=True)]
    assert merged == counted([value for part in parts for value in part])


def test_percentiles_come_in_order_and_none_without_samples() -> None:
    assert percentiles([0] * BUCKETS, (0.5, 0.95, 0.99)) == [None, None, None]
    p50, p95, p99 = percentiles(counted([float(n) for n in range(1, 1001)]), (0.5, 0.95, 0.99))
    assert p50 is not None
    assert p95 is not None
    assert p99 is not None
    assert p50 < p95 < p99
    one = percentiles(counted([20.0]), (0.5, 0.95, 0.99))
    assert one[0] == one[1] == one[2] == pytest.approx(20.0, rel=0.032)


@given(many=st.lists(st.lists(st.floats(0, 1e7), max_size=30), max_size=4))
def test_packed_histograms_added_up_are_the_histogram_of_all(many: list[list[float]]) -> None:
    assert added_up(packed(counted(one)) for one in many) == counted([value for one in many for value in one])


def test_packed_is_only_what_holds_something() -> None:
    assert packed(counted([])) == []
    assert packed(counted([0.01, 0.01, 0.012])) == [10, 2, 2, 1]


@pytest.mark.parametrize("damaged", [[3], [BUCKETS, 1], [-1, 1]])
def test_what_is_no_packed_histogram_is_refused(damaged: list[int]) -> None:
    with pytest.raises(ValueError, match=r"bucket|zip"):
        added_up([damaged])
