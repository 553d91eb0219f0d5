"""One request, from its head to the end of its answer: pick, attempt, relay, and again if that is allowed.

    pick a node ─► connection to it ─► send head and body ─► read its head ─► relay its body ─► done
       ▲                │ refused           │ reset               │ late, closed      │ cut off
       └── another node ┴───── if may_retry ┴─────────────────────┘                   └─► client's connection is cut too

In flight goes up with the pick and down in `finally`, so however an attempt ends the scoreboard returns to zero. What
happens inside an attempt is in attempt.py.
"""

from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent

from balancer.algorithms import Need
from balancer.attempt import Attempt
from balancer.http1_request import Request
from balancer.http1_response import ResponseParser
from balancer.node_record import NodeRecord
from balancer.retry import may_retry
from balancer.scoreboard_layout import (
    N_BAD_ANSWERS,
    N_RETRIED,
    S_BYTES_IN,
    S_BYTES_OUT,
    S_ERRORS,
    S_IN_FLIGHT,
    S_QUEUED,
    S_REQUESTS,
    S_RETRIES,
)
from balancer.stream import PeerReset
from cluster.errors import AllBusy, ClientGone, NodeFailed, NoReadyNode, OutOfFiles, ProxyError
from cluster.histogram import bucket_of
from cluster.states import Health
from cluster.wire import orca_to_report

if TYPE_CHECKING:
    from balancer.connection import ClientConnection

HOLD_S = 0.1  # between two rounds of knocking at nodes of which none can be reached
SELDOM_REPORT_S = 0.25  # how often a report is read while the algorithm in force needs none


class Sending(NamedTuple):
    """A node has been picked for the request and counts it as in flight, until `Exchange.ended`."""

    node: NodeRecord
    begun: float
    unqueued: bool
    """The node had a free slot."""
    tell_end: Callable[..., Any] | None
    """Of the algorithm that picked; by the end there may be another."""


