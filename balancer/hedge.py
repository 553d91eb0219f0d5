"""A second attempt beside one that is late; whichever answer begins first is used, the other node is told to stop.

    first node ─── waited for ──┬─ begins to answer ─► used
                                └─ hedge_after_s ─► second node asked too ─► whose answer begins first is used

Dean and Barroso, The Tail at Scale (2013), "hedged requests". It costs a second execution, so only requests that may be
executed twice are hedged, and each hedge is taken from the retry budget.
"""

from typing import TYPE_CHECKING

import gevent

from balancer.node_head import request_head
from balancer.stream import Interrupted, Stream, TimedOut
from balancer.upstream import NodeConnection, NodePool
from cluster.errors import NodeFailed, ProxyError

if TYPE_CHECKING:
    from balancer.exchange import Exchange, Sending


class Overtaken(Exception):
    """The second node's answer has begun first."""


class Hedge:
    """The second attempt, in a greenlet of its own. `first`: where the caller waits; it gets `Overtaken` there.

    A context: at its end the second attempt is given up, unless the caller has taken it.
    """

    def __init__(self, exchange: "Exchange", first: Stream, after_s: float) -> None:
        self._exchange = exchange
        self._first = first
        self._sending: Sending | None = None
        self._connection: NodeConnection | None = None
        self._answers = False
        self._greenlet = gevent.spawn_later(after_s, self._run)

    def __enter__(self) -> "Hedge":
        return self

    def __exit__(self, *_: object) -> None:
        self._greenlet.kill()
        self._give_up()

    def begun(self) -> bool:
        """Wait for the second attempt, if one is under way. Whether its answer has begun."""
        if self._sending is not None:
            self._greenlet.join()
        return self._answers

    def take(self) -> tuple["Sending", NodeConnection, NodePool]:
        """The second attempt is the caller's from now on."""
        assert self._sending is not None
        assert self._connection is not None
        taken = self._sending, self._connection, self._pool
        self._sending = self._connection = None
        return taken

    def _run(self) -> None:
        try:
            self._ask()
        except (ProxyError, OSError, TimedOut, Interrupted):
            self._give_up()  # the first may still answer; this one was a bonus
        if self._answers:
            gevent.get_hub().loop.run_callback(self._overtake)

    def _overtake(self) -> None:
        if self._connection is not None and self._first.reading is not None:
            self._first.reading.throw(Overtaken())

    def _ask(self) -> None:
        exchange = self._exchange
        self._sending = exchange.send_beside()
        if self._sending is None:
            return
        path, request, client = exchange.path, exchange.request, exchange.client
        self._pool = path.pools[self._sending.node.index]
        # A fresh connection: a kept one may just have been closed, which would look like an answer that begins.
        self._connection = self._pool.open()
        stream = self._connection.stream
        head = request_head(request, client.origin, self._pool.authority)
        stream.send(head + b"".join(exchange.replay or ()), path.timeouts.idle_s)
        stream.wait_readable(path.timeouts.first_byte_s)
        if stream.has_ended():
            raise NodeFailed("closed", f"node {self._pool.name} closed without an answer", sent=True)
        self._answers = True

    def _give_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._sending is not None:
            self._exchange.ended(self._sending, None)
        self._sending = self._connection = None
