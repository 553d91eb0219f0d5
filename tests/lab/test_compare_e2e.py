"""The comparison against a real fleet: files, exit codes, and the algorithm put back whatever happens. No timing."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.paths import PROJECT
from lab.compare_algorithms.fleet import WHO
from tests.fleet import RunningFleet, fleet_config, free_port, running

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    nodes = [{"name": f"n{speed}", "speed": float(speed), "slots": 2} for speed in (1, 4)]
    config = fleet_config(nodes, workers=1, algorithm="weighted", health={"slow_start_s": 0})
    with running(tmp_path_factory.mktemp("compare"), config) as it:
        it.until(lambda shot: all(node["health"] == "up" for node in shot["nodes"]))
        yield it


def command(fleet: RunningFleet, out: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "lab.compare_algorithms", fleet.url, "--control", fleet.control_url,
        "--token-file", str(fleet.folder / "run" / "token"), "--out", str(out),
        "--mix", "image=1", "--algorithms", "dynamic", *options,
    ]  # fmt: skip


def ran(*argv: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*argv), cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False)


def test_a_whole_comparison_writes_its_files_and_puts_the_algorithm_back(fleet: RunningFleet, tmp_path: Path) -> None:
    seq = fleet.snapshot()["last_event"]
    done = ran(fleet, tmp_path, "--load", "0.3", "--blocks", "3", "--run-s", "1.5", "--warm-up", "0.5",
               "--fail-if", "p50>0.001ms", "--fail-if", "errors>50%")  # fmt: skip
    assert done.returncode in (1, 3), done.stderr  # 3: this machine is too busy for any valid block
    made = json.loads((tmp_path / "comparison.json").read_text())
    assert made["schema"] == 1
    assert len(made["runs"]) == 3 * made["design"]["blocks_done"]
    for run in made["runs"]:
        assert run["outcomes"] == {"ok": run["latency"]["n"]}
    assert [node["speed"] for node in made["topology"]] == [1, 4]
    assert 15 < made["calibration"]["capacity_rps"] < 60  # 10 slots x speeds, 200 ms
    assert made["calibration"]["overhead_ms"] > 0
    assert made["twin"] or not made["design"]["blocks_valid"]
    assert "FAILED: p50>0.001ms: dynamic" in done.stdout or not made["design"]["blocks_valid"]
    assert "FAILED: errors" not in done.stdout or not made["design"]["blocks_valid"]
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 1 + len(made["runs"])
    assert fleet.snapshot()["algorithm"] == "weighted"
    switches = [event["text"] for event in fleet.events(seq) if event["kind"] == "algorithm" and event["who"] == WHO]
    assert len(switches) >= 2
    assert switches[-1] == "algorithm is now Weighted"


def test_ctrl_c_keeps_the_finished_blocks_and_puts_the_algorithm_back(fleet: RunningFleet, tmp_path: Path) -> None:
    argv = command(fleet, tmp_path, "--rate", "30", "--blocks", "500", "--run-s", "0.5", "--warm-up", "0.2")
    process = subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("block 2 done"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, (said, err)
    made = json.loads((tmp_path / "comparison.json").read_text())
    assert made["design"]["blocks_done"] >= 2
    assert made["design"]["stopped"].startswith("stopped by hand after")
    assert any(text.startswith("stopped by hand") for text in made["warnings"])
    assert fleet.snapshot()["algorithm"] == "weighted"
    fleet.idle()


def test_an_error_in_the_middle_puts_the_algorithm_back_too(fleet: RunningFleet, tmp_path: Path) -> None:
    done = ran(fleet, tmp_path, "--rate", "1e5", "--run-s", "1000")  # more requests than a schedule may hold
    assert done.returncode == 1
    assert "give between 1 and" in done.stderr
    assert fleet.snapshot()["algorithm"] == "weighted"
    assert not list(tmp_path.iterdir())


def test_wrong_use_is_said_with_the_way_out(fleet: RunningFleet, tmp_path: Path) -> None:
    for options, code, word in (
        (["--algorithms", "fastest"], 2, "this fleet knows round_robin"),
        (["--fail-if", "p99=3"], 2, "[ALGORITHM.]MEASURE OP VALUE"),
        (["--token-file", str(tmp_path / "none")], 2, "the fleet's token is .run/token"),
        (["--control", f"http://127.0.0.1:{free_port()}"], 1, "is that the control API?"),
        (["--token-file", "/dev/null"], 1, "--token-file"),
    ):
        done = ran(fleet, tmp_path / "out", *options)
        assert (done.returncode, word in done.stderr) == (code, True), (options, done.stderr)
    assert fleet.snapshot()["algorithm"] == "weighted"