class Exchange:
    """One request and what became of it."""

    __slots__ = (
        "attempts",
        "bytes_out",
        "client",
        "end",
        "group",
        "head_sent",
        "node",
        "path",
        "queued_s",
        "replay",
        "request",
        "sending",
        "started",
        "status",
        "stuck",
        "told_ms",
        "tried",
        "uploaded",
    )  # fmt: skip

    def __init__(self, client: "ClientConnection", request: Request) -> None:
        self.client = client
        self.path = client.path
        self.request = request
        self.started = monotonic()
        self.attempts = 0
        self.bytes_out = 0
        self.status = 0
        self.node: NodeRecord | None = None
        self.sending: Sending  # the attempt that is under way
        self.tried: list[NodeRecord] = []  # nodes that failed it
        self.head_sent = False  # something has reached the client: no retry, no answer of ours
        self.replay: list[bytes] | None = []  # body sent so far, as long as it can be sent again
        self.uploaded = False  # the whole body has been taken from the client (and lies in `replay`, if that is kept)
        self.group = client.path.routes.group_of(request.target)
        self.stuck: str | None = None  # the node that the client's sticky cookie names
        self.queued_s = 0.0
        self.told_ms = 0.0  # the service time that the node told with its answer
        self.end = "ok"

    def run(self) -> None:
        """Carry it through. Afterwards the client connection knows whether it may go on."""
        board = self.path.board
        board.q[board.own + S_IN_FLIGHT] += 1
        try:
            self._until_answered()
        except ProxyError as error:
            self._fail(error)
        except PeerReset:
            self._fail(ClientGone("client_reset", "the client reset its connection"))
        finally:
            board.q[board.own + S_IN_FLIGHT] -= 1
            self._account()

    # -- attempts ----------------------------------------------------------------------------------------------------

    def _until_answered(self) -> None:
        path, board, request = self.path, self.path.board, self.request
        if not request.id:
            request.id = path.new_id()
        path.retry_budget.request()
        while True:
            self.use(self._sent_to(self._pick()))
            unreached: NodeFailed | None = None
            ok = None
            try:
                self._attempt()
                sending = self.sending  # a hedge may have made it another one
                now = monotonic()
                took = now - sending.begun
                ok = None if self.status == 101 else self.status < 500  # how long a tunnel lasts says nothing
                sending.node.answered(took * 1e3, bucket_of(took), ok is True, sending.unqueued, now)
                if ok is False:
                    board.q[sending.node.own + N_BAD_ANSWERS] += 1
                return
            except NodeFailed as failure:
                ok, node = False, self.sending.node
                self.failed(node, failure)
                replayable = not self.head_sent and self.replay is not None
                most = path.retries.attempts
                allowed = may_retry(request, failure, attempts=self.attempts, most=most, replayable=replayable)
                if allowed and path.retry_budget.take(monotonic()):
                    self._count_retry(node)
                elif replayable and (not failure.sent or self._all_died(failure)):
                    unreached = failure
                else:
                    raise
            finally:
                self.ended(self.sending, ok)
            if unreached is not None:
                self._hold(unreached)

    def _sent_to(self, node: NodeRecord) -> Sending:
        self.attempts += 1
        unqueued = node.slots is None or node.in_flight <= node.slots
        return Sending(node, monotonic(), unqueued, self.path.picker.tell_end)

    def use(self, sending: Sending) -> None:
        """This attempt is the one whose answer the client gets."""
        self.sending, self.node = sending, sending.node

    def ended(self, sending: Sending, ok: bool | None) -> None:
        """An attempt is over. `ok`: None when that says nothing of the node."""
        node, begun, unqueued, tell_end = sending
        node.end()
        if tell_end is not None:
            now = monotonic()
            took_ms = (now - begun) * 1e3
            service_ms = self.told_ms or (took_ms if node.slots and unqueued else 0.0)
            tell_end(node, self.request, now, took_ms, service_ms, ok)
        if self.path.queue.line:
            self.path.queue.wake()

    def failed(self, node: NodeRecord, failure: NodeFailed) -> None:
        """An attempt at this node did not bring an answer."""
        path, now = self.path, monotonic()
        path.picker.doubt(node, now)
        if path.ejector.failed(node, failure.reason, now):
            path.picker.refresh(now)
        self.tried.append(node)

    def send_beside(self) -> Sending | None:
        """Pick another node for a second attempt beside the one under way; None when it should not be made."""
        path, first, now = self.path, self.sending.node, monotonic()
        if self.is_last_attempt() or self.replay is None or self.stuck == first.name or path.queue.line:
            return None  # the client's session is there; or others wait for the place that it would take
        asked = [*self.tried, first]
        if not any(node.has_room and node not in asked for node in path.picker.ready_in(self.group, now)):
            return None
        if not path.retry_budget.take(now):
            return None
        try:
            node = self._choose(asked)
        except NoReadyNode:  # who has room is in its slow start, and not on offer now
            return None
        self._count_retry(node)
        return self._sent_to(node)

    def _count_retry(self, node: NodeRecord) -> None:
        board = self.path.board
        board.q[node.own + N_RETRIED] += 1
        board.q[board.own + S_RETRIES] += 1

    def _all_died(self, failure: NodeFailed) -> bool:
        """Whether every ready node broke this request off and takes no connection: not the request's fault."""
        ready = self.path.picker.ready
        return (
            self.request.idempotent
            and failure.reason in ("closed", "reset")
            and all(node in self.tried for node in ready)
            and not any(self._accepts(node) for node in ready)
        )

    def _accepts(self, node: NodeRecord) -> bool:
        try:
            self.path.pools[node.index].open().close()
        except NodeFailed:
            return False
        return True

    def _hold(self, failure: NodeFailed) -> None:
        """No node took a connection, and the probes do not know it yet: for the client that is as if none was ready.

        What may be sent again knocks again after a moment, until `no_node_s` is over (503, not 502).
        """
        if monotonic() >= self.started + self.path.timeouts.no_node_s:
            raise NoReadyNode("no_node_reached", f"no node could be reached; the last: {failure.text}") from failure
        gevent.sleep(HOLD_S)
        self._check_client()

    def _pick(self) -> NodeRecord:
        """A node; waits a little when none is ready, because one may be back in a moment."""
        path = self.path
        if path.sticky:
            self.stuck = path.sticky.node_of(self.request.fields)
        while True:
            try:
                return self._choose(self.tried) if not path.queue.line else self._queued()
            except AllBusy:
                return self._queued()
            except NoReadyNode as error:
                if error.reason != "no_ready_node" or monotonic() >= self.started + path.timeouts.no_node_s:
                    raise
                gevent.sleep(0.05)
                self._check_client()

    def _choose(self, tried: list[NodeRecord]) -> NodeRecord:
        path, request = self.path, self.request
        request.sequence = path.picker.sequence(self.group)
        return path.picker.pick(request, tried, monotonic(), self.group, self.stuck)

    def _queued(self) -> NodeRecord:
        """Wait in line for a node that has room."""
        board, begun = self.path.board, monotonic()
        board.q[board.own + S_QUEUED] += 1
        try:
            return self.path.queue.wait(lambda: self._choose(self.tried), self._check_client)
        finally:
            board.q[board.own + S_QUEUED] -= 1
            self.queued_s += monotonic() - begun

    def _check_client(self) -> None:
        if self.client.stream.was_reset():
            raise ClientGone("client_reset", "the client went away while its request waited for a node")

    def _attempt(self) -> None:
        pool = self.path.pools[self.sending.node.index]
        kept = pool.take() if self.request.idempotent and not self.request.upgrade else None
        if kept is not None:
            try:
                Attempt(self, self.sending, kept).run()
                return
            except NodeFailed as failure:
                if not kept.was_stale(failure) or self.head_sent or self.replay is None:
                    raise  # else a fresh one will do
        try:
            attempt = self.open(self.sending)
        except OutOfFiles:
            self.path.close_idle()  # kept connections are the first that can be spared
            attempt = self.open(self.sending)
        attempt.run()

    def open(self, sending: Sending) -> Attempt:
        """An attempt on a fresh connection. NodeFailed or OutOfFiles."""
        return Attempt(self, sending, self.path.pools[sending.node.index].open())

    # -- afterwards --------------------------------------------------------------------------------------------------

    def is_down(self, node: NodeRecord) -> bool:
        """Whether the probes have given up a node that we wait for, while another one is ready."""
        return node.health is Health.DOWN and bool(self.path.picker.ready)

    def is_last_attempt(self) -> bool:
        """Whether no further attempt is allowed, so that waiting on is the better choice."""
        return self.attempts >= self.path.retries.attempts

    def heard(self, parser: ResponseParser) -> None:
        """The node's head came: take the load report that is in it, if one is wanted now."""
        node = self.node
        if parser.orca is None or node is None:
            return
        path, now = self.path, monotonic()
        if Need.REPORT in path.picker.algorithm.needs or now - path.report_seen[node.index] > SELDOM_REPORT_S:
            report = orca_to_report(parser.orca.decode("latin-1"))
            if report is not None:
                self.told_ms = report.get("request_ms", 0.0)
                path.heard(node.index, report, now)

    def _fail(self, error: ProxyError) -> None:
        """Tell the client, unless it is gone or has part of an answer, which must stay visibly cut off."""
        self.end = error.reason
        if self.head_sent or isinstance(error, ClientGone):
            self.status = self.status or error.status
            self.client.abort()
            return
        self.status = error.status
        self.bytes_out += self.client.answer_error(error, self.request)

    def _account(self) -> None:
        path, request = self.path, self.request
        board = path.board
        took = monotonic() - self.started
        q, own = board.q, board.own
        q[own + S_REQUESTS] += 1
        q[own + S_BYTES_IN] += request.body_bytes
        q[own + S_BYTES_OUT] += self.bytes_out
        if self.end != "ok" and self.status >= 500:
            q[own + S_ERRORS] += 1
        q[board.own_histogram + bucket_of(took)] += 1
        path.access.write(
            _ACCESS
            % (
                time(), request.id.decode(), request.client_key, request.method.decode(),
                quoted(request.target.decode("latin-1")), self.status, f'"{self.node.name}"' if self.node else "null",
                path.picker.algorithm.key, self.attempts, took * 1e3, self.queued_s * 1e3, request.body_bytes,
                self.bytes_out, self.end,
            )
        )  # fmt: skip


# The id, the method and the client's address hold nothing that JSON would need escaped; only the target may.
_ACCESS = (
    '{"at":%.3f,"id":"%s","client":"%s","method":"%s","target":%s,"status":%d,"node":%s,"why":"%s","attempts":%d,'
    '"ms":%.3f,"queued_ms":%.3f,"bytes_in":%d,"bytes_out":%d,"end":"%s"}'
)
