"""What every registered algorithm owes: these tests run over the registry, so a new one is tested by being listed."""

import ast
import inspect
from math import isfinite
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer.algorithms import ALGORITHMS, Algorithm, Need
from balancer.algorithms.seen import SeenNode, SeenRequest
from cluster.wire import NodeReport

every = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=list(ALGORITHMS))

reports = st.none() | st.tuples(
    st.integers(0, 50), st.integers(0, 16), st.floats(0, 1000), st.floats(0, 200), st.integers(0, 20)
)
samples = st.just((0.0, 0.0)) | st.tuples(st.floats(0.001, 5000), st.floats(0, 200))
pools = st.lists(
    st.builds(
        SeenNode,
        name=st.just(""),
        in_flight=st.integers(0, 40),
        weight=st.integers(1, 256),
        slots=st.none() | st.integers(1, 16),
        report=reports,
        own_service=samples,
        latency=samples,
    ),
    min_size=1,
    max_size=80,
)


def named(pool: list[SeenNode]) -> list[SeenNode]:
    for index, node in enumerate(pool):
        node.name, node.index = f"n{index}", index
    return pool


@every
@settings(max_examples=60, deadline=None)
@given(pool=pools, sequence=st.integers(0, 1 << 40), now=st.floats(0, 300), seed=st.integers())
def test_picks_one_of_the_nodes_offered(
    algorithm: type[Algorithm], pool: list[SeenNode], sequence: int, now: float, seed: int
) -> None:
    ready = named(pool)
    before = [repr(node) for node in ready]
    picked = algorithm(Random(seed)).pick(SeenRequest(sequence=sequence), ready, now)
    assert any(picked is node for node in ready)
    assert [repr(node) for node in ready] == before, "an algorithm only looks"


@every
def test_a_single_node_is_picked_whatever_state_it_is_in(algorithm: type[Algorithm]) -> None:
    only = SeenNode("only", in_flight=1000, slots=1, report=(1000, 1, 5000.0, 0.0, 0))
    chooser = algorithm(Random(1))
    assert all(chooser.pick(SeenRequest(sequence=n), [only], float(n)) is only for n in range(20))


@every
def test_the_same_seed_and_the_same_sights_give_the_same_picks(algorithm: type[Algorithm]) -> None:
    def run() -> list[str]:
        chooser = algorithm(Random(7))
        ready = [SeenNode(f"n{i}", i, weight=i % 3 + 1) for i in range(9)]
        out = []
        for n in range(200):
            node = chooser.pick(SeenRequest(sequence=n), ready, n * 0.01)
            node.in_flight = (node.in_flight + 3) % 7
            out.append(node.name)
        return out

    assert run() == run()


@every
def test_a_shrinking_and_growing_pool_is_followed_at_once(algorithm: type[Algorithm]) -> None:
    chooser = algorithm(Random(3))
    everyone = [SeenNode(f"n{i}", i) for i in range(6)]
    for n in range(300):
        ready = (
            [node for node in everyone if (n // 10 + node.index) % 3] if n % 20 < 10 else everyone[n % 6 :] or everyone
        )
        assert chooser.pick(SeenRequest(sequence=n), ready, n * 0.01) in ready


@every
def test_equal_idle_nodes_all_get_a_share(algorithm: type[Algorithm]) -> None:
    chooser = algorithm(Random(5))
    ready = [SeenNode(f"n{i}", i) for i in range(5)]
    picks = [chooser.pick(SeenRequest(sequence=n, client_key=f"10.0.0.{n}"), ready, 1.0).name for n in range(500)]
    shares = [picks.count(node.name) for node in ready]
    assert min(shares) > 50, shares


@every
def test_explain_scores_nodes_by_name_or_says_nothing(algorithm: type[Algorithm]) -> None:
    chooser = algorithm(Random(5))
    ready = [SeenNode(f"n{i}", i, in_flight=i, latency=(10.0, 0.0)) for i in range(5)]
    picked = chooser.pick(SeenRequest(), ready, 1.0)
    scores = chooser.explain()
    if scores:
        assert set(scores) <= {node.name for node in ready}
        assert scores[picked.name] == min(scores.values())


@every
@settings(max_examples=40, deadline=None)
@given(pool=pools, seed=st.integers(0, 1 << 32), steps=st.integers(1, 120), balancers=st.integers(1, 4))
def test_a_life_with_all_its_hooks(
    algorithm: type[Algorithm], pool: list[SeenNode], seed: int, steps: int, balancers: int
) -> None:
    """Starts, ends of every sort, reports, leaving and coming nodes: whatever the order, a pick is one of those
    offered, scores are finite, and whom it wants to ask is one of those that it knows."""
    everyone = named(pool)
    dice, chooser, now = Random(seed), algorithm(Random(seed + 1), balancers), 0.0
    ready, running = everyone, []
    chooser.on_membership(ready, now)
    for n in range(steps):
        now += dice.random() * dice.choice((0.001, 0.1, 20.0))
        match dice.randrange(5):
            case 0 | 1:
                request = SeenRequest(dice.choice(("general", "api", "image")), f"c{dice.randrange(9)}", n)
                node = chooser.pick(request, ready, now)
                assert any(node is each for each in ready)
                assert all(isfinite(score) for score in chooser.explain().values())
                node.in_flight += 1
                chooser.on_start(node, request, now)
                running.append((node, request, now))
                asked = chooser.probe(ready, now)
                assert all(any(each is known for known in everyone) for each in asked)
            case 2 if running:
                node, request, begun = running.pop(dice.randrange(len(running)))
                node.in_flight -= 1
                took_ms = (now - begun) * 1e3
                node.latency = (took_ms, now)
                chooser.on_end(
                    node, request, now, took_ms, dice.choice((0.0, took_ms)), dice.choice((True, False, None))
                )
            case 3:
                node = dice.choice(everyone)
                node.report = (dice.randrange(9), dice.randrange(5), dice.random() * 50, now, 0)
                chooser.on_report(node, NodeReport(rif=1, slots=4, service_ms=dice.random() * 50), now)
            case _:
                ready = [each for each in everyone if dice.random() < 0.7] or everyone
                chooser.on_membership(ready, now)


@every
def test_is_described_for_people(algorithm: type[Algorithm]) -> None:
    assert ALGORITHMS[algorithm.key] is algorithm
    assert algorithm.key.isidentifier()
    assert algorithm.key == algorithm.key.lower()
    assert len(algorithm.key) <= 32, "the scoreboard has 32 bytes for it"
    assert algorithm.label
    assert algorithm.sentence.endswith(".")
    assert not algorithm.caution or algorithm.caution.endswith(".")
    assert algorithm.requires <= algorithm.needs <= set(Need)
    assert (inspect.getmodule(algorithm) or algorithm).__doc__, "rule, source, cost and where it fails"


@every
def test_pick_cannot_yield(algorithm: type[Algorithm]) -> None:
    """Nothing may run between the pick and the count going up: a pick that awaits or yields would let it."""
    assert not inspect.iscoroutinefunction(algorithm.pick)
    assert not inspect.isgeneratorfunction(algorithm.pick)


@every
def test_knows_no_clock_no_socket_no_server(algorithm: type[Algorithm]) -> None:
    tree = ast.parse(inspect.getsource(inspect.getmodule(algorithm) or algorithm))
    imported = {
        (alias.name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & {"gevent", "flask", "time", "socket", "asyncio", "threading", "datetime", "os"}
