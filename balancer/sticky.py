"""Stickiness: the node's name in a cookie, signed, so that a client cannot choose a node."""

import hashlib
import hmac

from cluster.config import Sticky

_SIGNATURE = 22  # hex digits


class StickyCookie:
    """Reads and writes the cookie. `secret`: the same for all workers and restarts."""

    def __init__(self, settings: Sticky, secret: str) -> None:
        self._name = settings.cookie.encode()
        self._attributes = b"; Path=/; HttpOnly; SameSite=Lax"
        if settings.max_age_s:
            self._attributes += b"; Max-Age=%d" % settings.max_age_s
        self._secret = secret.encode()

    def node_of(self, fields: list[tuple[bytes, bytes]]) -> str | None:
        """The node that the request's Cookie fields name; None without one, or with a wrong signature."""
        for field, value in fields:
            if field.lower() != b"cookie":
                continue
            for pair in value.split(b";"):
                name, _, content = pair.strip().partition(b"=")
                node, _, signature = content.partition(b".")
                if name == self._name and hmac.compare_digest(signature, self._sign(node)):
                    return node.decode("ascii")
        return None

    def line(self, node: str) -> bytes:
        """The Set-Cookie line for a node."""
        raw = node.encode("ascii")
        return b"Set-Cookie: %s=%s.%s%s" % (self._name, raw, self._sign(raw), self._attributes)

    def _sign(self, node: bytes) -> bytes:
        return hmac.new(self._secret, b"sticky " + node, hashlib.sha256).hexdigest()[:_SIGNATURE].encode()
