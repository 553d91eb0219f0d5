"""The rules with a memory or with dice: two choices, peak EWMA, least time, Prequal, the herd, and the hash ring."""

from collections import Counter
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.algorithms import Algorithm
from balancer.algorithms.consistent_hash import FACTOR, ConsistentHash
from balancer.algorithms.least_time import LeastTime
from balancer.algorithms.naive_fastest import NaiveFastest
from balancer.algorithms.peak_ewma import TAU_S, PeakEwma
from balancer.algorithms.power_of_two import PowerOfTwo, two_of
from balancer.algorithms.prequal import AGE_S, POOL, RECENT, Prequal, Recent, pool_of
from balancer.algorithms.seen import SeenNode, SeenRequest, nodes
from balancer.algorithms.weighted_least_connections import WeightedLeastConnections
from cluster.wire import NodeReport

REQUEST = SeenRequest()


def counts(chooser: Algorithm, ready: list[SeenNode], picks: int, now: float = 0.0) -> Counter[str]:
    return Counter(chooser.pick(SeenRequest(sequence=n), ready, now).name for n in range(picks))


class TestWeightedLeastConnections:
    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=30), st.integers(0, 1 << 32))
    def test_nobody_would_be_less_full_for_his_weight(self, loads: list[tuple[int, int]], seed: int) -> None:
        ready = [SeenNode(f"n{i}", i, in_flight=load, weight=weight) for i, (load, weight) in enumerate(loads)]
        picked = WeightedLeastConnections(Random(seed)).pick(REQUEST, ready, 0.0)
        assert all((picked.in_flight + 1) * node.weight <= (node.in_flight + 1) * picked.weight for node in ready)

    def test_requests_that_stay_fill_the_nodes_in_proportion(self) -> None:
        ready, chooser = nodes("a", "b", "c", weights=(1, 2, 4)), WeightedLeastConnections(Random(1))
        for _ in range(70):
            chooser.pick(REQUEST, ready, 0.0).in_flight += 1
        assert [node.in_flight for node in ready] == [10, 20, 40]


class TestPowerOfTwo:
    def test_all_ordered_pairs_are_equally_likely_and_never_a_node_twice(self) -> None:
        ready, rng = nodes("a", "b", "c", "d"), Random(1)
        drawn = Counter((one.name, other.name) for one, other in (two_of(ready, rng) for _ in range(12_000)))
        assert len(drawn) == 12
        assert min(drawn.values()) > 880, drawn
        assert max(drawn.values()) < 1120, drawn

    def test_of_two_nodes_always_the_less_loaded(self) -> None:
        ready = nodes("a", "b")
        ready[0].in_flight = 1
        assert counts(PowerOfTwo(Random(1)), ready, 100) == {"b": 100}

    def test_the_fullest_of_all_is_never_picked(self) -> None:
        ready = [SeenNode(f"n{i}", i, in_flight=i) for i in range(6)]
        found = counts(PowerOfTwo(Random(1)), ready, 3000)
        assert found["n5"] == 0
        # n0 wins every pair that it is in: 1/3 of them; n4 only the one with n5: 1/15
        assert found["n0"] == pytest.approx(1000, abs=100)
        assert found["n4"] == pytest.approx(200, abs=60)


class TestPeakEwma:
    def end(self, chooser: PeakEwma, node: SeenNode, now: float, ms: float, ok: bool = True) -> None:
        chooser.on_end(node, REQUEST, now, ms, 0.0, ok)

    def cost(self, chooser: PeakEwma, node: SeenNode, now: float) -> float:
        chooser.pick(REQUEST, [node], now)
        return chooser.explain()[node.name]

    def test_a_peak_is_taken_over_at_once_and_sinks_slowly(self) -> None:
        chooser, node = PeakEwma(Random(1)), SeenNode("a")
        self.end(chooser, node, 0.0, 100.0)
        assert self.cost(chooser, node, 0.0) == 100.0
        self.end(chooser, node, 5.0, 20.0)
        w = exp(-5 / TAU_S)
        assert self.cost(chooser, node, 5.0) == pytest.approx(100 * w + 20 * (1 - w))
        assert self.cost(chooser, node, 15.0) == pytest.approx((100 * w + 20 * (1 - w)) / exp(1))
        self.end(chooser, node, 15.0, 300.0)
        assert self.cost(chooser, node, 15.0) == 300.0

    def test_requests_in_flight_multiply(self) -> None:
        chooser, node = PeakEwma(Random(1)), SeenNode("a", in_flight=3)
        self.end(chooser, node, 0.0, 10.0)
        assert self.cost(chooser, node, 0.0) == 40.0

    def test_one_request_finds_out_about_an_unknown_node(self) -> None:
        chooser, ready = PeakEwma(Random(1)), nodes("known", "new")
        self.end(chooser, ready[0], 0.0, 10.0)
        assert chooser.pick(REQUEST, ready, 0.0) is ready[1]
        ready[1].in_flight = 1
        assert counts(chooser, ready, 50) == {"known": 50}

    def test_a_failure_never_makes_a_node_look_faster_but_may_make_it_slower(self) -> None:
        chooser, node = PeakEwma(Random(1)), SeenNode("a")
        self.end(chooser, node, 0.0, 50.0)
        self.end(chooser, node, 1.0, 0.1, ok=False)
        assert self.cost(chooser, node, 1.0) == pytest.approx(50.0 * exp(-0.1))
        self.end(chooser, node, 1.0, 900.0, ok=False)
        assert self.cost(chooser, node, 1.0) == 900.0


