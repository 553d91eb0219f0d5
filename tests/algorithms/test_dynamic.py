"""dynamic and dynamic_by_kind: the rule worked out by hand, the ladder of what is known, errors, several balancers."""

from collections import Counter
from math import exp
from random import Random

import pytest

from balancer.algorithms.dynamic import STALE_S, Dynamic
from balancer.algorithms.dynamic_by_kind import DynamicByKind
from balancer.algorithms.ladder import FADE_S, FRESH_S, estimate
from balancer.algorithms.seen import SeenNode, SeenRequest
from cluster.wire import NodeReport

NOW = 100.5
REPORT = NodeReport(rif=0, slots=4, service_ms=10.0)


def fresh(name: str, rif: int, slots: int, service_ms: float, index: int | None = None) -> SeenNode:
    """A node that reported half a second ago; its index is its letter's place."""
    place = ord(name[0]) - ord("a") if index is None else index
    return SeenNode(name, place, report=(rif, slots, service_ms, 100.4, 0))


def pick(*ready: SeenNode, now: float = NOW, seed: int = 1) -> str:
    return Dynamic(Random(seed)).pick(SeenRequest(), ready, now).name


def scores(*ready: SeenNode, now: float = NOW) -> dict[str, float]:
    chooser = Dynamic(Random(1))
    chooser.pick(SeenRequest(), ready, now)
    return chooser.explain()


class TestRule:
    def test_the_scores_by_hand(self) -> None:
        found = scores(fresh("a", 0, 4, 10.0), fresh("b", 2, 4, 10.0), fresh("c", 4, 4, 10.0), fresh("d", 6, 4, 10.0))
        assert found == pytest.approx({"a": 10.0, "b": 11.0, "c": 12.0 + 20.0, "d": 12.0 + 60.0})

    def test_a_free_slot_on_a_slow_node_beats_a_long_queue_on_a_fast_one(self) -> None:
        assert pick(fresh("a", 8, 4, 10.0), fresh("b", 0, 4, 40.0)) == "b"

    def test_a_short_queue_on_a_fast_node_beats_a_free_slot_on_a_very_slow_one(self) -> None:
        assert pick(fresh("a", 4, 4, 10.0), fresh("b", 0, 4, 40.0)) == "a"

    def test_among_nodes_with_a_free_slot_the_fastest_whatever_their_load(self) -> None:
        assert pick(fresh("a", 3, 4, 10.0), fresh("b", 0, 4, 12.5)) == "a"

    def test_of_free_nodes_that_are_about_equally_fast_the_emptiest(self) -> None:
        assert pick(fresh("a", 3, 4, 10.0), fresh("b", 0, 4, 11.0), fresh("c", 2, 4, 10.5)) == "b"

    def test_without_a_free_slot_the_least_expected_wait(self) -> None:
        # 10 x (1.2 + 8 x 3/4) = 72 against 20 x (1.2 + 8 x 1/4) = 64
        assert pick(fresh("a", 6, 4, 10.0), fresh("b", 4, 4, 20.0)) == "b"

    def test_own_requests_count_when_the_report_has_not_seen_them(self) -> None:
        assert pick(SeenNode("busy", 9, report=(0, 4, 10.0, 100.0, 9)), fresh("idle", 0, 4, 30.0)) == "idle"

    def test_own_requests_count_from_the_very_next_pick_on(self) -> None:
        a, b = fresh("a", 3, 4, 10.0), fresh("b", 0, 4, 20.0)
        chooser = Dynamic(Random(1))
        assert chooser.pick(SeenRequest(), [a, b], NOW) is a
        a.in_flight += 1
        assert chooser.pick(SeenRequest(), [a, b], NOW) is b

    def test_no_preference_among_equals(self) -> None:
        ready = [fresh(f"n{i}", 0, 4, 10.0, i) for i in range(5)]
        chooser = Dynamic(Random(2))
        counts = Counter(chooser.pick(SeenRequest(), ready, NOW).name for _ in range(1000))
        assert min(counts.values()) > 150, counts

    def test_a_large_fleet_is_sampled_and_the_best_of_the_sample_is_taken(self) -> None:
        ready = [fresh(f"n{i}", 0, 4, 10.0 * 1.3**i, i) for i in range(300)]
        chooser = Dynamic(Random(2))
        for _ in range(50):
            picked = chooser.pick(SeenRequest(), ready, NOW)
            found = chooser.explain()
            assert 10 < len(found) <= 16
            assert found[picked.name] == min(found.values())


