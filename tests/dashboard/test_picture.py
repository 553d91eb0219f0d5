"""The picture: merging, ticks, changes, process states; all without sockets or a clock."""

import json
from typing import Any

import pytest

from cluster.config import Fleet
from cluster.histogram import BUCKETS, bucket_of, packed
from dashboard import merge
from dashboard.eventlog import EventLog
from dashboard.history import History
from dashboard.picture import Picture
from dashboard.processes import SILENT_S, BadReport, Processes
from dashboard.viewers import STALLED_TICKS, Viewers
from tests.dashboard.fake_control import FakeControl


def fleet(nodes: int = 3, balancers: int = 1) -> Fleet:
    return Fleet.model_validate(
        {
            "balancers": [
                {"name": f"b{i + 1}", "port": 8080 + 10 * i, "control_port": 8081 + 10 * i} for i in range(balancers)
            ],
            "nodes": [{"name": f"l{i + 1}", "port": 5001 + i} for i in range(nodes)],
            "dashboard": {},
        }
    )


def names(count: int) -> tuple[str, ...]:
    return tuple(f"l{i + 1}" for i in range(count))


def report(host: str = "here", **process: Any) -> dict[str, Any]:
    one = {"name": "node-l1", "state": "RUNNING", "pid": 7, "since": 90.0, "restarts": 0, "description": "", **process}
    return {"host": host, "at": 100.0, "processes": [one], "events": []}


def message(picture: Picture, now: float, wanted: str) -> Any:
    return dict(picture.turn(now)).get(wanted)


def test_before_the_first_snapshot_the_page_shows_the_file() -> None:
    state = Picture(fleet(), 100.0).state(100.0)
    assert [n["name"] for n in state["layout"]["nodes"]] == ["l1", "l2", "l3"]
    assert state["layout"]["nodes"][0]["state"] == "unknown"
    assert state["tick"] is None


def test_a_snapshot_becomes_words_once_and_numbers_each_time() -> None:
    picture, control = Picture(fleet(), 100.0), FakeControl("t")
    picture.saw("b1", control.snapshot(), 100.5)  # type: ignore[arg-type]
    first = dict(picture.turn(100.5))
    assert first["change"]["algorithm"] == "round_robin"
    assert first["change"]["nodes"]["0"]["state"] == "up"
    picture.saw("b1", control.snapshot(), 101.0)  # type: ignore[arg-type]
    second = dict(picture.turn(101.0))
    assert set(second) == {"tick"}
    number, totals, rows, balancers = second["tick"]
    assert balancers == []  # of a single one the totals say all
    assert number == 2
    assert len(totals) == len(merge.TOTALS)
    assert all(
        merge.NODE.index("slow_start") < len(row) <= len(merge.NODE) for row in rows
    )  # zeros at the end stay out
    assert all(isinstance(value, int | float) for row in rows for value in row)


def test_only_what_changed_travels() -> None:
    picture, control = Picture(fleet(), 100.0), FakeControl("t")
    picture.saw("b1", control.snapshot(), 100.5)  # type: ignore[arg-type]
    picture.turn(100.5)
    control.set_node("l2", admin="draining")
    picture.saw("b1", control.snapshot(), 101.0)  # type: ignore[arg-type]
    change = message(picture, 101.0, "change")
    assert set(change) == {"nodes"}
    assert set(change["nodes"]) == {"1"}
    assert set(change["nodes"]["1"]) == {"admin", "state", "ready", "since"}


def test_another_list_of_nodes_is_sent_whole() -> None:
    picture, control = Picture(fleet(), 100.0), FakeControl("t", ("l1", "l2", "l3", "l9"))
    picture.saw("b1", control.snapshot(), 100.5)  # type: ignore[arg-type]
    change = message(picture, 100.5, "change")
    assert [n["name"] for n in change["all_nodes"]] == ["l1", "l2", "l3", "l9"]


def test_no_tick_while_nobody_answers_and_the_cause_is_shown() -> None:
    picture, control = Picture(fleet(), 100.0), FakeControl("t")
    picture.saw("b1", control.snapshot(), 100.5)  # type: ignore[arg-type]
    picture.turn(100.5)
    picture.lost("b1", "connection refused", 101.0)
    sent = dict(picture.turn(101.0))
    assert "tick" not in sent
    assert sent["change"]["balancers"][0]["reachable"] is False
    assert sent["change"]["balancers"][0]["cause"] == "connection refused"
    assert sent["change"]["balancers"][0]["since"] == 101.0
    assert "cannot be reached" in sent["events"][0].text
    picture.lost("b1", "connection refused", 102.0)
    assert picture.turn(102.0) == []