class TestLeastTime:
    def test_latency_times_requests_over_weight(self) -> None:
        ready = [
            SeenNode("a", 0, in_flight=0, latency=(95.0, 1.0)),  # class 100 x 1
            SeenNode("b", 1, in_flight=1, latency=(41.0, 1.0)),  # class 60 x 2
            SeenNode("c", 2, in_flight=2, latency=(65.0, 1.0), weight=4),  # class 80 x 3 / 4
        ]
        chooser = LeastTime(Random(1))
        assert chooser.pick(REQUEST, ready, 1.0).name == "c"
        assert chooser.explain() == {"a": 100.0, "b": 120.0, "c": 60.0}

    def test_nodes_of_one_class_take_turns_by_weight(self) -> None:
        ready = [SeenNode("a", 0, weight=1, latency=(21.0, 1.0)), SeenNode("b", 1, weight=1, latency=(39.9, 1.0))]
        assert counts(LeastTime(Random(1)), ready, 100, 1.0) == {"a": 50, "b": 50}

    def test_above_5_s_all_are_equally_bad(self) -> None:
        ready = [SeenNode("a", 0, latency=(6000.0, 1.0)), SeenNode("b", 1, latency=(60_000.0, 1.0))]
        assert counts(LeastTime(Random(1)), ready, 100, 1.0) == {"a": 50, "b": 50}

    def test_a_node_that_is_not_picked_is_halved_each_ten_seconds(self) -> None:
        a, b = SeenNode("a", 0, latency=(170.0, 0.0)), SeenNode("b", 1, latency=(30.0, 0.0))
        chooser = LeastTime(Random(1))
        chooser.pick(REQUEST, [a, b], 0.0)
        found = []
        for now in (5.0, 11.0, 22.0, 33.0, 44.0):
            chooser.on_start(b, REQUEST, now)
            chooser.on_end(b, REQUEST, now, 0.0, 0.0, True)
            chooser.pick(REQUEST, [a, b], now)
            found.append(chooser.explain()["a"])
        assert found == [180.0, 100.0, 60.0, 40.0, 20.0]

    def test_a_long_request_does_not_make_its_node_slow(self) -> None:
        ready = [SeenNode("a", 0, latency=(10.0, 0.0)), SeenNode("b", 1, latency=(50.0, 0.0))]
        chooser = LeastTime(Random(1))
        chooser.on_start(chooser.pick(REQUEST, ready, 0.0), REQUEST, 0.0)
        chooser.pick(REQUEST, ready, 9.0)
        assert chooser.explain() == {"a": 20.0, "b": 60.0}, "nine seconds old: no answer, no sample"


class TestNaiveFastest:
    def test_the_herd_runs_to_the_fastest_whatever_its_load(self) -> None:
        ready = [SeenNode("a", 0, in_flight=500, latency=(9.0, 0.0)), SeenNode("b", 1, latency=(10.0, 0.0))]
        assert counts(NaiveFastest(Random(1)), ready, 100) == {"a": 100}

    def test_a_node_without_a_sample_comes_first(self) -> None:
        ready = [SeenNode("a", 0, latency=(9.0, 0.0)), SeenNode("b", 1)]
        assert counts(NaiveFastest(Random(1)), ready, 10) == {"b": 10}

    def test_whoever_uses_it_is_warned(self) -> None:
        assert "teaching" in NaiveFastest.caution