class TestLadder:
    @pytest.mark.parametrize(
        ("node", "level", "service_ms", "rif", "slots"),
        [
            (SeenNode("L0", report=(3, 4, 25.0, 100.5, 2)), "L0", 25.0, 5, 4),
            (SeenNode("L0 own count is higher", in_flight=9, report=(3, 4, 25.0, 100.5, 2)), "L0", 25.0, 9, 4),
            (SeenNode("L1", slots=6, report=(3, 0, 25.0, 100.5, 0)), "L1", 25.0, 3, 6),
            (SeenNode("L3 no slots at all", slots=None, report=(3, 0, 25.0, 100.5, 0)), "L3", 25.0, 3, 0),
            (SeenNode("L2", in_flight=2, slots=6, own_service=(30.0, 100.5)), "L2", 30.0, 2, 6),
            (SeenNode("L3", in_flight=2, slots=None, latency=(40.0, 100.5)), "L3", 40.0, 2, 0),
            (SeenNode("L3 slots but no sample of its own", in_flight=2, latency=(40.0, 100.5)), "L3", 40.0, 2, 0),
            (SeenNode("L4", in_flight=2), "L4", 0.0, 2, 8),
            (SeenNode("old report, idle", report=(3, 4, 25.0, 95.0, 0)), "L1", 25.0 * exp(-0.45), 0, 4),
            (SeenNode("old report, busy", in_flight=1, slots=None, report=(3, 4, 25.0, 95.0, 0)), "L4", 0.0, 1, 0),
        ],
        ids=lambda value: value.name if isinstance(value, SeenNode) else "",
    )
    def test_each_level(self, node: SeenNode, level: str, service_ms: float, rif: int, slots: int) -> None:
        found = estimate(node, NOW)
        assert (found.level, found.own + found.others, found.slots) == (level, rif, slots)
        assert found.service_ms == pytest.approx(service_ms)

    def test_an_idle_nodes_repeated_report_is_as_old_as_its_last_answer(self) -> None:
        """Probes bring the same old figure again and again; without this a node that was slow once would starve."""
        node = fresh("a", 0, 4, 100.0)
        node.latency = (100.0, 89.5)
        assert estimate(node, NOW).service_ms == pytest.approx(100.0 * exp(-1.0))

    def test_a_samples_first_second_is_not_faded(self) -> None:
        assert estimate(SeenNode("a", report=(0, 4, 100.0, 100.0, 0)), 101.0).service_ms == pytest.approx(100.0)

    def test_a_report_from_the_future_is_not_blown_up(self) -> None:
        node = SeenNode("a", report=(0, 4, 100.0, 200.0, 0))  # another worker's clock was read later
        assert estimate(node, 199.9).service_ms == pytest.approx(100.0)

    def test_a_node_without_a_sample_is_taken_for_a_middling_one(self) -> None:
        known = fresh("a", 0, 4, 10.0), fresh("b", 0, 4, 20.0), fresh("c", 0, 4, 30.0)
        chooser = Dynamic(Random(1))
        for _ in range(2):
            chooser.pick(SeenRequest(), [SeenNode("new", 7), *known], NOW)
        assert chooser.explain()["new"] == pytest.approx(chooser.explain()["b"])

    def test_nothing_known_of_anyone_is_least_connections(self) -> None:
        ready = [SeenNode(f"n{i}", i, in_flight=load, slots=None) for i, load in enumerate((4, 2, 7))]
        assert {pick(*ready, seed=seed) for seed in range(30)} == {"n1"}

    def test_a_slow_node_is_tried_again_as_its_bad_sample_fades(self) -> None:
        good, bad = SeenNode("good"), SeenNode("bad", 1, report=(0, 4, 1000.0, 100.0, 0))
        tried_at = None
        for step in range(2000):
            now = 100.0 + step * 0.1
            good.report = (0, 4, 10.0, now, 0)
            if pick(good, bad, now=now, seed=step) == "bad":
                tried_at = now - 100.0
                break
        assert tried_at is not None, "a node that was slow once is never tried again"
        # 1000 x exp(-(t - 1) / 10) meets 10 at t = 1 + 10 ln 100
        assert tried_at == pytest.approx(1 + FADE_S * 4.605, abs=0.2)
        assert tried_at > FRESH_S