def test_a_new_boot_keeps_the_history_and_says_so() -> None:
    picture, control = Picture(fleet(), 100.0), FakeControl("t")
    picture.saw("b1", control.snapshot(), 100.5)  # type: ignore[arg-type]
    picture.turn(100.5)
    control.boot = "boot-2"
    picture.saw("b1", control.snapshot(), 102.0)  # type: ignore[arg-type]
    sent = dict(picture.turn(102.0))
    assert "started anew" in sent["events"][0].text
    assert len(picture.history) == 2


def answers(**counts: int) -> list[int]:
    """`answers(ms20=3)`: the packed histogram of three answers of 20 ms."""
    out = [0] * BUCKETS
    for name, count in counts.items():
        out[bucket_of(int(name[2:]) / 1e3)] += count
    return packed(out)


def of_two(first: list[int] | None, second: list[int] | None) -> Picture:
    """A picture of two balancers whose windows, whole and of each node, tell these histograms; None: they tell none."""
    picture = Picture(fleet(balancers=2), 100.0)
    for name, histogram in (("b1", first), ("b2", second)):
        snapshot = FakeControl("t").snapshot()
        for part in (snapshot, *snapshot["nodes"]):
            part["window"].update(rps=10.0, p50_ms=10.0 if name == "b1" else 500.0, p95_ms=500.0, p99_ms=500.0)
            if histogram is not None:
                part["window"]["histogram"] = histogram
        if name == "b2":
            snapshot["nodes"][0]["slow_start"] = 0.25
            snapshot["nodes"][1]["weight"] = 9
        picture.saw(name, snapshot, 100.5)  # type: ignore[arg-type]
    picture.turn(100.5)
    return picture


def figures_of(picture: Picture) -> tuple[dict[str, Any], dict[str, Any]]:
    """Totals and the first node's row of the newest tick, by name."""
    _, totals, rows, _ = picture.state(100.5)["tick"]
    return dict(zip(merge.TOTALS, totals, strict=True)), dict(zip(merge.NODE, rows[0], strict=False))


def test_two_balancers_are_summed_and_what_differs_is_named() -> None:
    picture = of_two(answers(ms10=900), answers(ms500=100))
    for figures in figures_of(picture):
        assert figures["rps"] == 20
    assert figures_of(picture)[1]["slow_start"] == 0.25  # the balancer that has just found it again counts
    assert [node["differs"] for node in picture.state(100.5)["layout"]["nodes"]] == [[], ["b2"], []]


def test_percentiles_of_two_balancers_come_from_their_histograms_added_up() -> None:
    """960 fast answers here and 40 slow ones there: of all, 95 in a hundred are fast, 99 are not."""
    for figures in figures_of(of_two(answers(ms10=960), answers(ms500=40))):
        assert figures["p50_ms"] == pytest.approx(10, rel=0.04)
        assert figures["p95_ms"] == pytest.approx(10, rel=0.04)
        assert figures["p99_ms"] == pytest.approx(500, rel=0.04)


def test_two_balancers_without_an_answer_have_no_percentiles() -> None:
    for figures in figures_of(of_two([], [])):
        assert [figures["p50_ms"], figures["p99_ms"]] == [None, None]


def test_beside_a_balancer_that_tells_no_histogram_the_worst_counts() -> None:
    """As while a deploy goes on, and one balancer is still of the release before."""
    for figures in figures_of(of_two(answers(ms10=960), None)):
        assert figures["p50_ms"] == 500


@pytest.mark.parametrize(("count", "most"), [(3, 512), (30, 2048), (100, 4096)])
def test_a_tick_fits_its_budget(count: int, most: int) -> None:
    """research/dashboard.md: at most 1, 4, 8 KiB/s plain, at two ticks a second."""
    picture, control = Picture(fleet(count), 100.0), FakeControl("t", names(count), rps=150.0 * count)
    for node in control.nodes.values():
        node["errors"] = 12345
    picture.saw("b1", control.snapshot(), 100.5)  # type: ignore[arg-type]
    tick = message(picture, 100.5, "tick")
    packet = "42" + json.dumps(["tick", tick], separators=(",", ":"))
    assert len(packet) + 4 <= most


@pytest.mark.parametrize("count", [3, 30, 100])
def test_the_first_message_fits_its_budget(count: int) -> None:
    picture, control = Picture(fleet(count), 0.0), FakeControl("t", names(count))
    for second in range(400):
        picture.saw("b1", control.snapshot(), float(second))  # type: ignore[arg-type]
        picture.turn(float(second))
    hello = json.dumps(picture.hello(400.0), separators=(",", ":"))
    assert len(hello) <= 64 * 1024