class TestConsistentHash:
    CLIENTS = tuple(f"192.168.{n // 250}.{n % 250}" for n in range(2000))

    def homes(self, chooser: ConsistentHash, ready: list[SeenNode]) -> dict[str, str]:
        return {client: chooser.pick(SeenRequest(client_key=client), ready, 0.0).name for client in self.CLIENTS}

    def test_a_client_keeps_its_node_in_every_worker_and_after_every_switch(self) -> None:
        ready = nodes(*"abcde")
        first = self.homes(ConsistentHash(Random(1)), ready)
        assert self.homes(ConsistentHash(Random(2)), ready) == first
        shares = Counter(first.values())
        assert min(shares.values()) > 280, shares

    def test_only_the_clients_of_a_node_that_leaves_move_and_they_come_back(self) -> None:
        ready, chooser = nodes(*"abcde"), ConsistentHash(Random(1))
        before, without = self.homes(chooser, ready), self.homes(chooser, ready[1:])
        moved = {client for client in self.CLIENTS if before[client] != without[client]}
        assert moved == {client for client in self.CLIENTS if before[client] == "a"}
        assert len({without[client] for client in moved}) == 4, "they spread over all others"
        assert self.homes(chooser, ready) == before
        assert self.homes(ConsistentHash(Random(1)), ready[1:]) == without, "as if it had never been there"

    def test_a_new_node_takes_its_share_and_moves_nobody_else(self) -> None:
        ready, chooser = nodes(*"abcde"), ConsistentHash(Random(1))
        before, after = self.homes(chooser, ready[:4]), self.homes(chooser, ready)
        assert {after[client] for client in self.CLIENTS if before[client] != after[client]} == {"e"}

    def test_shares_follow_the_weights_and_a_change_moves_few(self) -> None:
        ready, chooser = nodes("a", "b", "c", weights=(1, 1, 2)), ConsistentHash(Random(1))
        before = self.homes(chooser, ready)
        assert Counter(before.values())["c"] == pytest.approx(1000, abs=120)
        ready[2].weight = 3
        after = self.homes(chooser, ready)
        assert Counter(after.values())["c"] == pytest.approx(1200, abs=120)
        assert sum(before[client] != after[client] for client in self.CLIENTS) < 320

    @given(seed=st.integers(0, 1 << 32), weights=st.lists(st.integers(1, 9), min_size=1, max_size=8))
    def test_nobody_ever_holds_more_than_its_bound(self, seed: int, weights: list[int]) -> None:
        """One client sends everything: without the bound it would all be at one node."""
        ready, chooser = nodes(*"abcdefgh"[: len(weights)], weights=weights), ConsistentHash(Random(seed))
        dice = Random(seed)
        for _ in range(120):
            busy = [node for node in ready if node.in_flight]
            if busy and dice.random() < 0.3:
                dice.choice(busy).in_flight -= 1
                continue
            node = chooser.pick(REQUEST, ready, 0.0)
            node.in_flight += 1
            share = FACTOR * sum(each.in_flight for each in ready) * node.weight / sum(weights)
            assert node.in_flight < share + 1

    def test_one_client_alone_fills_a_node_to_five_quarters_of_its_share(self) -> None:
        ready, chooser = nodes(*"abcd"), ConsistentHash(Random(1))
        for _ in range(40):
            chooser.pick(REQUEST, ready, 0.0).in_flight += 1
        assert max(node.in_flight for node in ready) == 13, "40 / 4 x 1.25, rounded up"

    def test_a_full_node_is_passed_over_for_the_next_on_the_ring(self) -> None:
        ready, chooser = nodes(*"abcde"), ConsistentHash(Random(1))
        home = chooser.pick(REQUEST, ready, 0.0)
        home.in_flight = 20
        second = chooser.pick(REQUEST, ready, 0.0)
        assert second is not home
        assert chooser.pick(REQUEST, [node for node in ready if node is not home], 0.0) is second
        assert chooser.explain()[second.name] == min(chooser.explain().values())


