"""May this request be tried again? The table, written out."""

import itertools

import pytest

from balancer.http1_fields import SortedFields
from balancer.http1_request import Request
from balancer.retry import may_retry
from cluster.errors import NodeFailed, NodeTooSlow

NOT_SENT = NodeFailed("refused", "", sent=False)
SENT = NodeFailed("closed", "", sent=True)


def request_of(method: bytes) -> Request:
    return Request(SortedFields(method, [], version_1_1=True), b"/", b"a.example")


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"])
def test_idempotent_methods_are_tried_again_whether_sent_or_not(method: bytes) -> None:
    for failure in (NOT_SENT, SENT, NodeTooSlow("first_byte_timeout", "", sent=True)):
        assert may_retry(request_of(method), failure, attempts=1, most=3, replayable=True)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"LOCK", b"MKCOL", b"PROPFIND", b"PURGE"])
def test_others_only_when_nothing_was_sent(method: bytes) -> None:
    assert may_retry(request_of(method), NOT_SENT, attempts=1, most=3, replayable=True)
    assert not may_retry(request_of(method), SENT, attempts=1, most=3, replayable=True)
    assert not may_retry(request_of(method), NodeTooSlow("x", "", sent=True), attempts=1, most=3, replayable=True)


@pytest.mark.parametrize(("method", "failure"), [*itertools.product((b"GET", b"POST"), (NOT_SENT, SENT))])
def test_never_beyond_the_most_and_never_when_the_body_is_gone(method: bytes, failure: NodeFailed) -> None:
    request = request_of(method)
    assert not may_retry(request, failure, attempts=3, most=3, replayable=True)
    assert not may_retry(request, failure, attempts=1, most=1, replayable=True)
    assert not may_retry(request, failure, attempts=1, most=3, replayable=False)
