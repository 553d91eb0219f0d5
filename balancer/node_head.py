"""The head that a node gets: the client's own request line and fields, and ours that say where it came from."""

from random import getrandbits
from typing import NamedTuple

from balancer.http1_fields import FORWARDED, FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, TRACE, VIA
from balancer.http1_request import Request

_TRACE_BEGIN = b"%016x" % (getrandbits(64) or 1)  # half of a trace id; the other half is another one each time
EXPECT = b"Expect: 100-continue\r\n"


class Origin(NamedTuple):
    """Where a client's connection comes from, as it is told to nodes."""

    address: bytes
    """As in X-Forwarded-For."""
    identifier: bytes
    """The same as in Forwarded's `for`: IPv6 in brackets (RFC 7239 section 6)."""
    scheme: bytes
    trusted: bool
    """A proxy whose own X-Forwarded-* and Forwarded are believed."""


def request_head(request: Request, origin: Origin, authority: bytes, expect: bytes = b"") -> bytes:
    """All of it, with the blank line. `authority`: the node's, for clients without Host; `expect`: EXPECT or nothing.

    What depends on the fields and the origin alone is made once for a connection that repeats its fields.
    """
    fields = request.sorted
    lines = fields.for_node
    if lines is None or request.host != fields.hosts[0]:
        lines = _lines(request, origin, authority)
        if fields.hosts and request.host == fields.hosts[0]:
            fields.for_node = lines
    if request.upgrade:
        expect += b"Connection: Upgrade\r\nUpgrade: %s\r\n" % request.upgrade
    if not request.trace:  # of its own, and the same in every attempt
        request.trace = fields.forwarded.get(TRACE) or new_trace()
    return b"%s %s HTTP/1.1\r\n%s%sX-Request-Id: %s\r\ntraceparent: %s\r\n\r\n" % (
        request.method, request.target, lines, expect, request.id, request.trace,
    )  # fmt: skip


def new_trace() -> bytes:
    """A traceparent of its own (W3C Trace Context, section 3.2), not sampled."""
    return b"00-%s%016x-%016x-00" % (_TRACE_BEGIN, getrandbits(64), getrandbits(64) or 1)


def _lines(request: Request, origin: Origin, authority: bytes) -> bytes:
    came, via = request.sorted.forwarded, b"1.1 fairlead" if request.version_1_1 else b"1.0 fairlead"
    address, host, proto = origin.address, request.host, origin.scheme
    hop = b'for="%s";host="%s";proto=%s' % (origin.identifier, request.host, origin.scheme)
    if VIA in came:
        via = came[VIA] + b", " + via
    if origin.trusted:
        if FORWARDED_FOR in came:
            address = came[FORWARDED_FOR] + b", " + address
        host, proto = came.get(FORWARDED_HOST, host), came.get(FORWARDED_PROTO, proto)
        if FORWARDED in came:
            hop = came[FORWARDED] + b", " + hop
    lines = [(b"Host", request.host or authority), *request.fields]
    if request.chunked:
        lines.append((b"Transfer-Encoding", b"chunked"))
    elif request.length is not None:
        lines.append((b"Content-Length", b"%d" % request.length))
    lines += [
        (b"X-Forwarded-For", address),
        (b"X-Forwarded-Host", host),
        (b"X-Forwarded-Proto", proto),
        (b"Forwarded", hop),
        (b"Via", via),
    ]
    return b"".join([b"%s: %s\r\n" % line for line in lines])