class TestPrequal:
    def told(self, chooser: Prequal, ready: list[SeenNode], now: float, *rif_and_ms: tuple[int, float]) -> None:
        """Every node answers a probe."""
        chooser._asked = {node.index for node in ready}
        for node, (rif, ms) in zip(ready, rif_and_ms, strict=True):
            chooser.on_report(node, NodeReport(rif=rif, slots=100, service_ms=ms), now)

    def ready(self, count: int) -> list[SeenNode]:
        return nodes(*(f"n{i}" for i in range(count)))

    def test_the_papers_constants(self) -> None:
        assert pool_of(100) == (16, pytest.approx(2 / (0.84 * 3 - 1)))
        assert pool_of(10) == (5, pytest.approx(4.0))
        assert pool_of(3) == (2, 10.0)

    def test_hot_is_above_the_quantile_of_the_last_probes(self) -> None:
        recent = Recent()
        for rif in [*range(1, 101), *[500] * RECENT]:  # the first hundred are forgotten
            recent.add(rif)
        assert recent.hot_above() == 500
        for rif in range(RECENT):
            recent.add((rif * 37) % RECENT)
        assert recent.hot_above() == 107, "the 108th of 0 to 127"

    def test_in_a_small_pool_a_node_that_is_busier_than_most_were_is_hot(self) -> None:
        ready = self.ready(4)
        chooser = Prequal(Random(1))
        for _ in range(20):
            self.told(chooser, ready, 0.0, (2, 50.0), (2, 50.0), (2, 50.0), (2, 50.0))
        self.told(chooser, ready, 0.0, (2, 50.0), (2, 50.0), (2, 50.0), (9, 1.0))
        assert chooser.pick(REQUEST, ready, 0.0) is not ready[3]

    def test_the_fastest_of_the_cold(self) -> None:
        ready = self.ready(20)[:8]
        chooser = Prequal(Random(1))
        chooser._most = 8
        self.told(chooser, ready, 0.0, (0, 9.0), (1, 5.0), (9, 1.0), (2, 7.0), (3, 8.0), (3, 6.0), (1, 8.0), (2, 9.0))
        assert chooser.pick(REQUEST, ready, 0.1).name == "n1", "n2 is faster, but hot"

    def test_its_own_sends_count_on_the_pooled_answer(self) -> None:
        ready = self.ready(8)
        chooser = Prequal(Random(1))
        chooser._most, chooser._uses = 8, 4.0
        chooser._worst_next = True  # the slowest leaves the pool, not the one picked
        self.told(chooser, ready, 0.0, *[(0, 5.0 + i) for i in range(8)])
        picks = [chooser.pick(REQUEST, ready, 0.0).name for _ in range(2)]
        assert picks == ["n0", "n1"], "after one request n0 is the only one that is hot"

    def test_answers_that_are_a_second_old_are_forgotten_and_then_chance_decides(self) -> None:
        ready = self.ready(6)
        picked = Counter[str]()
        for seed in range(200):
            for now, pooled in ((AGE_S - 0.01, 3), (AGE_S + 0.01, 0)):
                chooser = Prequal(Random(seed))
                chooser._most = 3
                self.told(chooser, ready[:3], 0.0, (0, 1.0), (0, 2.0), (0, 3.0))
                node = chooser.pick(REQUEST, ready, now)
                assert len(chooser.explain()) == pooled
                picked[f"{node.name} of {pooled}"] += 1
        assert picked.pop("n0 of 3") == 200
        assert len(picked) == 6
        assert min(picked.values()) > 15, picked

    def test_three_different_nodes_are_asked_for_each_request(self) -> None:
        ready, chooser = self.ready(9), Prequal(Random(1))
        asked = Counter[str]()
        for _ in range(300):
            three = chooser.probe(ready, 0.0)
            assert len({node.name for node in three}) == 3
            asked.update(node.name for node in three)
        assert min(asked.values()) > 60, asked

    def test_a_report_that_came_unasked_is_not_pooled(self) -> None:
        chooser, ready = Prequal(Random(1)), self.ready(4)
        chooser.on_report(ready[0], NodeReport(rif=0, slots=4, service_ms=5.0), 0.0)
        assert not chooser._pool

    def test_the_pool_keeps_its_size_and_one_answer_a_node(self) -> None:
        ready, chooser, dice = self.ready(100), Prequal(Random(1)), Random(2)
        for n in range(500):
            chooser.pick(SeenRequest(sequence=n), ready, n * 0.001)
            for node in chooser.probe(ready, n * 0.001):
                report = NodeReport(rif=dice.randrange(6), slots=4, service_ms=dice.random() * 50)
                chooser.on_report(node, report, n * 0.001)
            assert len(chooser._pool) <= POOL
        assert len(chooser._pool) > POOL // 2
