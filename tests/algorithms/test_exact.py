"""Exact vectors and bounds: what each rule gives when it is worked out by hand."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.algorithms.least_connections import LeastConnections
from balancer.algorithms.round_robin import RoundRobin
from balancer.algorithms.seen import SeenNode, SeenRequest, nodes
from balancer.algorithms.weighted import Weighted


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
        assert all(900 < counts[name] < 1100 for name in "acd"), counts


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