class TestErrors:
    def test_a_node_that_fails_at_once_is_no_sinkhole(self) -> None:
        """Own measurements only (L2): the failing node answers 500 in 1 ms, the others work for 20 ms."""
        ready = [SeenNode(f"n{i}", i, own_service=(20.0, NOW)) for i in range(4)]
        ready[0].own_service = (1.0, NOW)
        chooser, counts = Dynamic(Random(1)), Counter[str]()
        for n in range(400):
            now = NOW + n * 0.01
            node = chooser.pick(SeenRequest(sequence=n), ready, now)
            counts[node.name] += 1
            chooser.on_end(node, SeenRequest(), now, 1.0, 0.0, node is not ready[0])
        assert counts["n0"] < 20, counts

    def test_without_errors_there_is_no_penalty_and_after_a_while_it_is_forgiven(self) -> None:
        a, b = fresh("a", 0, 4, 10.0), fresh("b", 0, 4, 12.0)
        chooser = Dynamic(Random(1))
        assert chooser.pick(SeenRequest(), [a, b], NOW) is a
        for _ in range(20):
            chooser.on_end(a, SeenRequest(), NOW, 1.0, 0.0, False)
        assert chooser.pick(SeenRequest(), [a, b], NOW) is b
        a.report = (0, 4, 10.0, NOW + 90, 0)
        b.report = (0, 4, 12.0, NOW + 90, 0)
        assert chooser.pick(SeenRequest(), [a, b], NOW + 90) is a

    def test_a_client_that_leaves_is_no_error_of_the_node(self) -> None:
        a, b = fresh("a", 0, 4, 10.0), fresh("b", 0, 4, 12.0)
        chooser = Dynamic(Random(1))
        chooser.pick(SeenRequest(), [a, b], NOW)
        for _ in range(50):
            chooser.on_end(a, SeenRequest(), NOW, 1.0, 0.0, None)
        assert chooser.pick(SeenRequest(), [a, b], NOW) is a


class TestSeveralBalancers:
    def test_what_was_sent_since_a_report_stands_for_each_of_the_others_too(self) -> None:
        a, b = fresh("a", 0, 4, 10.0), fresh("b", 0, 4, 15.0)
        chooser = Dynamic(Random(1), balancers=4)
        assert chooser.pick(SeenRequest(), [a, b], NOW) is a
        a.in_flight = 1  # with the three others' that is four: full
        assert chooser.pick(SeenRequest(), [a, b], NOW) is b

    def test_a_node_with_an_old_report_is_left_out(self) -> None:
        ready = [fresh("a", 0, 4, 10.0), fresh("b", 0, 4, 20.0), fresh("c", 0, 4, 30.0)]
        ready[0].report = (0, 4, 10.0, NOW - STALE_S - 0.01, 0)
        assert {Dynamic(Random(s), balancers=2).pick(SeenRequest(), ready, NOW).name for s in range(20)} == {"b"}
        assert Dynamic(Random(1)).pick(SeenRequest(), ready, NOW).name == "a", "a single balancer sees its own requests"

    def test_chance_decides_when_nearly_all_reports_are_old(self) -> None:
        ready = [fresh(name, 0, 4, 10.0) for name in "abc"]
        picked = {Dynamic(Random(s), balancers=2).pick(SeenRequest(), ready, NOW + 1).name for s in range(40)}
        assert picked == {"a", "b", "c"}

    def test_the_stalest_is_asked_each_in_its_turn(self) -> None:
        ready = [fresh(name, 0, 4, 10.0) for name in "abc"]
        chooser = Dynamic(Random(1), balancers=2)
        for n, node in enumerate(ready):
            chooser.on_report(node, REPORT, NOW + n * 0.01)
        assert [chooser.probe(ready, NOW + 0.1)[0].name for _ in range(4)] == ["a", "b", "c", "a"]
        chooser.on_report(ready[1], REPORT, NOW + 0.2)
        assert [chooser.probe(ready, NOW + 0.2)[0].name for _ in range(3)] == ["c", "a", "b"]

    def test_a_single_balancer_asks_only_what_it_has_not_heard_of_for_long(self) -> None:
        ready = [fresh("a", 0, 4, 10.0)]
        chooser = Dynamic(Random(1))
        chooser.on_report(ready[0], REPORT, NOW)
        assert chooser.probe(ready, NOW + STALE_S / 2) == ()
        assert chooser.probe(ready, NOW + STALE_S) == (ready[0],)
        assert chooser.probe(ready, NOW + STALE_S) == ()

    def test_nodes_that_never_reported_are_not_asked(self) -> None:
        ready = [SeenNode("a"), SeenNode("b", 1)]
        chooser = Dynamic(Random(1), balancers=4)
        chooser.pick(SeenRequest(), ready, NOW)
        assert chooser.probe(ready, NOW + 9) == ()


