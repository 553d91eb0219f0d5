"""`python -m lab.simulate`: what it prints, draws and refuses."""

import json
from pathlib import Path

import pytest

from lab.simulate.__main__ import main
from lab.simulate.experiments import EXPERIMENTS
from lab.simulate.experiments.policies import COLUMNS, FOUND, TARGETS
from lab.simulate.figures import estimate
from lab.simulate.result import KNOWN, WITHOUT_NODES
from lab.simulate.scenario import Scenario, read_scenario

QUICK = ["--requests", "3000", "--seeds", "2", "--processes", "1"]


def test_the_table_sets_every_rule_against_both_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--algorithm", "least_connections", "dynamic"]) == 0
    said = capsys.readouterr().out
    for word in ("central queue", "ideal pool", "least_connections", "dynamic", "load 0.75", "2 seeds of 3,000"):
        assert word in said
    assert "n/a" in said, "2,400 requests do not carry a p99.9"


def test_flags_change_the_scenario_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.json"
    assert main(["--nodes", "2x1", "1x4", "--slots", "2", "--work", "mixed", "--print-scenario"]) == 0
    file.write_text(capsys.readouterr().out)
    assert [(n.count, n.speed, n.slots, n.weight) for n in read_scenario(file).nodes] == [(2, 1, 2, 1), (1, 4, 2, 4)]
    assert len(read_scenario(file).kinds) == 4
    flags = ["--rate", "50", "--late-binding", "--balancers", "3", "--brown-out", "2", "--print-scenario"]
    assert main([str(file), *flags]) == 0
    changed = Scenario.model_validate_json(capsys.readouterr().out)
    assert (changed.load, changed.rate_rps, changed.max_in_flight, changed.balancers) == (None, 50, "slots", 3)
    assert changed.brown_outs[0].node == 2
    assert changed.nodes == read_scenario(file).nodes


def test_a_picture_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, flags in (("a.png", []), ("many.svg", ["--servers", "60"])):
        assert main([*QUICK, *flags, "--plot", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 10_000
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--load", "0.5", "--rate", "3"], "give either load or rate_rps"),
        (["--load", "-1"], "greater than 0"),
        (["--nodes", "3"], "must be COUNTxSPEED, for example 3x2"),
        (["--brown-out", "99"], "there is no node 99, there are 10"),
        (["--trace", "nowhere.csv"], "cannot be read: No such file"),
        (["nowhere.json"], "no such file"),
        (["--plot", "picture.doc", *QUICK], "picture.doc"),
    ],
)
def test_what_cannot_be_is_said_with_exit_code_2(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 2
    assert said in capsys.readouterr().err


def test_every_problem_of_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"nodes": [{"cuont": 3}], "queueing": "lifo", "load": "high"}))
    assert main([str(file)]) == 2
    said = capsys.readouterr().err
    for word in ("3 problems", "nodes[0].cuont", 'did you mean "count"?', "queueing", "load"):
        assert word in said


def test_experiments_speak_of_rules_that_exist_and_of_nine_situations() -> None:
    assert set(EXPERIMENTS) == {"policies", "prequal-6", "prequal-7"}
    assert set(FOUND) <= {*KNOWN, *WITHOUT_NODES}
    assert all(len(found.split()) == len(COLUMNS) == 9 for found in FOUND.values())
    assert {target.rule for target in TARGETS} == {"dynamic", "dynamic_by_kind"}


def test_an_interval_is_students_t() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert found.half_width == pytest.approx(4.303 * 1.0 / 3**0.5)
    assert estimate([5.0]).half_width == 0.0
