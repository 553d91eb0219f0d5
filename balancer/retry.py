"""May this request be tried again?"""

from balancer.http1_request import Request
from cluster.errors import NodeFailed


def may_retry(request: Request, failure: NodeFailed, *, attempts: int, most: int, replayable: bool) -> bool:
    """Whether another attempt may follow. The caller has made sure that the client has received nothing yet.

    A connection that never opened carried nothing: any method may go on. Once bytes were sent, only an idempotent
    request may (RFC 9110 section 9.2.2), and only if its body can still be sent from the beginning.
    """
    if attempts >= most or not replayable:
        return False
    return not failure.sent or request.idempotent
