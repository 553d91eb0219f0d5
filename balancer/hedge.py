"""A second attempt beside one that is late; whichever answers first is used, the other node is told to stop.

    first node ─── waited for ──┬─ answers ─────────────────────────────────► used
                                └─ hedge_after_s ─► second node asked too ──► used, if its head is whole before

Dean and Barroso, The Tail at Scale (2013), "hedged requests". It costs a second execution, so only requests that may be
executed twice are hedged, and each hedge is taken from the retry budget. An answer counts from the end of its head: one
that breaks off before, or is not HTTP, leaves it to the other.
"""

from typing import TYPE_CHECKING

import gevent

from balancer.stream import Interrupted, PeerReset
from cluster.errors import NodeFailed, OutOfFiles

if TYPE_CHECKING:
    from balancer.attempt import Attempt


class Overtaken(Exception):
    """The second node has answered first."""


def first_to_answer(first: "Attempt", after_s: float) -> "Attempt":
    """Wait for an answer's head; from `after_s` on, for a second node's as well. Whose it was; the other one is over.

    NodeFailed, the first's, when neither answers. PeerReset when the client goes away.
    """
    with Hedge(first, after_s) as hedge:
        try:
            first.read_head()
        except Overtaken:
            return hedge.take(None)
        except NodeFailed as failure:
            if not hedge.answers():
                raise
            return hedge.take(failure)
        return first


class Hedge:
    """The second attempt, in a greenlet of its own. Where the first waits, `Overtaken` is raised when this one answers.

    A context: at its end the second attempt is given up, unless it has been taken.
    """

    def __init__(self, first: "Attempt", after_s: float) -> None:
        self._first = first
        self._asked = False
        self._client_left = False  # which a socket says but once
        self._second: Attempt | None = None  # as soon as it has answered
        self._greenlet = gevent.spawn_later(after_s, self._run)

    def __enter__(self) -> "Hedge":
        return self

    def __exit__(self, *_: object) -> None:
        self._greenlet.kill()
        if self._second is not None:
            self._second.connection.close()
            self._first.exchange.ended(self._second.sending, None)
            self._second = None

    def answers(self) -> bool:
        """Wait for the second attempt, if one is under way. Whether it has answered. PeerReset."""
        if self._asked:
            self._greenlet.join()
            if self._client_left:
                raise PeerReset
        return self._second is not None

    def take(self, failure: NodeFailed | None) -> "Attempt":
        """The second attempt is the exchange's from now on. `failure`: the first's; None when it was only late."""
        first, exchange, second = self._first, self._first.exchange, self._second
        assert second is not None
        self._second = None
        ok = None
        if failure is not None and not first.connection.was_stale(failure):
            exchange.failed(first.sending.node, failure)
            ok = False
        exchange.ended(first.sending, ok)
        first.connection.close()
        exchange.use(second.sending)
        first.client.stream.awaits = second.connection.stream
        return second

    def _run(self) -> None:
        exchange = self._first.exchange
        sending = exchange.send_beside()
        if sending is None:
            return
        self._asked = True
        second, ok = None, None
        try:
            # A fresh connection: a kept one may just have been closed, and would be tried in vain.
            second = exchange.open(sending)
            second.send()
            second.read_head(aside=True)
            self._second = second
        except NodeFailed as failure:
            exchange.failed(sending.node, failure)
            ok = False  # the first may still answer; this one was a bonus
        except PeerReset:
            self._client_left = True
        except (OutOfFiles, Interrupted):
            pass
        finally:
            if self._second is None:
                if second is not None:
                    second.connection.close()
                exchange.ended(sending, ok)
        if self._second is not None:
            gevent.get_hub().loop.run_callback(self._overtake)

    def _overtake(self) -> None:
        """Unless the first is just passing a hint (1xx) on, or is done."""
        reading = self._first.connection.stream.reading
        if self._second is not None and reading is not None:
            reading.throw(Overtaken())
