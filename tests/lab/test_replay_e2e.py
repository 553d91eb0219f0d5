"""A live balancer's decisions, made again by the same classes: byte for byte, for every algorithm."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

from balancer.algorithms import ALGORITHMS
from cluster import paths
from tests.clients import Stream, Visitor, crowd, must
from tests.fleet import RunningFleet

KINDS = itertools.cycle(("/", "/api", "/image", "/api", "/"))
PICKS = 100


def mixed(visitor: Visitor) -> None:
    path = f"{next(KINDS)}?service_ms={visitor.rng.uniform(1, 12):.1f}"
    visitor.check(visitor.ask(path), lambda got: must(got.status == 200, "an answer"))


def test_every_algorithm_live_is_replayed_to_the_byte(whole_fleet: RunningFleet, tmp_path: Path) -> None:
    fleet, begun = whole_fleet, time.time()
    fleet.fault("l3", kind="slow", factor=4)
    fleet.order("l1", weight=3)
    first, *others = ALGORITHMS
    keys = [*others, first]  # round robin, which is in force, comes last: so each begins afresh
    stream = Stream(fleet.url, mixed, clients=10)
    try:
        for key in keys:
            fleet.switch(key)
            at = stream.sent
            fleet.until(lambda shot, at=at: stream.sent > at + PICKS, within_s=20)  # type: ignore[misc]
    finally:
        tally = stream.stop()
    assert not tally.errors, tally.errors
    fleet.idle()
    made = fleet.decisions(begun, tally.sent)
    log = tmp_path / "decisions.jsonl"
    written = (fleet.folder / "logs" / "decisions.jsonl").read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in written if json.loads(line)["at"] >= begun))

    command = [sys.executable, "-m", "lab.replay", str(log), "--json", "--out", str(tmp_path / "again.jsonl")]
    ran = subprocess.run(command, cwd=paths.PROJECT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads(ran.stdout)
    assert set(result["algorithms"]) == set(ALGORITHMS)
    for key, count in result["algorithms"].items():
        assert count["decisions"] == count["identical"], key
        assert count["decisions"] >= PICKS / 2, key
    assert (result["different"], result["unreadable"]) == (0, 0)
    replayed = sum(count["decisions"] for count in result["algorithms"].values())
    assert replayed + result["beginning_lost"] == len(made)
    assert result["beginning_lost"] < 100, "those before the first switch"
    again = (tmp_path / "again.jsonl").read_text()
    assert log.read_text().endswith(again[-5000:])


def test_prequal_picks_from_what_its_probes_brought(whole_fleet: RunningFleet) -> None:
    fleet, begun = whole_fleet, time.time()
    fleet.switch("prequal")
    tally = crowd(fleet.url, mixed, clients=4, rounds=40)
    assert not tally.errors, tally.errors
    fleet.idle()
    made = fleet.decisions(begun, 160)
    informed = [decision for decision in made if decision["scores"]]
    assert len(informed) > 40, f"{len(informed)} of {len(made)} picks had a pool to choose from"
    lines = [line for line in fleet.log("decisions") if line["at"] >= begun]
    assert sum(line["do"] == "probe" and len(line["asked"]) == 3 for line in lines) == len(made)
    heard = [line for line in lines if line["do"] == "report" and "request_ms" not in line["report"]]
    assert len(heard) > 40, "reports that came with no answer"
