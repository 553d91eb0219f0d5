"""Stress over several nodes, and whether each algorithm does what it promises while it lasts.

Under pytest against a fleet of its own, whose decision log is checked pick by pick; by hand against any address:

    python tests/test_distributed.py http://192.168.1.20:8080 [--clients 16] [--requests 2000]
                                     [--control http://192.168.1.20:8081 --token TOKEN]

From outside it shows the spread over the nodes, and that nothing is lost. With the control API it also switches through
the algorithms and checks round robin's turns, weighted shares and that in flight returns to zero; afterwards algorithm
and weights are as they were. Exit code 0: all that could be checked is right; 1: not; 2: nobody answers there.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # by hand, only this folder is on the path

from tests.clients import Stream, Tally, Visitor, crowd, fetch

if TYPE_CHECKING:
    from tests.fleet import RunningFleet

WEIGHTS = (5, 1, 1)


def quick(visitor: Visitor) -> None:
    """A request that takes no time to speak of."""
    fetch(visitor, "/?service_ms=0")


def some_work(visitor: Visitor) -> None:
    """A request of 1 to 15 ms."""
    fetch(visitor, f"/?service_ms={visitor.rng.uniform(1, 15):.1f}")


def in_turn_spread(tally: Tally) -> int:
    """Largest minus smallest count of answers over the nodes."""
    counts = tally.by_node.values()
    return max(counts) - min(counts) if counts else 0


# -- under pytest ----------------------------------------------------------------------------------------------------


def stress(
    fleet: "RunningFleet", algorithm: str, task: Callable[[Visitor], None] = some_work
) -> tuple[Tally, list[Any]]:
    """Switch, send 1000 requests by 16 clients, see that nothing is lost; the tally and the decisions made for it."""
    fleet.switch(algorithm)
    before, begun = fleet.idle(), time.time()
    tally = crowd(fleet.url, task, clients=16, rounds=63)
    after = fleet.idle()
    assert not tally.errors, tally.errors
    assert tally.lost == 0
    assert tally.sent == tally.ok == 1008
    grown = {key: after["totals"][key] - before["totals"][key] for key in ("requests", "errors", "retries", "aborted")}
    assert grown == {"requests": 1008, "errors": 0, "retries": 0, "aborted": 0}
    attempts = {b["name"]: b["attempts"] - a["attempts"] for a, b in zip(before["nodes"], after["nodes"], strict=True)}
    assert Counter(attempts) == tally.by_node, "what the balancer counted is what clients saw"
    decisions = fleet.decisions(begun, 1008)
    assert len(decisions) == 1008
    assert {decision["algorithm"] for decision in decisions} == {algorithm}
    assert Counter(decision["node"] for decision in decisions) == tally.by_node
    return tally, decisions


def test_round_robin_gives_each_its_turn(whole_fleet: "RunningFleet") -> None:
    tally, decisions = stress(whole_fleet, "round_robin")
    assert all(d["node"] == d["nodes"][d["sequence"] % 3][0] for d in decisions)
    sequences = Counter(decision["sequence"] for decision in decisions)
    repeated = sum(count - 1 for count in sequences.values())
    # A worker counts its own pick before the next, so it never reads the same number twice; two may read it at once.
    own = Counter((decision["worker"], decision["sequence"]) for decision in decisions)
    assert set(own.values()) == {1}
    # Each meeting of two workers repeats one turn and skips another: one node gets 1 more, another 1 less.
    assert in_turn_spread(tally) <= 1 + 2 * repeated


def test_round_robin_one_after_the_other_is_exact_over_all_workers(whole_fleet: "RunningFleet") -> None:
    tally = Tally()
    for _ in range(30):  # a new connection each time: whichever worker takes it
        tally.add(crowd(whole_fleet.url, quick, clients=1, rounds=1))
    assert in_turn_spread(tally) == 0
    assert tally.ok == 30


def test_weighted_shares_are_exact_in_each_workers_cycle(whole_fleet: "RunningFleet") -> None:
    for name, weight in zip(("l1", "l2", "l3"), WEIGHTS, strict=True):
        whole_fleet.order(name, weight=weight)
    tally, decisions = stress(whole_fleet, "weighted")
    for worker in {decision["worker"] for decision in decisions}:
        made = [d["node"] for d in decisions if d["worker"] == worker]
        for begin in range(0, len(made) - 6, 7):
            assert Counter(made[begin : begin + 7]) == {"l1": 5, "l2": 1, "l3": 1}
    for name, weight in zip(("l1", "l2", "l3"), WEIGHTS, strict=True):
        due = 1008 * weight / sum(WEIGHTS)
        assert abs(tally.by_node[name] - due) <= 2 * len(WEIGHTS), "within one cycle a worker"


def test_least_connections_never_picks_a_fuller_node_when_it_decides(whole_fleet: "RunningFleet") -> None:
    whole_fleet.fault("l3", kind="slow", factor=6)
    tally, decisions = stress(whole_fleet, "least_connections")
    decided = [decision for decision in decisions if decision["decided"]]
    assert len(decided) == 1008
    assert all(set(d["scores"]) == {"l1", "l2", "l3"} for d in decided)
    assert [d for d in decided if d["scores"][d["node"]] > min(d["scores"].values())] == []
    assert max(max(d["scores"].values()) for d in decided) >= 4, "there was something to decide"
    for worker in {d["worker"] for d in decided}:
        most = max(sum(d["scores"].values()) for d in decided if d["worker"] == worker)
        assert most >= 12, "each worker sees what all workers have in flight, not only its own"
    assert tally.by_node["l3"] < min(tally.by_node["l1"], tally.by_node["l2"]), "the slow node is asked less"


def test_dynamic_takes_the_best_score_and_leaves_a_slow_node_something(whole_fleet: "RunningFleet") -> None:
    whole_fleet.fault("l3", kind="slow", factor=6)
    stress(whole_fleet, "dynamic")  # it learns
    tally, decisions = stress(whole_fleet, "dynamic")
    worse = [d for d in decisions if d["scores"][d["node"]] > min(d["scores"].values())]
    assert worse == []
    assert tally.by_node["l3"] < 0.4 * 1008 / 3, "at most 40 % of an equal share"
    assert tally.by_node["l1"] + tally.by_node["l2"] > 0


def test_a_node_dies_under_load_and_only_an_answer_that_had_begun_is_cut_off(whole_fleet: "RunningFleet") -> None:
    stream = Stream(whole_fleet.url, some_work, clients=8)
    try:
        whole_fleet.until(lambda shot: shot["totals"]["in_flight"] > 0)
        whole_fleet.kill("node-l2")
        whole_fleet.until(lambda shot: shot["nodes"][1]["state"] == "down", within_s=5)
        whole_fleet.start("node-l2")
        whole_fleet.until(lambda shot: shot["nodes"][1]["state"] == "up", within_s=5)
        at = stream.sent
        whole_fleet.until(lambda shot: stream.sent > at + 200)
    finally:
        tally = stream.stop()
    # An answer whose head is out cannot be asked for again: it is visibly cut off. Everything else goes elsewhere.
    assert set(tally.errors) <= {"GET: IncompleteRead"}, tally.errors
    assert sum(tally.errors.values()) <= 2
    assert tally.lost == 0
    whole_fleet.idle()


# -- by hand ---------------------------------------------------------------------------------------------------------


class Control:
    """The control API of a balancer somewhere."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token

    def ask(self, path: str, method: str = "GET", **order: Any) -> Any:
        body = json.dumps(order).encode() if order else None
        headers = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(self._url + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def switch(self, algorithm: str) -> None:
        self.ask("/algorithm", "POST", algorithm=algorithm, who="test_distributed")
        self._until(lambda shot: all(worker["algorithm"] == algorithm for worker in shot["workers"]))

    def weigh(self, weights: dict[str, int]) -> None:
        for name, weight in weights.items():
            self.ask(f"/nodes/{name}", "PATCH", weight=weight, who="test_distributed")

    def idle(self) -> Any:
        return self._until(lambda shot: shot["totals"]["in_flight"] == 0)

    def _until(self, true_of: Callable[[Any], bool]) -> Any:
        for _ in range(200):
            shot = self.ask("/snapshot")
            if true_of(shot):
                return shot
            time.sleep(0.05)
        raise TimeoutError("the balancer does not come to rest (others use it?)")


class Report:
    """Lines of what was checked, and whether all was right."""

    def __init__(self) -> None:
        self.well = True

    def say(self, right: bool | None, text: str) -> None:
        """`right` None: shown, not judged."""
        self.well = self.well and right is not False
        print(f"{ {True: 'right', False: 'WRONG', None: '     '}[right] }  {text}")

    def traffic(self, name: str, tally: Tally) -> None:
        print(f"\n{name}")
        for line in tally.lines():
            self.say(None, line)
        self.say(not tally.errors, "no errors")
        self.say(tally.lost == 0, "nothing lost: sent = ok + errors")


def with_control(report: Report, control: Control, url: str, clients: int, rounds: int) -> None:
    """Every algorithm in turn; then everything as it was."""
    begin = control.ask("/snapshot")
    ready = [node["name"] for node in begin["nodes"] if node["ready"]]
    before = {node["name"]: node["weight"] for node in begin["nodes"]}
    try:
        for algorithm in [view["key"] for view in begin["algorithms"]]:
            if algorithm == "weighted":
                weights = {name: WEIGHTS[min(n, 2)] for n, name in enumerate(ready)}
                control.weigh(weights)
            control.switch(algorithm)
            start = control.idle()
            tally = crowd(url, some_work, clients, rounds)
            end = control.idle()
            report.traffic(algorithm, tally)
            counted = end["totals"]["requests"] - start["totals"]["requests"]
            report.say(counted == tally.sent, f"the balancer counted {counted} requests (others may use it too)")
            report.say(not any(node["in_flight"] for node in end["nodes"]), "in flight is back to 0 at every node")
            if algorithm == "round_robin":
                spread, bound = in_turn_spread(tally), 1 + tally.sent // 20
                report.say(spread <= bound, f"spread {spread}; at most 1, and 2 for each meeting of two workers")
            if algorithm == "weighted":
                slack = len(end["workers"]) * len(ready)
                for name, weight in weights.items():
                    due = tally.sent * weight / sum(weights.values())
                    got = tally.by_node[name]
                    report.say(abs(got - due) <= slack, f"{name}: weight {weight}, due {due:.0f}, got {got}")
                control.weigh(before)
    finally:
        control.weigh(before)
        control.switch(begin["algorithm"])


def main() -> int:
    """By hand: a report, and whether all was well."""
    parser = argparse.ArgumentParser(description="Stress over several nodes, and what can be checked from outside.")
    parser.add_argument("url", help="the balancer, such as http://127.0.0.1:8080")
    parser.add_argument("--clients", type=int, default=16, help="at once (default 16)")
    parser.add_argument("--requests", type=int, default=2000, help="in all, for each algorithm (default 2000)")
    parser.add_argument("--control", help="its control API, such as http://127.0.0.1:8081")
    parser.add_argument("--token", help="the operator's token (it is in the state folder, .run/token)")
    options = parser.parse_args()
    first = crowd(options.url, fetch, 1, 1)
    if first.times_ms == []:
        print(f"{options.url} does not answer: {', '.join(first.errors)}", file=sys.stderr)
        return 2
    rounds = max(1, options.requests // options.clients)
    report = Report()
    if options.control:
        try:
            with_control(report, Control(options.control, options.token or ""), options.url, options.clients, rounds)
        except (OSError, urllib.error.HTTPError, TimeoutError) as error:
            print(f"the control API at {options.control} fails: {error}", file=sys.stderr)
            return 2
    else:
        report.traffic("the algorithm in force", crowd(options.url, some_work, options.clients, rounds))
        print("\nWith --control and --token the algorithms are switched through and each one's promise is checked.")
    print("\nall right" if report.well else "\nNOT all right")
    return 0 if report.well else 1


if __name__ == "__main__":
    raise SystemExit(main())
