"""Whatever a client sends, the node receives nothing or requests that say the same, and the connection's loop lives.

RFC 9112 section 2.2 and 11.2 (request smuggling), RFC 9110 section 7.6 (what an intermediary forwards). The oracle is
strict_reader.py.
"""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.grammar import cuts, mutated, pieces, request
from tests.fuzz.in_process import Bench
from tests.fuzz.strict_reader import Request, forwarded_fields, read_answer, read_requests

# The tests look at the same examples each time; FAIRLEAD_FUZZ_EXAMPLES=20000 looks at so many new ones.
EXAMPLES = int(os.environ.get("FAIRLEAD_FUZZ_EXAMPLES", "0"))
within = settings(
    max_examples=EXAMPLES or 200, derandomize=not EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)

MADE = frozenset(
    b"host expect x-forwarded-for x-forwarded-host x-forwarded-proto forwarded via x-request-id traceparent".split()
)
"""Fields that the balancer makes, replaces or says itself."""
KEPT_BACK = frozenset(b"http2-settings proxy x-real-ip".split())
"""Fields of a stranger's that no node may get; nor any X-Forwarded-*, nor names with an underscore."""


def meaning(request: Request, sent: bool) -> tuple[object, ...]:
    """What a request says. `sent`: as a client sends it, so that what must change on the way is changed."""
    if not sent:  # nothing of the client's connection may have come along; a tunnel asks for itself
        framing = {b"content-length", b"transfer-encoding"}
        ours = MADE | framing | ({b"connection", b"upgrade"} if request.wants_tunnel else set())
        fields = [(name.lower(), value) for name, value in request.fields if name.lower() not in ours]
    else:
        fields = [
            (n, v)
            for n, v in forwarded_fields(request.fields, MADE | KEPT_BACK)
            if not (b"_" in n or n.startswith(b"x-forwarded-"))
        ]
        if request.method in (b"OPTIONS", b"TRACE"):
            fields = [(n, b"%d" % (int(v) - 1) if n == b"max-forwards" else v) for n, v in fields]
    return request.method, request.path, fields, request.body


def is_ours(request: Request) -> bool:
    """Answered by the balancer itself."""
    hops = [value for name, value in request.fields if name.lower() == b"max-forwards"]
    last_hop = request.method in (b"OPTIONS", b"TRACE") and any(not int(hop) for hop in hops if hop.isdigit())
    return request.path.startswith(b"/-/") or last_hop


def check(bench: Bench, data: bytes, shares: list[float]) -> tuple[list[Request], bytes]:
    """Send it; what reached the node is a beginning of what a strict reader finds. (All that it found, answers.)"""
    expected = read_requests(data)
    got = bench.exchange(pieces(data, shares))
    assert not bench.bad, "the node got something that is not HTTP"
    forwardable = [meaning(request, True) for request in expected if not is_ours(request)]
    received = [meaning(request, False) for request in bench.seen]
    assert received == forwardable[: len(received)]
    for one in bench.seen:
        assert one.version == (1, 1)
        assert len(one.all(b"host")) == 1
        assert len(one.all(b"x-forwarded-for")) == 1
        assert one.all(b"via")[-1].endswith((b"1.1 fairlead", b"1.0 fairlead"))
    for one, other in zip(bench.seen, [r for r in expected if not is_ours(r)], strict=False):
        assert other.host is None or one.host == other.host
    return expected, got


def answers_in(got: bytes, methods: list[bytes]) -> list[int]:
    """Statuses of the answers, strictly read; whatever follows the last method's is of a request nobody could read."""
    statuses, at = [], 0
    while at < len(got):
        method = methods[len(statuses)] if len(statuses) < len(methods) else b"GET"
        answer, at = read_answer(got, method, at)
        assert not answer.cut
        assert len(answer.all(b"date")) == 1
        statuses.append(answer.status)
    return statuses


@within
@given(
    data=st.tuples(st.lists(request(), max_size=3), request(last=True)).map(lambda p: b"".join(p[0]) + p[1]),
    shares=cuts,
)
def test_legal_requests_all_reach_the_node_and_are_all_answered(bench: Bench, data: bytes, shares: list[float]) -> None:
    expected, got = check(bench, data, shares)
    assert len(bench.seen) == len([request for request in expected if not is_ours(request)])
    statuses = answers_in(got, [request.method for request in expected])
    assert len(statuses) == len(expected)
    assert set(statuses) <= {200, 404}


@within
@given(
    data=mutated(
        st.lists(st.one_of(request(1, last=True), request(6), request(12)), min_size=1, max_size=3).map(b"".join)
    ),
    shares=cuts,
)
def test_odd_requests_reach_the_node_unambiguous_or_not_at_all(bench: Bench, data: bytes, shares: list[float]) -> None:
    expected, got = check(bench, data, shares)
    statuses = answers_in(got, [request.method for request in expected])
    assert len(statuses) <= len(expected) + 1


@within
@given(data=st.binary(max_size=400), shares=cuts)
def test_any_bytes_at_all(bench: Bench, data: bytes, shares: list[float]) -> None:
    check(bench, data, shares)
