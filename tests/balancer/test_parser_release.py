"""What ended connections leave behind: nothing that waits for the garbage collector, which seldom looks at the old."""

import gc

import pytest

from balancer.http1_request import RequestParser
from balancer.http1_response import ResponseParser
from cluster.config import Limits


@pytest.mark.parametrize("kind", [RequestParser, ResponseParser])
def test_a_released_parser_is_freed_at_once(kind: type[RequestParser | ResponseParser]) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            kind(Limits()).release()
        assert gc.collect() == 0
    finally:
        gc.enable()
