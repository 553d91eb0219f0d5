"""What becomes of each field of a client's request, and what its fields say about its framing.

Everything not named here is forwarded as it came. RFC 9110 section 7.6 and RFC 9112 section 6.
"""

import re

from cluster.config import Limits
from cluster.errors import BadRequest, NotImplementedHere, TooLarge

Fields = list[tuple[bytes, bytes]]

FORWARD = -1
(DROP, HOST, CONNECTION, LENGTH, CODING, EXPECT, UPGRADE, FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, FORWARDED,
 VIA, ID, TRACE, CLAIM, MAX_FORWARDS) = range(16)  # fmt: skip
ACTIONS = {
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"te": DROP,
    b"trailer": DROP,
    b"http2-settings": DROP,  # belongs to an upgrade that is not done
    b"proxy": DROP,  # a CGI program would take it for its own proxy (HTTP_PROXY)
    b"host": HOST,
    b"connection": CONNECTION,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"expect": EXPECT,
    b"upgrade": UPGRADE,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-host": FORWARDED_HOST,
    b"x-forwarded-proto": FORWARDED_PROTO,
    b"forwarded": FORWARDED,
    b"via": VIA,
    b"x-request-id": ID,
    b"traceparent": TRACE,
    b"x-real-ip": CLAIM,
    b"max-forwards": MAX_FORWARDS,
}
FORWARDED_NAMES = frozenset(
    {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"forwarded", b"via", b"traceparent"}
)
_JOINED = frozenset({FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, FORWARDED, VIA})
NEVER_NAMED = frozenset({b"content-length", b"transfer-encoding", b"host", b"connection"})  # by Connection


class FieldActions(dict[bytes, int]):
    """Field name as sent -> action, learned as names come by."""

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        # Nodes may be WSGI, where X_Forwarded_For and X-Forwarded-For are one: such names are not passed on.
        action = DROP if b"_" in lower else ACTIONS.get(lower, FORWARD)
        if action == FORWARD and lower.startswith(b"x-forwarded-"):
            action = CLAIM  # -Port, -Ssl, -Prefix ...: a node may believe them, so only trusted proxies may say them
        if len(self) < 2000:
            self[name] = action
        return action


actions_of = FieldActions()

_TRACE = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)  # W3C Trace Context 3.2
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")
_OWS = b" \t"


_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"})


class SortedFields:
    """What the fields of a head say, whatever its target.

    Clients repeat their fields from request to request, so a connection keeps the last ones, and who makes the node's
    head from them keeps its part in `for_node`. Nothing here may be changed for one request.
    """

    __slots__ = (
        "chunked", "closes", "expects_continue", "for_node", "forwarded", "has_body", "hosts", "id", "idempotent",
        "kept", "last_hop", "length", "method", "raw", "upgrade", "version_1_1",
    )  # fmt: skip

    def __init__(self, method: bytes, raw: Fields, version_1_1: bool) -> None:
        self.method = method
        self.raw = raw
        self.version_1_1 = version_1_1
        self.idempotent = method in _IDEMPOTENT
        self.kept: Fields = []
        self.hosts: list[bytes] = []
        self.id = b""
        self.forwarded: dict[int, bytes] = {}
        self.length: int | None = None
        self.chunked = False
        self.has_body = False
        self.closes = False  # Connection: close, whatever else it says (RFC 9112 section 9.3)
        self.expects_continue = False
        self.last_hop = False  # Max-Forwards: 0, so it is for us to answer
        self.upgrade = b""
        self.for_node: bytes | None = None

    def same(self, method: bytes, raw: Fields, version_1_1: bool) -> bool:
        """Whether sorting these would bring the same."""
        return raw == self.raw and method == self.method and version_1_1 is self.version_1_1


