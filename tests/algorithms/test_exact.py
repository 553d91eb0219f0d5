"""Exact vectors and bounds: what each rule gives when it is worked out by hand."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.algorithms.dynamic import FADE_S, FRESH_S, Dynamic, estimate, score_of
from balancer.algorithms.least_connections import LeastConnections
from balancer.algorithms.round_robin import RoundRobin
from balancer.algorithms.weighted import Weighted
from tests.algorithms.nodes import SeenNode, SeenRequest, nodes


class TestRoundRobin:
    def test_goes_in_the_order_of_the_configuration(self) -> None:
        chooser, ready = RoundRobin(Random(1)), nodes("a", "b", "c")
        picks = [chooser.pick(SeenRequest(sequence=n), ready, 0.0).name for n in range(7)]
        assert "".join(picks) == "abcabca"

    @given(n=st.integers(1, 30), begin=st.integers(0, 10**9), picks=st.integers(0, 200))
    def test_counts_differ_by_at_most_one(self, n: int, begin: int, picks: int) -> None:
        chooser, ready = RoundRobin(Random(1)), nodes(*(f"n{i}" for i in range(n)))
        counts = Counter(chooser.pick(SeenRequest(sequence=begin + i), ready, 0.0).name for i in range(picks))
        shares = [counts[node.name] for node in ready]
        assert max(shares) - min(shares) <= 1

    def test_a_fresh_object_goes_on_where_the_last_one_was(self) -> None:
        ready = nodes("a", "b", "c")
        picks = [RoundRobin(Random(n)).pick(SeenRequest(sequence=n), ready, 0.0).name for n in range(6)]
        assert "".join(picks) == "abcabc"


class TestLeastConnections:
    @given(loads=st.lists(st.integers(0, 30), min_size=1, max_size=40), seed=st.integers())
    def test_never_picks_a_node_with_more_in_flight_than_the_minimum(self, loads: list[int], seed: int) -> None:
        ready = [SeenNode(f"n{i}", i, in_flight=load) for i, load in enumerate(loads)]
        assert LeastConnections(Random(seed)).pick(SeenRequest(), ready, 0.0).in_flight == min(loads)

    def test_ties_go_to_all_of_them_alike(self) -> None:
        ready = nodes("a", "b", "c", "d")
        ready[1].in_flight = 5
        chooser = LeastConnections(Random(1))
        counts = Counter(chooser.pick(SeenRequest(), ready, 0.0).name for _ in range(3000))
        assert counts["b"] == 0
        # The scan begins anywhere, so the node after a busy one gets its turn too; nobody gets more than two turns.
        assert all(600 < counts[name] < 1700 for name in "acd"), counts


class TestWeighted:
    def test_five_one_one_is_nginx_sequence(self) -> None:
        chooser, ready = Weighted(Random(1)), nodes("a", "b", "c")
        ready[0].weight = 5
        picks = [chooser.pick(SeenRequest(), ready, 0.0).name for _ in range(14)]
        assert "".join(picks) == "aabacaa" * 2

    @given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=8), cycles=st.integers(1, 3))
    def test_each_cycle_gives_each_node_exactly_its_weight(self, weights: list[int], cycles: int) -> None:
        ready = [SeenNode(f"n{i}", i, weight=weight) for i, weight in enumerate(weights)]
        chooser = Weighted(Random(1))
        for _ in range(cycles):
            counts = Counter(chooser.pick(SeenRequest(), ready, 0.0).index for _ in range(sum(weights)))
            assert [counts[i] for i in range(len(weights))] == weights

    @given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=8), picks=st.integers(0, 100))
    def test_at_no_time_does_a_node_lead_or_lag_by_much(self, weights: list[int], picks: int) -> None:
        ready = [SeenNode(f"n{i}", i, weight=weight) for i, weight in enumerate(weights)]
        chooser = Weighted(Random(1))
        counts = Counter(chooser.pick(SeenRequest(), ready, 0.0).index for _ in range(picks))
        for i, weight in enumerate(weights):
            due = picks * weight / sum(weights)
            assert abs(counts[i] - due) <= len(weights)

    def test_a_changed_weight_counts_from_the_next_pick(self) -> None:
        ready, chooser = nodes("a", "b"), Weighted(Random(1))
        for _ in range(10):
            chooser.pick(SeenRequest(), ready, 0.0)
        ready[0].weight = 3
        counts = Counter(chooser.pick(SeenRequest(), ready, 0.0).name for _ in range(400))
        assert counts["a"] == pytest.approx(300, abs=1)

    def test_a_node_that_was_away_does_not_flood(self) -> None:
        ready, chooser = nodes("a", "b", "c"), Weighted(Random(1))
        for _ in range(500):
            chooser.pick(SeenRequest(), ready[:2], 0.0)
        counts = Counter(chooser.pick(SeenRequest(), ready, 0.0).name for _ in range(30))
        assert counts["c"] == pytest.approx(10, abs=1)


def fresh(name: str, rif: int, slots: int, service_ms: float, **more: object) -> SeenNode:
    return SeenNode(name, report=(rif, slots, service_ms, 100.0, 0), **more)  # type: ignore[arg-type]


class TestDynamic:
    NOW = 100.5

    def pick(self, *ready: SeenNode, now: float = NOW, seed: int = 1) -> str:
        return Dynamic(Random(seed)).pick(SeenRequest(), ready, now).name

    def test_a_free_slot_on_a_slow_node_beats_a_queue_on_a_fast_one_when_the_queue_costs_more(self) -> None:
        fast, slow = fresh("fast", 8, 4, 10.0), fresh("slow", 0, 4, 40.0)
        assert score_of(10.0, 8, 4) > score_of(40.0, 0, 4)
        assert self.pick(fast, slow) == "slow"

    def test_among_nodes_with_a_free_slot_the_fastest_whatever_their_load(self) -> None:
        assert self.pick(fresh("a", 3, 4, 10.0), fresh("b", 0, 4, 12.5)) == "a"

    def test_of_free_nodes_that_are_as_fast_as_one_can_tell_the_emptiest(self) -> None:
        assert self.pick(fresh("a", 3, 4, 10.0), fresh("b", 1, 4, 11.9), fresh("c", 2, 4, 10.5)) == "b"

    def test_an_idle_nodes_repeated_report_is_as_old_as_its_last_answer(self) -> None:
        """Probes bring the same old figure again and again; without this a node that was slow once would starve."""
        node = fresh("a", 0, 4, 100.0, latency=(100.0, 89.5))
        assert estimate(node, self.NOW)[1] == pytest.approx(100.0 * 2.718281828**-1.0)

    def test_without_a_free_slot_the_least_expected_wait(self) -> None:
        # 10 x (1 + 8 x 3/4) = 70 against 20 x (1 + 8 x 1/4) = 60
        assert self.pick(fresh("a", 6, 4, 10.0), fresh("b", 4, 4, 20.0)) == "b"

    def test_own_requests_count_when_the_report_has_not_seen_them(self) -> None:
        busy = SeenNode("busy", report=(0, 4, 10.0, 100.0, 9))
        assert self.pick(busy, fresh("idle", 0, 4, 30.0)) == "idle"

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
            (SeenNode("old report, idle", report=(3, 4, 25.0, 95.0, 0)), "L1", None, 0, 4),
            (SeenNode("old report, busy", in_flight=1, slots=None, report=(3, 4, 25.0, 95.0, 0)), "L4", 0.0, 1, 0),
        ],
        ids=lambda value: value.name if isinstance(value, SeenNode) else "",
    )
    def test_the_ladder(self, node: SeenNode, level: str, service_ms: float | None, rif: int, slots: int) -> None:
        found = estimate(node, self.NOW)
        assert (found[0], found[2], found[3]) == (level, rif, slots)
        if service_ms is not None:
            assert found[1] == pytest.approx(service_ms)

    def test_a_node_without_a_sample_is_taken_for_a_middling_one(self) -> None:
        a, b, c = fresh("a", 0, 4, 10.0), fresh("b", 0, 4, 20.0), fresh("c", 0, 4, 30.0)
        chooser = Dynamic(Random(1))
        chooser.pick(SeenRequest(), [a, b, c, SeenNode("new")], self.NOW)
        assert chooser.explain()["new"] == pytest.approx(chooser.explain()["b"])

    def test_nothing_known_of_anyone_is_least_connections(self) -> None:
        ready = [SeenNode(f"n{i}", i, in_flight=load, slots=None) for i, load in enumerate((4, 2, 7))]
        assert {self.pick(*ready, seed=seed) for seed in range(30)} == {"n1"}

    def test_a_slow_node_is_tried_again_as_its_bad_sample_fades(self) -> None:
        good, bad = SeenNode("good"), SeenNode("bad", report=(0, 4, 1000.0, 100.0, 0))
        tried_at = None
        for step in range(2000):
            now = 100.0 + step * 0.1
            good.report = (0, 4, 10.0, now, 0)
            if self.pick(good, bad, now=now, seed=step) == "bad":
                tried_at = now - 100.0
                break
        assert tried_at is not None, "a node that was slow once is never tried again"
        # 1000 x exp(-(t - 1) / 10) meets 10 x 1.2 at t = 1 + 10 ln (100 / 1.2)
        assert tried_at == pytest.approx(1 + FADE_S * 4.423, abs=1.0)
        assert tried_at > FRESH_S

    def test_a_slow_nodes_first_second_is_not_faded(self) -> None:
        node = SeenNode("a", report=(0, 4, 100.0, 100.0, 0))
        assert estimate(node, 101.0)[1] == pytest.approx(100.0)

    def test_no_preference_among_equals(self) -> None:
        ready = [fresh(f"n{i}", 0, 4, 10.0) for i in range(5)]
        chooser = Dynamic(Random(2))
        counts = Counter(chooser.pick(SeenRequest(), ready, self.NOW).name for _ in range(1000))
        assert min(counts.values()) > 140, counts

    def test_a_large_fleet_is_sampled_and_the_best_of_the_sample_is_taken(self) -> None:
        ready = [fresh(f"n{i}", 0, 4, 10.0 * 1.3**i) for i in range(300)]
        chooser = Dynamic(Random(2))
        for _ in range(50):
            picked = chooser.pick(SeenRequest(), ready, self.NOW)
            scores = chooser.explain()
            assert len(scores) == 16
            assert scores[picked.name] == min(scores.values())

    def test_a_report_from_the_future_is_not_blown_up(self) -> None:
        node = SeenNode("a", report=(0, 4, 100.0, 200.0, 0))  # a report of the future: another worker's clock read
        assert estimate(node, 199.9)[1] == pytest.approx(100.0)
