"""The same oracle before a real balancer under gunicorn: a bounded number of odd requests over real connections.

The in-process tests look at far more; this one shows that what they look at is what runs.
"""

from hypothesis import given
from hypothesis import strategies as st

from tests.balancer.conftest import Stubs, stub_fleet, stub_processes
from tests.fuzz.grammar import mutated, request
from tests.fuzz.strict_reader import read_requests
from tests.fuzz.test_requests_fuzz import is_ours, within

__all__ = ["stub_fleet", "stub_processes"]


@within
@given(data=mutated(st.lists(st.one_of(request(1, last=True), request(8)), min_size=1, max_size=3).map(b"".join)))
def test_odd_requests_reach_a_node_unambiguous_or_not_at_all(stub_fleet: Stubs, data: bytes) -> None:
    """RFC 9112 section 11.2."""
    for node in stub_fleet.nodes:
        node.seen.clear()
    expected = [request for request in read_requests(data) if not is_ours(request)]
    with stub_fleet.client() as client:
        client.send(data)
        client.sock.shutdown(1)
        client.rest()
    got = sorted((one.line.split()[0], one.line.split()[1], one.body) for one in stub_fleet.seen)
    said = [(one.method, one.path, one.body) for one in expected]
    assert got == sorted(said[: len(got)])
