"""The pure half of the load generator: workloads, schedules, records, what is valid."""

import numpy as np
import pytest

from cluster.errors import ConfigError
from lab.load import workload
from lab.load.records import OK, ROW, TIMEOUT, Records, from_message, merge, to_message
from lab.load.schedule import Schedule, draw
from lab.load.summary import hdr, latency, merged, problems, summarize
from lab.load.workload import TYPED, KindLoad, Workload

PLAIN = workload.PLAIN


def arrivals(load: str) -> Workload:
    return PLAIN.model_copy(update={"arrivals": load})


# -- workloads -------------------------------------------------------------------------------------------------------


def test_a_workload_is_read_from_json_and_says_all_that_is_wrong() -> None:
    read = workload.parse('{"kinds": {"a": {"path": "/x?y=1", "share": 2, "mean_ms": 5.0}}}')
    assert read.kinds["a"] == KindLoad(path="/x?y=1", share=2, mean_ms=5.0)
    with pytest.raises(ConfigError) as caught:
        workload.parse('{"arrivals": "now", "kinds": {"a": {"share": -1, "way": 3}}}')
    said = str(caught.value)
    assert all(part in said for part in ("arrivals", '"now"', "kinds.a.share", "-1", "kinds.a.way"))


def test_names_files_and_what_is_neither(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert workload.load("typed") is TYPED
    (tmp_path / "w.json").write_text(TYPED.model_dump_json())
    assert workload.load(str(tmp_path / "w.json")) == TYPED
    with pytest.raises(ConfigError, match="one of typed, plain, foreign"):
        workload.load("nothing")


def test_a_mix_names_kinds_and_shares() -> None:
    mixed = workload.mixed(TYPED, "api=3, video=1")
    assert {name: kind.share for name, kind in mixed.kinds.items()} == {"api": 3, "video": 1}
    for bad, word in (("audio=1", "no such kind"), ("api=0", "share above 0"), ("api", "KIND=SHARE")):
        with pytest.raises(ConfigError, match=word):
            workload.mixed(TYPED, bad)


def test_the_mean_work_is_known_unless_a_kind_leaves_it_to_the_node() -> None:
    assert TYPED.mean_ms == pytest.approx(0.4 * 50 + 0.4 * 20 + 0.15 * 200 + 0.05 * 800)
    assert workload.FOREIGN.mean_ms is None


# -- schedules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ["poisson", "constant", "bursts"])
def test_rate_shares_and_work_come_out_as_asked(process: str) -> None:
    schedule = draw(TYPED.model_copy(update={"arrivals": process}), 200, 300, "1")
    assert len(schedule) == pytest.approx(60_000, rel=0.12 if process == "bursts" else 0.02)
    assert np.all(np.diff(schedule.at_s) >= 0)
    assert schedule.at_s[0] >= 0
    assert schedule.at_s[-1] <= 300
    shares = np.bincount(schedule.kind) / len(schedule)
    assert shares == pytest.approx([0.4, 0.4, 0.15, 0.05], abs=0.01)
    for number, kind in enumerate(TYPED.kinds.values()):
        mine = schedule.service_ms[schedule.kind == number]
        assert mine.mean() == pytest.approx(kind.mean_ms, rel=0.05)
        assert mine.var() / mine.mean() ** 2 == pytest.approx(kind.scv, rel=0.2)


def test_arrivals_scatter_as_their_process_does() -> None:
    def dispersion(process: str) -> float:  # variance / mean of the counts in 0.5 s
        counts = np.histogram(draw(arrivals(process), 100, 500, "1").at_s, np.arange(0, 500.1, 0.5))[0]
        return float(counts.var() / counts.mean())

    assert dispersion("poisson") == pytest.approx(1, abs=0.15)
    assert dispersion("constant") < 0.05
    assert dispersion("bursts") > 5


def test_a_ramp_goes_straight_up() -> None:
    schedule = draw(arrivals("constant"), 100, 10, "1", ramp_to=300)
    counts = np.histogram(schedule.at_s, np.arange(11))[0]
    assert list(counts) == pytest.approx([110 + 20 * second for second in range(10)], abs=1)


def test_the_same_seed_sends_the_same_and_another_mix_keeps_the_arrivals() -> None:
    one, same, other = draw(TYPED, 50, 20, "x"), draw(TYPED, 50, 20, "x"), draw(TYPED, 50, 20, "y")
    assert np.array_equal(one.at_s, same.at_s)
    assert np.array_equal(one.service_ms, same.service_ms)
    assert not np.array_equal(one.at_s[:10], other.at_s[:10])
    assert np.array_equal(draw(workload.mixed(TYPED, "api=1"), 50, 20, "x").at_s, one.at_s)


def test_parts_are_the_whole() -> None:
    whole = draw(TYPED, 50, 20, "x")
    parts = [whole.part(number, 3) for number in range(3)]
    assert sorted(np.concatenate([part.index for part in parts])) == list(range(len(whole)))
    assert np.array_equal(parts[1].at_s, whole.at_s[1::3])


@pytest.mark.parametrize(("rate", "seconds"), [(0, 10), (-1, 10), (10, 0), (1e9, 1e6), (float("nan"), 1)])
def test_a_schedule_that_cannot_be_is_an_error(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="give between 1 and"):
        draw(PLAIN, rate, seconds, "1")


# -- records ---------------------------------------------------------------------------------------------------------


def recorded(
    latencies_ms: list[float], *, lag_ms: float = 0.1, outcomes: list[str] | None = None, cpu: float = 0.1,
    schedule: Schedule | None = None,
) -> Records:  # fmt: skip
    n = len(latencies_ms)
    said = outcomes or [OK] * n
    names = sorted(set(said) | {OK, "unsent"})
    rows = np.zeros(n, dtype=ROW)
    rows["index"] = np.arange(n)
    rows["due_s"] = np.arange(n) / 10
    rows["sent_s"] = rows["due_s"] + lag_ms / 1e3
    rows["done_s"] = rows["due_s"] + np.array(latencies_ms) / 1e3
    rows["node"] = 1
    rows["outcome"] = [names.index(name) for name in said]
    return Records(rows, ["general"], ["", "l1"], names, n / 10, n / 10, cpu, deadline_s=2.0)


def test_latency_counts_from_the_intended_moment_and_failures_count_as_the_deadline() -> None:
    records = recorded([10, 20, 5, 3000], outcomes=[OK, OK, "503", TIMEOUT], lag_ms=4)
    assert list(records.latencies_ms()) == pytest.approx([10, 20, 2000, 3000])
    assert list(records.lags_ms()) == pytest.approx([4] * 4)
    assert records.counts() == {OK: 2, "503": 1, TIMEOUT: 1}
    assert records.by_node() == {"l1": 4}


def test_the_warm_up_is_cut_by_when_requests_were_due() -> None:
    cut = recorded([1.0] * 100).after(3.95)
    assert len(cut) == 60
    assert cut.duration_s == pytest.approx(10 - 3.95)


def test_a_late_generator_makes_a_run_invalid() -> None:
    assert problems(recorded([20.0] * 100, lag_ms=0.9)) == []
    late = problems(recorded([20.0] * 100, lag_ms=1.1))
    assert "p50 of its lag, 1.1 ms, is over 5% of that of the latency, 20.0 ms" in late[0]


def test_a_tail_of_lag_under_a_tail_of_latency_is_no_harm_but_alone_it_is() -> None:
    latencies = [20.0] * 97 + [900.0] * 3
    fine, bad = recorded(latencies), recorded([20.0] * 100)
    for records in (fine, bad):
        records.rows["sent_s"][-2:] += 0.01
    assert problems(fine) == []
    assert "p99 of its lag" in problems(bad)[0]


def test_a_generator_out_of_breath_and_requests_never_sent_make_it_invalid() -> None:
    assert "used 81% of its CPU" in problems(recorded([20.0] * 10, cpu=0.81))[0]
    records = recorded([20.0] * 10)
    records.rows["sent_s"][3] = np.nan
    assert "1 of 10 requests were never sent" in problems(records)[0]
    assert problems(recorded([])) == ["no request was sent in the time that counts"]


def test_a_summary_says_valid_or_why_not_and_adds_up() -> None:
    good = summarize(recorded([20.0] * 200 + [5.0], outcomes=[OK] * 200 + ["502"]))
    assert good["valid"]
    assert good["why_invalid"] == []
    assert sum(good["outcomes"].values()) == good["latency"]["n"] == 201
    assert good["latency"]["max_ms"] == 2000
    assert good["latency"]["p99_ms"] is None  # two samples beyond it
    assert good["achieved_rps"] < good["offered_rps"]
    assert not summarize(recorded([20.0] * 10, lag_ms=5))["valid"]


def test_histograms_are_merged_not_averaged() -> None:
    one, other = np.full(900, 10.0), np.full(100, 1000.0)
    both = merged([latency(each)["hdr_b64"] for each in (one, other)])
    assert both.get_total_count() == 1000
    assert both.get_value_at_percentile(90) / 1e3 == pytest.approx(10, rel=1e-3)
    assert both.get_value_at_percentile(95) / 1e3 == pytest.approx(1000, rel=1e-3)
    assert hdr(np.array([0.0, 1e9])).get_total_count() == 2  # below and above its range: counted all the same


def test_the_records_of_several_generators_become_one() -> None:
    left, right = recorded([1.0, 2.0, 3.0]), recorded([4.0, 5.0], outcomes=["503", OK], cpu=0.5)
    left.rows["index"], right.rows["index"] = [0, 2, 4], [1, 3]
    both = merge([left, from_message(to_message(right))])
    assert list(both.rows["index"]) == [0, 1, 2, 3, 4]
    assert both.counts() == {OK: 4, "503": 1}
    assert both.by_node() == {"l1": 5}
    assert both.cpu_share == 0.5