COSTS_MS = {"general": 20.0, "api": 8.0, "image": 80.0, "video": 320.0}


def taught(ready: list[SeenNode], speeds: list[float], balancers: int = 1) -> DynamicByKind:
    """One that has seen 3000 answers, of service times that scatter as lognormal with SCV 0.5."""
    chooser, dice = DynamicByKind(Random(1), balancers), Random(3)
    for n in range(3000):
        i = n % len(ready)
        kind = dice.choices(list(COSTS_MS), (8, 8, 3, 1))[0]
        ms = COSTS_MS[kind] / speeds[i] * dice.lognormvariate(-0.2, 0.637)
        request = SeenRequest(kind)
        chooser.on_start(ready[i], request, NOW)
        chooser.on_end(ready[i], request, NOW, ms, ms, True)
    return chooser


class TestByKind:
    SPEEDS = (1.0, 2.0, 4.0)

    @pytest.fixture
    def ready(self) -> list[SeenNode]:
        return [fresh(name, 0, 4, 20.0) for name in "abc"]

    def cost_of(self, chooser: DynamicByKind, ready: list[SeenNode], kind: str) -> dict[str, float]:
        chooser.pick(SeenRequest(kind), ready, NOW)
        return chooser.explain()

    def test_it_learns_what_a_kind_costs_and_how_fast_a_node_is(self, ready: list[SeenNode]) -> None:
        chooser = taught(ready, list(self.SPEEDS))
        found = {kind: self.cost_of(chooser, ready, kind) for kind in COSTS_MS}
        for kind, ms in COSTS_MS.items():
            assert found[kind]["c"] / found["general"]["c"] == pytest.approx(ms / 20.0, rel=0.3), kind
            assert found[kind]["a"] / found[kind]["c"] == pytest.approx(4.0, rel=0.3), kind

    def test_a_costly_request_waits_for_the_fast_node_where_a_cheap_one_takes_the_slow(
        self, ready: list[SeenNode]
    ) -> None:
        chooser = taught(ready, list(self.SPEEDS))
        ready[2].in_flight, ready[1].in_flight = 5, 40
        ready[2].report = ready[1].report = None
        for node in ready:
            node.report = (node.in_flight, 4, 20.0, NOW, 0)
            chooser.on_report(node, REPORT, NOW)
        assert chooser.pick(SeenRequest("api"), ready, NOW) is ready[0]
        assert chooser.pick(SeenRequest("video"), ready, NOW) is ready[2]

    def test_the_work_ahead_is_counted_by_kind(self, ready: list[SeenNode]) -> None:
        chooser = taught(ready, [1.0, 1.0, 1.0])
        for node, kind in ((ready[0], "video"), (ready[1], "api")):
            for _ in range(4):
                node.in_flight += 1
                chooser.on_start(node, SeenRequest(kind), NOW)
        found = self.cost_of(chooser, ready[:2], "general")
        assert found["a"] > 3 * found["b"], "four videos ahead are worse than four api calls"

    def test_what_has_ended_is_no_longer_counted(self, ready: list[SeenNode]) -> None:
        chooser = taught(ready, [1.0, 1.0, 1.0])
        before = self.cost_of(chooser, ready, "general")
        for ok in (True, False, None):
            ready[0].in_flight += 1
            chooser.on_start(ready[0], SeenRequest("video"), NOW)
            ready[0].in_flight -= 1
            chooser.on_end(ready[0], SeenRequest("video"), NOW, 9.0, 0.0, ok)
        assert chooser._work(ready[0].index, 4) == 4.0
        assert self.cost_of(chooser, ready[1:], "general") == {k: v for k, v in before.items() if k != "a"}

    def test_a_first_answer_of_a_new_kind_says_nothing_of_the_node(self) -> None:
        a, b = fresh("a", 0, 4, 20.0), fresh("b", 0, 4, 20.0)
        chooser = DynamicByKind(Random(1))
        for node in (a, b):
            chooser.on_end(node, SeenRequest("api"), NOW, 8.0, 8.0, True)
        chooser.on_end(a, SeenRequest("video"), NOW, 320.0, 320.0, True)
        found = self.cost_of(chooser, [a, b], "api")
        assert found["a"] == pytest.approx(found["b"])

    def test_one_kind_only_is_ranked_as_dynamic_ranks(self, ready: list[SeenNode]) -> None:
        chooser = DynamicByKind(Random(1))
        assert self.cost_of(chooser, ready, "general") == scores(*ready)
