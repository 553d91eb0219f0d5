"""The fleet's twin in the simulator: the very schedules that were sent, through the same algorithm and the bounds.

Slots and speeds are those that the nodes said. What an unloaded request took beyond its work (network, balancer,
timers), measured before the runs, is the twin's round trip to the nodes: so long is a request counted as in flight
without being at a node. Each twin begins with the turn that its live run began with. The twin knows nothing of the
machine's CPUs: where live and simulated figures part, the machine and not the algorithm was measured.
"""

from collections.abc import Iterable, Sequence
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


def simulated_ms(scenario: Scenario, schedule: Schedule, algorithm: str, overhead_ms: float, picks: int) -> Latencies:
    """Latency of each request under an algorithm of the balancer, which has made so many `picks` before; one row for
    each of `DICE` throws of its dice."""
    _, make = maker(algorithm)
    scenario, workload = scenario.model_copy(update={"rtt_ms": overhead_ms}), workload_of(schedule)
    return np.stack([Run(scenario, workload, make, dice, picks).run().latency_ms for dice in range(DICE)])


def bound_ms(scenario: Scenario, schedule: Schedule, bound: str, overhead_ms: float) -> Latencies:
    """Latency of each request under a bound, a key of `BOUNDS`; one row."""
    return np.stack([BOUNDS[bound](scenario, workload_of(schedule))]) + overhead_ms


def pooled(schedules: Sequence[Schedule], latencies: Iterable[Latencies], warm_up_s: float) -> Latencies:
    """Of all blocks together, warm-up cut off. `latencies`: of each schedule."""
    pairs = zip(schedules, latencies, strict=True)
    return np.concatenate([found[:, each.at_s >= warm_up_s].ravel() for each, found in pairs])


def can_simulate(algorithm: str) -> bool:
    """Whether the simulator has the class: the fleet may run a newer release."""
    return algorithm in KNOWN
