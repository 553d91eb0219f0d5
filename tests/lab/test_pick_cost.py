"""`python -m lab.pick_cost`: every algorithm is played and told what it asks to be told. How long that takes is not
ours to say."""

import pytest

from balancer.algorithms import ALGORITHMS
from balancer.algorithms.dynamic import Dynamic
from lab import pick_cost


def test_every_algorithm_has_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert pick_cost.main(["--nodes", "2", "5", "--requests", "20", "--rounds", "2"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["us", "a", "request", "2", "nodes", "5", "nodes"]
    assert [row.split()[0] for row in rows] == list(ALGORITHMS)
    assert all(len(row.split()) == 3 for row in rows)


def test_an_algorithm_hears_of_its_requests_as_in_a_fleet() -> None:
    heard: list[str] = []

    class Listening(Dynamic):
        def pick(self, *what):  # type: ignore[no-untyped-def]
            heard.append("pick")
            return super().pick(*what)

        def on_report(self, *what):  # type: ignore[no-untyped-def]
            heard.append("report")
            super().on_report(*what)

        def on_end(self, *what):  # type: ignore[no-untyped-def]
            heard.append("end")
            super().on_end(*what)

    life = pick_cost.Life(Listening(pick_cost.Random(1)), 3)
    assert life.play(100) >= 0.0
    assert heard.count("pick") == 100
    assert heard.count("end") == 100 - pick_cost.IN_FLIGHT * 3
    assert heard.count("report") >= heard.count("end")
    assert sum(node.in_flight for node in life.nodes) == pick_cost.IN_FLIGHT * 3


@pytest.mark.parametrize("flags", [["--nodes", "1"], ["--requests", "0"], ["--rounds", "0"]])
def test_what_cannot_be_measured_is_said(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        pick_cost.main(flags)
    assert caught.value.code == 2
    assert "at least 2 nodes" in capsys.readouterr().err
