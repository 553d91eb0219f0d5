"""The bench with real processes: what it prints, and that nothing is left of it. No timing is asserted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.paths import PROJECT
from lab.bench.processes import read_stats, tree
from lab.bench.rows import Row

pytestmark = pytest.mark.e2e

BENCH = [sys.executable, "-m", "lab.bench", "--quick"]


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The bench, with its temporary files in `folder`."""
    return subprocess.Popen(
        [*BENCH, *options], cwd=PROJECT, env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def using(folder: Path) -> list[int]:
    """Processes whose command line or environment names the folder."""
    found = []
    for pid in read_stats():
        try:
            told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in told:
            found.append(pid)
    return found


def test_all_balancers_answer_all_requests_and_each_has_its_row(tmp_path: Path) -> None:
    keys = ["fairlead", "haproxy", "nginx", "naive"]
    bench = started(tmp_path, "--json", "--scenario", "small", "tls", "--balancer", *keys)
    out, err = bench.communicate(timeout=90)
    assert bench.returncode == 0, err
    rows: list[Row] = json.loads(out)
    assert [(row["scenario"], row["balancer"]) for row in rows] == [
        (scenario, balancer) for scenario in ("small", "tls") for balancer in keys
    ]
    for row in rows:
        assert set(row) == set(Row.__annotations__)
        assert row["errors"] == 0, row
        assert row["requests_per_cpu_s"] > 0, row
        assert 0 < row["p50_ms"] <= row["p99_ms"], row
        assert row["rss_mb"] > row["control_rss_mb"], row
        assert row["vs_haproxy"] is not None
        assert (row["control_rss_mb"] > 0) is (row["balancer"] == "fairlead"), row
        assert row["bytes_per_cpu_s"] > 128 * row["requests_per_cpu_s"], row
    assert not using(tmp_path)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_everything_that_was_started(tmp_path: Path) -> None:
    bench = started(tmp_path, "--scenario", "small", "--seconds", "60", "--balancer", "fairlead", "haproxy", "naive")
    until = time.monotonic() + 40
    while not any(tmp_path.glob("*/small.lua")):  # wrk is about to run
        assert bench.poll() is None, bench.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(tree(read_stats(), bench.pid)) > 8
    bench.send_signal(signal.SIGINT)
    _, err = bench.communicate(timeout=20)
    assert bench.returncode == 130, err
    assert "everything that it started is ended" in err
    assert not using(tmp_path)
    assert not list(tmp_path.iterdir())
