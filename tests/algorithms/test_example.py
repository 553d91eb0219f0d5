"""The example of docs/algorithms.md, "Write your own": it runs, in the balancer's picker too, and the page shows it."""

import importlib.util
from random import Random

import pytest

from balancer.algorithms import ALGORITHMS, Algorithm
from balancer.algorithms.seen import SeenNode, SeenRequest
from balancer.picker import Picker
from balancer.scoreboard import Scoreboard
from cluster.paths import PROJECT
from cluster.wire import NodeReport

FILE = PROJECT / "docs" / "examples" / "most_room.py"


@pytest.fixture
def example() -> type[Algorithm]:
    spec = importlib.util.spec_from_file_location("most_room", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: type[Algorithm] = module.MostRoom
    return made


def test_it_does_what_its_sentence_says(example: type[Algorithm]) -> None:
    ready = [
        SeenNode("silent", 0),
        SeenNode("small", 1, report=(0, 4, 10.0, 1.0, 0)),
        SeenNode("large", 2, report=(5, 16, 10.0, 1.0, 4)),
    ]
    chooser = example(Random(1))
    assert chooser.pick(SeenRequest(), ready, 1.0).name == "large"
    assert chooser.pick(SeenRequest(), ready[:2], 1.0).name == "small"
    assert chooser.pick(SeenRequest(), ready[:1], 1.0).name == "silent"


def test_it_can_be_switched_to_in_mid_traffic(example: type[Algorithm], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, example.key, example)
    board = Scoreboard.in_memory(("a", "b"))
    picker = Picker(board, "round_robin", 0.0, Random(1))
    picker.refresh(1.0)
    board.order_algorithm("most_room")
    board.nodes[1].reported(NodeReport(rif=0, slots=3, service_ms=5.0), 1.0)
    board.nodes[0].reported(NodeReport(rif=0, slots=1, service_ms=5.0), 1.0)
    picked = [picker.pick(SeenRequest(), (), 1.0).name for _ in range(4)]
    assert picked[:2] == ["b", "b"]
    assert picker.algorithm.key == "most_room"
    assert set(picked) == {"a", "b"}, "what was sent since the report counts"


def test_the_page_shows_it_as_it_is_and_it_is_twenty_lines() -> None:
    text = FILE.read_text()
    assert text in (PROJECT / "docs" / "algorithms.md").read_text()
    assert len(text.splitlines()) <= 22
