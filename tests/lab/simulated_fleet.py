"""A fleet without processes: the simulator says what its nodes would do, behind the comparison's own interfaces.

fleet = SimulatedFleet(speeds=(1, 2, 4)); run_blocks(experiment, fleet, fleet, NoView())
"""

from contextlib import contextmanager
from typing import Any

import numpy as np

from lab.compare_algorithms import twin
from lab.compare_algorithms.experiment import Run as OneRun
from lab.load.records import OK, ROW, TIMEOUT, Records
from lab.load.schedule import Schedule
from lab.simulate.engine import Run
from lab.simulate.result import maker
from lab.simulate.scenario import Nodes, Scenario


class SimulatedFleet:
    """Sender and control in one. Each run draws the algorithm's dice anew, as live ones do."""

    def __init__(self, speeds: tuple[float, ...] = (1.0, 2.0, 4.0), slots: int = 4, seed: int = 0) -> None:
        self.speeds, self.slots, self.seed = speeds, slots, seed
        self.algorithm = "round_robin"
        self.switched: list[str] = []
        self.requests = self.runs = 0
        self.lag_s = 0.0
        self.raise_in_run: int | None = None  # KeyboardInterrupt in that one
        self.events: list[Any] = []

    # -- sender --------------------------------------------------------------------------------------------------------

    def run(self, schedule: Schedule, on_progress: Any = None) -> Records:
        self.runs += 1
        if self.runs == self.raise_in_run:
            raise KeyboardInterrupt
        picks, self.requests = self.requests, self.requests + len(schedule)
        scenario = Scenario(
            nodes=tuple(Nodes(speed=s, slots=self.slots, weight=int(s)) for s in self.speeds),
            deadline_ms=schedule.workload.deadline_s * 1000,
        )
        _, make = maker(self.algorithm)
        done = Run(scenario, twin.workload_of(schedule), make, 1000 * self.seed + self.runs, picks).run()
        rows = np.zeros(len(schedule), dtype=ROW)
        rows["index"], rows["due_s"], rows["kind"] = schedule.index, schedule.at_s, schedule.kind
        rows["sent_s"] = schedule.at_s + self.lag_s
        rows["done_s"] = schedule.at_s + done.latency_ms / 1e3 + 0.002
        rows["node"], rows["outcome"] = done.node + 1, np.where(done.ok, 0, 1)
        rows["work_ms"] = schedule.service_ms
        rows["service_ms"] = schedule.service_ms / np.array(self.speeds)[done.node]
        names = ["", *(f"n{number}" for number in range(1, len(self.speeds) + 1))]
        return Records(rows, schedule.kinds, names, [OK, TIMEOUT], schedule.duration_s, schedule.duration_s, 0.1,
                       schedule.workload.deadline_s)  # fmt: skip

    # -- control -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        nodes = [
            {"name": f"n{i}", "kind": "general", "runs": "simulated", "address": f"127.0.0.1:{i}", "weight": int(speed),
             "slots": self.slots, "state": "up", "in_flight": 0}
            for i, speed in enumerate(self.speeds, 1)
        ]  # fmt: skip
        return {
            "fleet": "pretend", "balancer": "b1", "algorithm": self.algorithm, "last_event": 0, "nodes": nodes,
            "totals": {"requests": self.requests, "in_flight": 0}, "workers": [{"pid": 1, "algorithm": self.algorithm}],
        }  # fmt: skip

    def switch(self, key: str) -> None:
        self.algorithm = key
        self.switched.append(key)

    def drained(self, within_s: float) -> None:
        pass

    def events_after(self, seq: int) -> list[Any]:
        return self.events

    @contextmanager
    def put_back(self) -> Any:
        before = self.algorithm
        try:
            yield
        finally:
            self.switch(before)


class NoView:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.left_s: list[float] = []
        self.runs: list[OneRun] = []

    def begins(self, block: int, arm: Any, left_s: float) -> None:
        self.left_s.append(left_s)

    def progress(self, progress: Any) -> None:
        pass

    def ended(self, run: OneRun) -> None:
        self.runs.append(run)

    def block_ended(self, block: int) -> None:
        pass
