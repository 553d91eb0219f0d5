"""The hard promises, held with real processes: what no fault of the quick run may bring about."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.paths import PROJECT
from lab.faults.registry import FAULTS
from lab.faults.rows import Row
from tests.lab.test_bench_run import using

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The run, with its temporary files in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", "lab.faults", *options], cwd=PROJECT, env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_the_quick_run_keeps_the_hard_promises_and_leaves_nothing_behind(tmp_path: Path) -> None:
    run = started(tmp_path, "--quick", "--json")
    out, err = run.communicate(timeout=170)
    rows: dict[str, Row] = {row["fault"]: row for row in json.loads(out)}
    assert list(rows) == [fault.key for fault in FAULTS.values() if fault.quick], err
    for row in rows.values():
        assert row["sent"] > 100, row
        assert row["executed_twice"] == 0, row
        assert row["in_flight"] == 0, row
        assert row["stuck"] == 0, row
        assert not {"wrong", "garbage"} & {*row["failed_get"], *row["failed_post"]}, row
    assert rows["node-kill"]["failed_get"] == {}, rows["node-kill"]
    assert set(rows["node-kill"]["failed_post"]) <= {"502"}, rows["node-kill"]
    assert set(rows["all-down"]["failed_get"]) <= {"503"}, "never 502, always with Retry-After"
    assert rows["all-down"]["failed_get"], "with no node there is no answer"
    assert set(rows["worker-kill"]["failed_get"]) <= {"cut", "cut short"}, rows["worker-kill"]
    for key in ("client-aborts", "reload", "restart"):
        assert (rows[key]["failed_get"], rows[key]["failed_post"], rows[key]["idle_cut"]) == ({}, {}, 0), rows[key]
    assert rows["client-aborts"]["measured"]["node_never_told"] == 0
    assert not using(tmp_path)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_everything_that_was_started(tmp_path: Path) -> None:
    run = started(tmp_path, "--fault", "node-stop")
    until = time.monotonic() + 40
    while not list(tmp_path.glob("*/*/load.log")):  # the load is about to run
        assert run.poll() is None, run.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(1.5)  # the node is stopped now
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    assert "everything that it started is ended" in err
    assert not using(tmp_path)
    assert not list(tmp_path.iterdir())