def test_history_is_one_point_a_second_and_bounded() -> None:
    history = History(seconds=10)
    for half in range(60):
        history.add(1000 + half / 2, [1.0, 0.0, None, None, None, 3.0], {"l1": half / 2})
    packed = history.packed(["l1", "never"])
    assert packed["at"] == [i * 1000 for i in range(10)]
    assert packed["t0"] == 1020.0
    assert packed["nodes"][0] == [20.0 + i for i in range(10)]
    assert packed["nodes"][1] == [None] * 10
    assert packed["totals"]["p50_ms"] == [None] * 10


def test_a_node_that_joins_has_no_past_and_one_that_leaves_is_forgotten() -> None:
    history = History(seconds=3)
    history.add(1.0, [0.0] * 6, {"old": 5.0})
    history.add(2.0, [0.0] * 6, {"new": 7.0})
    assert history.packed(["old", "new"])["nodes"] == [[5.0, None], [None, 7.0]]
    history.add(3.0, [0.0] * 6, {"new": 7.0})
    history.add(4.0, [0.0] * 6, {"new": 7.0})
    assert history.packed(["old"])["nodes"] == [[None] * 3]
    assert "old" not in history._nodes


def test_the_log_hears_an_event_once() -> None:
    log, event = EventLog(kept=2), FakeControl("t")
    event.event("health", "l1 is down", "l1")
    one = event.log[0]
    assert log.add("b1", "boot-1", one) is not None  # type: ignore[arg-type]
    assert log.add("b1", "boot-1", one) is None  # type: ignore[arg-type]
    assert log.add("b1", "boot-2", one) is not None  # type: ignore[arg-type]
    log.note(1.0, "connection", "gone")
    assert [entry.kind for entry in log.newest()] == ["health", "connection"]


def test_long_texts_are_cut() -> None:
    assert len(EventLog().note(1.0, "x", "y" * 5000).text) == 300


def test_a_silent_host_is_unknown_since_its_last_word() -> None:
    processes = Processes(["here"])
    processes.report(report(), 100.0)
    assert processes.rows(100.0 + SILENT_S)[0]["state"] == "RUNNING"
    row = processes.rows(100.1 + SILENT_S)[0]
    assert (row["state"], row["since"], row["heard"]) == ("UNKNOWN", 100.0, False)
    processes.report(report(), 120.0)
    assert processes.rows(121.0)[0]["state"] == "RUNNING"


def test_the_process_of_a_node_is_in_its_row() -> None:
    picture = Picture(fleet(), 100.0)
    picture.reported(report(restarts=2), 100.0)
    change = message(picture, 100.0, "change")
    assert change["nodes"]["0"]["process"]["restarts"] == 2
    assert picture.state(100.0)["layout"]["nodes"][1]["process"] is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (None, "report: is not an object"),
        ([], "report: is not an object"),
        ({"host": "here"}, "report.at"),
        (report(host="elsewhere"), "not in hosts"),
        (report(state="DANCING"), "processes[0].state"),
        (report(pid="7"), "processes[0].pid"),
        (report(since=float("inf")), "processes[0].since"),
        ({**report(), "at": float("nan")}, "report.at"),
        ({**report(), "events": [1]}, "events[0]: is not an object"),
    ],
)
def test_a_report_that_is_none_is_refused_with_its_place(body: Any, says: str) -> None:
    with pytest.raises(BadReport) as refused:
        Processes(["here"]).report(body, 0.0)
    assert says in str(refused.value)


def test_who_stops_reading_is_left_out_until_it_reads_again() -> None:
    viewers = Viewers()
    full: set[str] = set()
    viewers.joined("a", 0)
    viewers.joined("b", 0)
    viewers.drew("a", 10)
    assert viewers.stalled(STALLED_TICKS, full.__contains__) == []
    assert viewers.stalled(STALLED_TICKS + 1, full.__contains__) == ["b"]
    assert viewers.watching
    assert viewers.drew("b", STALLED_TICKS + 1)
    viewers.joined("b", STALLED_TICKS + 1)
    assert not viewers.drew("b", STALLED_TICKS + 2)
    full.add("b")
    assert viewers.stalled(STALLED_TICKS + 2, full.__contains__) == ["b"]
    viewers.left("a")
    viewers.left("b")
    assert not viewers.watching
