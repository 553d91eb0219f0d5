"""What a pick costs: `python -m lab.pick_cost`.

For each algorithm and number of nodes the CPU time in its own methods, for one request: `pick`, and with rules that
learn `on_start`, `probe`, `on_report` and `on_end` as well. The nodes are the simulator's, of three speeds, with two
requests in flight and 20 answers a second for each, so reading one costs attributes and no shared memory. What the loop
takes without an algorithm is taken off. The least of many short rounds counts, in which all take turns: other work on
the machine makes single rounds dearer, not the least one.
"""

import argparse
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import cycle
from random import Random
from time import process_time
from typing import Any

from balancer.algorithms import ALGORITHMS, Algorithm
from balancer.algorithms.seen import SeenRequest
from cluster.wire import NodeReport
from lab.simulate.engine import START_S
from lab.simulate.knowledge import KnownNode

IN_FLIGHT = 2  # of each node
ANSWERS_PER_S = 20  # of each node
WARM_UP = 4 * IN_FLIGHT  # requests for each node, until all are known
KINDS = ("general", "api", "image", "video")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab.pick_cost", description="What a pick costs, by algorithm.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[3, 30, 100, 1000], help="numbers of nodes, from 2 up")
    parser.add_argument("--requests", type=int, default=500, help="of one round (default 500)")
    parser.add_argument("--rounds", type=int, default=60, help="of which the least counts (default 60)")
    options = parser.parse_args(argv)
    if min(*options.nodes, options.requests, options.rounds * 2) < 2:
        parser.error("at least 2 nodes, 2 requests and 1 round")
    print("\n".join(table({count: measure(count, options.requests, options.rounds) for count in options.nodes})))
    return 0


def measure(count: int, requests: int, rounds: int) -> dict[str, float]:
    """Microseconds a request of each algorithm, by key."""
    lives = {key: Life(algorithm(Random(1)), count) for key, algorithm in ALGORITHMS.items()}
    lives[""] = Life(None, count)
    took_s: dict[str, list[float]] = {key: [] for key in lives}
    for life in lives.values():
        life.play(WARM_UP * count)
    for _ in range(rounds):
        for key, life in lives.items():
            took_s[key].append(life.play(requests))
    return {key: (min(took_s[key]) - min(took_s[""])) / requests * 1e6 for key in ALGORITHMS}


class Life:
    """One algorithm's, or with None nobody's: then each node is taken in turn and nobody is told anything."""

    def __init__(self, algorithm: Algorithm | None, count: int) -> None:
        def method(name: str) -> Any:
            return getattr(algorithm, name) if algorithm and type(algorithm).overrides(name) else None

        self.nodes = [KnownNode(index, f"n{index + 1}", 4, 1 << index % 3) for index in range(count)]
        self.pick = method("pick")
        self.probe, self.on_start = method("probe"), method("on_start")
        self.on_report, self.on_end = method("on_report"), method("on_end")
        self.turns = cycle(self.nodes)
        self.now = START_S
        self.running: deque[tuple[KnownNode, SeenRequest]] = deque()
        dice = Random(2)
        self.works_ms = [dice.lognormvariate(4.0, 1.0) for _ in range(997)]
        self.asked = [SeenRequest(KINDS[dice.randrange(4)], f"client-{dice.randrange(1000)}") for _ in range(991)]
        self.number = 0
        if on_membership := method("on_membership"):
            on_membership(self.nodes, self.now)

    def play(self, requests: int) -> float:
        """CPU seconds that so many more requests take."""
        nodes, running, now = self.nodes, self.running, self.now
        pick, probe, on_start, on_end = self.pick, self.probe, self.on_start, self.on_end
        most, gap_s = IN_FLIGHT * len(nodes), 1.0 / (ANSWERS_PER_S * len(nodes))
        begun = process_time()
        for number in range(self.number, self.number + requests):
            now += gap_s
            request = self.asked[number % 991]
            request.sequence = number
            node = pick(request, nodes, now) if pick else next(self.turns)
            node.in_flight += 1
            node.attempts += 1
            if on_start:
                on_start(node, request, now)
            if probe:
                for other in probe(nodes, now):
                    self._reported(other, 50.0, now)
            running.append((node, request))
            if len(running) > most:
                node, request = running.popleft()
                node.in_flight -= 1
                service_ms = self.works_ms[number % 997] / node.weight
                self._reported(node, service_ms, now)
                node.answered(service_ms, True, now)
                if on_end:
                    on_end(node, request, now, service_ms, service_ms, True)
        took_s = process_time() - begun
        self.now, self.number = now, self.number + requests
        return took_s

    def _reported(self, node: KnownNode, service_ms: float, now: float) -> None:
        report: NodeReport = {"rif": node.in_flight, "slots": 4, "service_ms": service_ms}
        node.reported(report, now)
        if self.on_report:
            self.on_report(node, report, now)


def table(costs: dict[int, dict[str, float]]) -> Iterator[str]:
    """Rows for people, in microseconds."""
    yield f"{'us a request':<28}" + "".join(f"{f'{count} nodes':>12}" for count in costs)
    for key in ALGORITHMS:
        yield f"{key:<28}" + "".join(f"{us[key]:>12.1f}" for us in costs.values())


if __name__ == "__main__":
    sys.exit(main())
