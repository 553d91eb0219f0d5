"""May this request be tried again?"""

from balancer.http1_request import Request
from cluster.errors import NodeFailed

BURST = 100.0  # retries that may follow at once, as when a node with many requests in flight dies
PER_SECOND = 10.0  # retries a second that are allowed however few requests there are


class RetryBudget:
    """Retries are a share of the traffic, so that they cannot multiply the load when everything fails (Finagle, Envoy).

    Each request brings `share` of a retry, each second `PER_SECOND`; each retry takes one; at most `BURST` are kept.
    """

    __slots__ = ("_at", "_saved", "_share")

    def __init__(self, share: float, now: float) -> None:
        self._share = share
        self._saved = BURST
        self._at = now

    def request(self) -> None:
        """A request came."""
        if self._saved < BURST:
            self._saved += self._share

    def take(self, now: float) -> bool:
        """Whether one more retry may be done; it is counted if so."""
        self._saved = min(BURST, self._saved + (now - self._at) * PER_SECOND)
        self._at = now
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


def may_retry(request: Request, failure: NodeFailed, *, attempts: int, most: int, replayable: bool) -> bool:
    """Whether another attempt may follow. The caller has made sure that the client has received nothing yet.

    A connection that never opened carried nothing: any method may go on. Once bytes were sent, only an idempotent
    request may (RFC 9110 section 9.2.2), and only if its body can still be sent from the beginning.
    """
    if attempts >= most or not replayable:
        return False
    return not failure.sent or request.idempotent
