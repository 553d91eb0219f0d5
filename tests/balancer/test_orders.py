"""What operators ordered survives; a file that cannot be used is said so and never stops the balancer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from balancer.orders import Orders
from cluster import paths
from cluster.states import Admin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "b1.orders.json"


def test_nothing_ordered_yet(file: Path) -> None:
    orders = Orders(file)
    assert (orders.algorithm, orders.nodes, orders.damaged) == (None, {}, "")
    assert not file.exists()


def test_orders_are_there_after_a_restart(file: Path) -> None:
    orders = Orders(file)
    orders.set_algorithm("dynamic")
    orders.set_node("l1", Admin.DRAINING, None)
    orders.set_node("l1", None, 7)
    orders.set_node("l2", Admin.MAINTENANCE, 0)
    again = Orders(file)
    assert again.algorithm == "dynamic"
    assert again.nodes == {"l1": {"admin": "draining", "weight": 7}, "l2": {"admin": "maintenance", "weight": 0}}
    assert again.damaged == ""


def test_only_what_was_ordered_is_written(file: Path) -> None:
    Orders(file).set_node("l1", Admin.DRAINING, None)
    assert json.loads(file.read_text())["nodes"] == {"l1": {"admin": "draining"}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"x"',
        "\x00\xff",
        '{"nodes": []}',
        '{"nodes": {"l1": 3}}',
        '{"nodes": {"l1": {"admin": "retired"}}}',
        '{"nodes": {"l1": {"weight": -1}}}',
        '{"nodes": {"l1": {"weight": 100000000000000000000}}}',
    ],
)
def test_a_damaged_file_is_said_so_and_not_used(file: Path, text: str) -> None:
    file.write_text(text, encoding="latin-1")
    orders = Orders(file)
    assert "b1.orders.json" in orders.damaged
    assert (orders.algorithm, orders.nodes) == (None, {})
    orders.set_algorithm("weighted")
    assert Orders(file).algorithm == "weighted", "the next order makes it whole again"


def test_keys_of_a_newer_release_do_no_harm(file: Path) -> None:
    file.write_text('{"algorithm": "dynamic", "nodes": {"l1": {"admin": "draining", "later": 1}}, "more": 2}')
    orders = Orders(file)
    assert orders.damaged == ""
    assert orders.nodes == {"l1": {"admin": "draining"}}


WRITER = """
import sys
from pathlib import Path
from balancer.orders import Orders
orders = Orders(Path(sys.argv[1]))
print("ready", flush=True)
n = 0
while True:
    n += 1
    orders.nodes = {f"n{i}": {"weight": n % 256} for i in range(400)}
    orders.set_algorithm("x" * (n % 30))
"""


def test_a_reader_never_sees_half_a_file_even_when_the_writer_is_killed(file: Path) -> None:
    Orders(file).set_algorithm("dynamic")
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file)], cwd=paths.PROJECT, stdout=subprocess.PIPE, env={**os.environ}
        )
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            for _ in range(100):
                json.loads(file.read_text())
        finally:
            writer.kill()
            writer.wait(5)
            if writer.stdout is not None:
                writer.stdout.close()
        assert Orders(file).damaged == ""


def test_whoever_reads_while_it_is_written_reads_the_old_file_to_its_end(file: Path) -> None:
    Orders(file).set_algorithm("dynamic")
    with file.open() as reader:
        Orders(file).set_algorithm("weighted")
        assert json.load(reader)["algorithm"] == "dynamic"
    assert Orders(file).algorithm == "weighted"
    assert list(file.parent.iterdir()) == [file], "nothing is left beside it"


def test_an_order_that_cannot_be_written_is_not_taken_for_given(tmp_path: Path) -> None:
    orders = Orders(tmp_path / "missing" / "b1.orders.json")
    for give in (
        lambda: orders.set_algorithm("dynamic"),
        lambda: orders.set_node("l1", Admin.DRAINING, None),
    ):
        with pytest.raises(OSError, match="No such file"):
            give()
    assert (orders.algorithm, orders.nodes) == (None, {})
