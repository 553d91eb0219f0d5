"""The statistics of a comparison, against known results and by simulating what they claim."""

from math import exp, log

import numpy as np
import pytest

from lab.compare_algorithms.statistics import (
    MEASURES,
    Interval,
    Verdict,
    bootstrap_intervals,
    compare_each,
    headline_measure,
    holm,
    log_ratios,
    measures_for,
    more_blocks,
    p_beyond,
    percentile,
    t_cdf,
    t_interval,
    t_quantile,
)


@pytest.mark.parametrize(
    ("df", "t975", "t95"),  # any table of Student's t
    [
        (1, 12.706, 6.314),
        (2, 4.303, 2.920),
        (4, 2.776, 2.132),
        (5, 2.571, 2.015),
        (9, 2.262, 1.833),
        (30, 2.042, 1.697),
    ],
)
def test_students_t_is_that_of_the_tables(df: int, t975: float, t95: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(t975, abs=6e-4)
    assert t_quantile(0.95, df) == pytest.approx(t95, abs=6e-4)
    assert t_cdf(t975, df) == pytest.approx(0.975, abs=1e-4)
    assert t_cdf(-t975, df) == pytest.approx(0.025, abs=1e-4)
    assert t_cdf(0, df) == 0.5


def test_the_t_interval_of_a_sample_done_by_hand() -> None:
    # mean 3, sample standard deviation 1.5811, standard error 0.7071, t 2.776
    found = t_interval(np.array([1.0, 2, 3, 4, 5]), 0.95)
    assert (found.low, found.high) == pytest.approx((3 - 1.9632, 3 + 1.9632), abs=1e-3)
    assert t_interval(np.array([1.0]), 0.95) == Interval(-np.inf, np.inf)


def test_holm_corrects_as_in_his_paper_and_keeps_the_order() -> None:
    # Smallest x 3, next x 2, last x 1, never falling
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_percentiles_are_latencies_that_happened() -> None:
    values = np.arange(1.0, 1001)
    assert [percentile(values, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0)] == [500, 900, 990, 999, 1000]
    assert percentile(np.array([7.0]), 0.5) == 7
    assert np.isnan(percentile(np.array([]), 0.5))


def test_a_percentile_needs_ten_samples_beyond_it() -> None:
    assert measures_for(99) == ["mean", "p50"]
    assert measures_for(1000) == ["mean", "p50", "p90", "p99"]
    assert measures_for(10_000)[-1] == "p999"
    assert [headline_measure(n) for n in (0, 50, 999, 1000, 50_000)] == ["mean", "mean", "mean", "p99", "p99"]


def test_blocks_are_paired_and_one_without_figures_is_left_out() -> None:
    empty = np.array([])
    found = log_ratios([np.full(3, 8.0), empty, np.full(3, 1.0)], [np.full(3, 4.0), np.ones(3), np.full(3, 2.0)],
                       MEASURES["mean"])  # fmt: skip
    assert found == pytest.approx([log(2), -log(2)])
    with pytest.raises(ValueError, match="2 blocks of the candidate and 1 of the baseline"):
        log_ratios([empty, empty], [empty], MEASURES["mean"])


def judge(values: list[float], margin: float = 0.03, **more: bool) -> tuple[Verdict, int | None]:
    found = compare_each([np.array(values)], np.random.default_rng(1), margin=margin, **more)[0]
    return found.verdict, found.more_blocks


def test_the_three_verdicts() -> None:
    assert judge([-0.20, -0.22, -0.18, -0.21, -0.19]) == (Verdict.FASTER, None)
    assert judge([0.20, 0.22, 0.18, 0.21, 0.19]) == (Verdict.SLOWER, None)
    assert judge([0.20, 0.22, 0.18, 0.21, 0.19], more_is_better=True) == (Verdict.FASTER, None)
    assert judge([0.004, -0.003, 0.001, -0.004, 0.002]) == (Verdict.EQUIVALENT, None)
    verdict, more = judge([0.1, -0.1, 0.1, -0.06, -0.04])
    assert verdict is Verdict.INCONCLUSIVE
    assert more is not None
    assert more > 20


def test_a_difference_inside_the_margin_is_never_a_victory() -> None:
    sure = [-0.020, -0.0201, -0.0199, -0.0200, -0.0202]  # without a doubt 2 % faster: of no interest
    assert judge(sure)[0] is Verdict.EQUIVALENT
    assert judge(sure, margin=0.01)[0] is Verdict.FASTER


def test_equal_blocks_and_too_few_blocks() -> None:
    assert judge([0.0] * 5)[0] is Verdict.EQUIVALENT
    assert judge([-0.5] * 5)[0] is Verdict.FASTER
    assert judge([-0.5, -0.5])[0] is Verdict.INCONCLUSIVE
    assert judge([]) == (Verdict.INCONCLUSIVE, None)


def test_two_that_are_compared_at_once_need_more_than_one_alone() -> None:
    close = np.array([-0.09, -0.13, -0.05, -0.12, -0.04])
    other = np.array([0.01, -0.02, 0.02, 0.0, -0.01])
    alone = compare_each([close], np.random.default_rng(1))[0]
    together = compare_each([close, other], np.random.default_rng(1))[0]
    assert alone.p == together.p
    assert together.p_holm == pytest.approx(2 * alone.p)
    assert alone.verdict is Verdict.FASTER
    assert together.verdict is Verdict.INCONCLUSIVE


def test_so_many_more_blocks_do_decide_it() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(-0.12, 0.12, 6)
    more = more_blocks(values, log(1.03))
    assert more is not None

    # The same mean and scatter, on that many blocks: now the interval is beyond the margin, with one less it is not.
    def scaled(n: int) -> np.ndarray:
        draw = np.resize([1.0, -1.0], n)
        draw = (draw - draw.mean()) / draw.std(ddof=1)
        return float(np.mean(values)) + float(np.std(values, ddof=1)) * draw

    assert t_interval(scaled(6 + more), 0.95).outside(log(1.03))
    assert not t_interval(scaled(6 + more - 1), 0.95).outside(log(1.03))


def test_no_number_of_blocks_decides_what_lies_on_the_margin() -> None:
    bound = log(1.03)
    assert more_blocks(np.array([bound - 0.05, bound + 0.05] * 3), bound) is None


def test_ratios_and_resolution_are_in_words_of_the_reader() -> None:
    values = np.log([0.5, 0.5, 0.5, 0.55])
    found = compare_each([values], np.random.default_rng(1))[0]
    assert found.ratio == pytest.approx(exp(float(np.mean(values))))
    assert found.block_ratios == pytest.approx((0.5, 0.5, 0.5, 0.55))
    assert found.ci95.low < found.bootstrap95.low <= found.ratio <= found.bootstrap95.high < found.ci95.high
    assert found.resolution_pct == pytest.approx(100 * (found.ci95.high / found.ratio - 1))


def test_the_same_rng_gives_the_same_interval() -> None:
    values = np.random.default_rng(5).normal(size=8)
    first, again, other = (bootstrap_intervals(values, [0.95], np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("blocks", [5, 10])
def test_intervals_cover_and_verdicts_err_as_rarely_as_they_claim(blocks: int) -> None:
    """300 comparisons each of blocks that scatter by 6 %: without a difference, and with one exactly at the margin."""
    rng = np.random.default_rng(blocks)
    trials = 300
    for true in (0.0, log(1.03)):
        found = [compare_each([rng.normal(true, 0.06, blocks)], rng)[0] for _ in range(trials)]
        covered = sum(each.ci95.low <= exp(true) <= each.ci95.high for each in found)
        victories = sum(each.verdict in (Verdict.FASTER, Verdict.SLOWER) for each in found)
        assert 0.92 * trials <= covered <= 0.98 * trials
        assert victories <= 0.05 * trials
        if true:
            assert sum(each.verdict is Verdict.EQUIVALENT for each in found) <= 0.08 * trials


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    found = [compare_each([rng.normal(log(0.8), 0.06, 8)], rng)[0].verdict for _ in range(100)]
    assert found.count(Verdict.FASTER) >= 95
    assert p_beyond(np.array([0.01, -0.01, 0.02]), 0.03) == 1.0


def test_single_requests_would_lie_where_blocks_do_not() -> None:
    """Why blocks: latencies of a queue depend on each other. A test of pooled requests sees differences in A/A."""
    rng = np.random.default_rng(1)
    pooled = paired = 0
    for _ in range(60):
        runs = [[np.exp(rng.normal(0, 0.1) + rng.normal(3, 0.5, 500)) for _ in range(6)] for _ in "ab"]  # runs differ
        a, b = (np.log(np.concatenate(each)) for each in runs)
        z = (a.mean() - b.mean()) / np.sqrt(a.var() / len(a) + b.var() / len(b))
        pooled += abs(z) > 1.96
        verdict = compare_each([log_ratios(*runs, MEASURES["mean"])], rng)[0].verdict
        paired += verdict in (Verdict.FASTER, Verdict.SLOWER)
    assert pooled > 20  # nominally 3
    assert paired <= 3