def sort_fields(method: bytes, raw: Fields, version_1_1: bool, limits: Limits, trusting: bool) -> SortedFields:
    """Sort them, and refuse what could be read in two ways (BadRequest). `trusting`: keep what is claimed (CLAIM)."""
    found = SortedFields(method, raw, version_1_1)
    lengths: list[bytes] = []
    codings: list[bytes] = []
    named: set[bytes] = set()
    upgrade = b""
    for field in raw:
        name, value = field
        action = actions_of[name]
        if action == FORWARD or (action == CLAIM and trusting):
            found.kept.append(field)
        elif action == HOST:
            found.hosts.append(value)
        elif action == CONNECTION:
            named.update(token.strip().lower() for token in value.split(b","))
        elif action == LENGTH:
            lengths.append(value.strip(_OWS))
        elif action == CODING:
            codings.append(value.rstrip(b" "))  # with a tab llhttp refuses it
        elif action == EXPECT:
            if value.strip(_OWS).lower() != b"100-continue":
                raise NotImplementedHere("expectation", "only Expect: 100-continue is understood", 417)
            found.expects_continue = version_1_1
        elif action == UPGRADE:
            upgrade = value.strip(_OWS)
        elif action == TRACE:
            if _TRACE.fullmatch(value) and TRACE not in found.forwarded:
                found.forwarded[TRACE] = value
        elif action == ID:
            if _REQUEST_ID.fullmatch(value):
                found.id = value
        elif action == MAX_FORWARDS:
            found.kept.append((name, _hops_left(found, value)))
        elif action in _JOINED:  # ours to extend or replace
            before = found.forwarded.get(action)
            found.forwarded[action] = value if before is None else before + b", " + value
    found.closes = b"close" in named
    if drop := named - NEVER_NAMED:
        found.kept = [field for field in found.kept if field[0].lower() not in drop]
        for name in drop & FORWARDED_NAMES:
            found.forwarded.pop(ACTIONS[name], None)
        if b"x-request-id" in drop:
            found.id = b""
    _check_framing(found, lengths, codings, limits)
    if upgrade.lower() == b"websocket" and b"upgrade" in named and method == b"GET" and version_1_1:
        found.upgrade = b"" if found.has_body else upgrade
    if found.has_body and method == b"TRACE":
        raise BadRequest("trace_with_content", "a TRACE request has no content (RFC 9110 section 9.3.8)")
    return found


def _hops_left(found: SortedFields, value: bytes) -> bytes:
    """RFC 9110 section 7.6.2: for OPTIONS and TRACE one less at each hop, and who gets 0 answers."""
    if found.method not in (b"OPTIONS", b"TRACE"):
        return value
    if not value.strip(_OWS).isdigit() or len(value) > 18:
        raise BadRequest("max_forwards", "Max-Forwards must be digits")
    found.last_hop = found.last_hop or not int(value)
    return b"%d" % max(0, int(value) - 1)


def _check_framing(found: SortedFields, lengths: list[bytes], codings: list[bytes], limits: Limits) -> None:
    """RFC 9112 section 6.3: one length, or exactly `chunked`, never both."""
    if codings:
        if not found.version_1_1:
            raise BadRequest("coding_in_1_0", "Transfer-Encoding in an HTTP/1.0 request")
        coding = b",".join(codings).lower()
        if coding != b"chunked":
            if coding.rpartition(b",")[2].strip(_OWS) != b"chunked" or coding.count(b"chunked") > 1:
                raise BadRequest("coding", "Transfer-Encoding must end with chunked, once (RFC 9112 section 6.3)")
            raise NotImplementedHere("coding", "no Transfer-Encoding but chunked is understood")
        if lengths:
            raise BadRequest("length_and_coding", "both Content-Length and Transfer-Encoding")
        found.chunked = found.has_body = True
    elif lengths:
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
            raise BadRequest("length", "Content-Length must be there once, as digits")
        found.length = int(lengths[0])
        found.has_body = found.length > 0
        if limits.body_bytes and found.length > limits.body_bytes:
            raise TooLarge("body_too_large", f"the body is over {limits.body_bytes} bytes", 413)
