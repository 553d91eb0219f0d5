"""What becomes of each field of a client's request. Everything not named here is forwarded as it came."""

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
