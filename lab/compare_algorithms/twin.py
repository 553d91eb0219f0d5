"""The fleet's twin in the simulator: the very schedules that were sent, through the same algorithm and the bounds.

Slots and speeds are those that the nodes said; what an unloaded request takes beyond its work (network, balancer,
timers) is added to every simulated latency. The twin knows nothing of the machine's CPUs: where live and simulated
figures part, the machine and not the algorithm was measured.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.load.schedule import Schedule
from lab.simulate.bounds import central_queue, ideal_pool
from lab.simulate.engine import Run
from lab.simulate.result import KNOWN, maker
from lab.simulate.scenario import Nodes, Scenario
from lab.simulate.workload import Workload

Latencies = NDArray[np.float64]

DICE = 5
"""How often each schedule is simulated: with few requests, which of two equal nodes was taken moves a p99 by much."""

BOUNDS = {"central_queue": central_queue, "ideal_pool": ideal_pool}


def scenario_of(nodes: Sequence[dict[str, Any]], deadline_s: float) -> Scenario | None:
    """The fleet as a scenario; None when a node's slots or speed are not known."""
    ready = [node for node in nodes if node["state"] in ("up", "unknown", "ejected") and node["weight"]]
    if not ready or not all(node["slots"] and node["speed"] for node in ready):
        return None
    return Scenario(
        name="twin",
        nodes=tuple(Nodes(speed=node["speed"], slots=node["slots"], weight=node["weight"]) for node in ready),
        deadline_ms=deadline_s * 1000,
    )


def workload_of(schedule: Schedule) -> Workload:
    """The schedule as the simulator reads it. Its requests all come from one client, as the generator's do."""
    none = np.zeros(len(schedule), dtype=np.int64)
    return Workload(
        at_s=schedule.at_s, kind=schedule.kind.astype(np.int64), work_s=schedule.service_ms / 1000,
        balancer=none, client=none, kinds=tuple(schedule.kinds),
    )  # fmt: skip


def simulated_ms(scenario: Scenario, schedule: Schedule, algorithm: str) -> Latencies:
    """Latency of each request under an algorithm of the balancer; one row for each of `DICE` throws of its dice."""
    _, make = maker(algorithm)
    return np.stack([Run(scenario, workload_of(schedule), make, seed=dice).run().latency_ms for dice in range(DICE)])


def bound_ms(scenario: Scenario, schedule: Schedule, bound: str) -> Latencies:
    """Latency of each request under a bound, a key of `BOUNDS`; one row."""
    return np.stack([BOUNDS[bound](scenario, workload_of(schedule))])


def pooled(
    of_block: Callable[[Schedule], Latencies], schedules: Sequence[Schedule], warm_up_s: float, overhead_ms: float
) -> Latencies:
    """Of all blocks together, warm-up cut off, overhead added."""
    return np.concatenate([of_block(each)[:, each.at_s >= warm_up_s].ravel() for each in schedules]) + overhead_ms


def can_simulate(algorithm: str) -> bool:
    """Whether the simulator has the class: the fleet may run a newer release."""
    return algorithm in KNOWN
