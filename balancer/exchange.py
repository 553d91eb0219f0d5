"""One request, from its head to the end of its answer: pick, attempt, relay, and again if that is allowed.

    pick a node ─► connection to it ─► send head and body ─► read its head ─► relay its body ─► done
       ▲                │ refused           │ reset               │ late, closed      │ cut off
       └── another node ┴───── if may_retry ┴─────────────────────┘                   └─► client's connection is cut too

Nothing is held whole: a body goes on as it comes, and who reads slowly slows the sender. In flight goes up with the
pick and down in `finally`, so however an attempt ends the scoreboard returns to zero.
"""

import http
from time import monotonic, time
from typing import TYPE_CHECKING

import gevent

from balancer.algorithms import Need
from balancer.histogram import bucket_of
from balancer.http1 import FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, VIA, Request, ResponseParser, request_head
from balancer.node_record import NodeRecord
from balancer.retry import REPLAY_BYTES, may_retry
from balancer.scoreboard_layout import N_RETRIED, S_BYTES_IN, S_BYTES_OUT, S_ERRORS, S_IN_FLIGHT, S_REQUESTS, S_RETRIES
from balancer.stream import PeerReset, Stream, TimedOut
from balancer.tunnel import tunnel
from balancer.upstream import NodeConnection, NodePool
from cluster.errors import ClientGone, NodeFailed, NodeTooSlow, NoReadyNode, ProxyError
from cluster.wire import orca_to_report

if TYPE_CHECKING:
    from balancer.connection import ClientConnection

SELDOM_REPORT_S = 0.25  # how often a report is read while the algorithm in force needs none
CONTINUE_S = 1.0  # how long a node may take to say 100 Continue before we say it (RFC 9110 section 10.1.1)


class Exchange:
    """One request and what became of it."""

    __slots__ = (
        "attempts",
        "bytes_out",
        "client",
        "end",
        "head_sent",
        "node",
        "path",
        "replay",
        "request",
        "started",
        "status",
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
        self.head_sent = False  # something has reached the client: no retry, no answer of ours
        self.replay: list[bytes] | None = []  # body sent so far, as long as it can be sent again
        self.uploaded = False  # the whole body has been taken from the client (and lies in `replay`, if that is kept)
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
        path, request = self.path, self.request
        if not request.id:
            request.id = path.new_id()
        tried: list[NodeRecord] = []
        while True:
            node = self._pick(tried)
            self.node = node
            self.attempts += 1
            begun = monotonic()
            unqueued = node.slots is None or node.in_flight <= node.slots
            try:
                self._attempt(node, path.pools[node.index])
                took = monotonic() - begun
                node.answered(took * 1e3, bucket_of(took), unqueued, begun + took)
                return
            except NodeFailed as failure:
                if path.ejector.failed(node, failure.reason, monotonic()):
                    path.picker.refresh(monotonic())
                replayable = not self.head_sent and self.replay is not None
                most = path.retries.attempts
                if not may_retry(request, failure, attempts=self.attempts, most=most, replayable=replayable):
                    raise
                tried.append(node)
                board = path.board
                board.q[node.own + N_RETRIED] += 1
                board.q[board.own + S_RETRIES] += 1
            finally:
                node.end()

    def _pick(self, tried: list[NodeRecord]) -> NodeRecord:
        """A node; waits a little when none is ready, because one may be back in a moment."""
        picker, request = self.path.picker, self.request
        deadline = self.started + self.path.timeouts.no_node_s
        while True:
            try:
                request.sequence = picker.sequence()
                node = picker.pick(request, tried, monotonic())
                self.path.log_decision(node.name, [n.name for n in picker.ready], request.sequence)
                return node
            except NoReadyNode:
                if monotonic() >= deadline:
                    raise
                gevent.sleep(0.05)
                if self.client.stream.was_reset():
                    raise ClientGone("client_reset", "the client went away while no node was ready") from None

    def _attempt(self, node: NodeRecord, pool: NodePool) -> None:
        kept = pool.take() if self.request.idempotent and not self.request.upgrade else None
        if kept is not None:
            try:
                self._once(kept, node, pool)
                return
            except NodeFailed as failure:
                # The node closed a kept connection at the moment we used it: nobody's fault, a fresh one will do.
                gone = failure.reason in ("closed", "reset") and not kept.parser.head_bytes
                if not gone or self.head_sent or self.replay is None:
                    raise
        self._once(pool.open(), node, pool)

    def _once(self, connection: NodeConnection, node: NodeRecord, pool: NodePool) -> None:
        """Send the request and relay the answer over one connection, which is kept or closed at the end."""
        stream, parser = connection.stream, connection.parser
        stream.on_behalf_of = self.client.stream
        keep = False
        try:
            parser.begin()
            try:
                try:
                    self._send_request(stream, parser, pool)
                except OSError:
                    if not self.request.has_body:
                        raise  # with a body: the node may have answered before it closed (413), so look
                self._read_head(stream, parser, pool.name)
            except TimedOut:
                limit = self.path.timeouts.first_byte_s
                text = f"node {pool.name} sent no answer within {limit:g} s"
                raise NodeTooSlow("first_byte_timeout", text, sent=True) from None
            except OSError as error:
                raise NodeFailed("reset", f"node {pool.name} broke off: {error}", sent=True) from None
            self._note_report(node, parser)
            if parser.status == 101:
                self._tunnel(connection)
            else:
                keep = self._relay(connection, pool.name)
        finally:
            stream.on_behalf_of = None
            if keep:
                pool.give_back(connection)
            else:
                connection.close()

    # -- request up --------------------------------------------------------------------------------------------------

    def _send_request(self, stream: Stream, parser: ResponseParser, pool: NodePool) -> None:
        request, idle_s = self.request, self.path.timeouts.idle_s
        head = request_head(request, pool.authority, self._forwarded())
        if not request.has_body:
            stream.send(head, idle_s)
            return
        if self.replay:  # a second attempt: what was already read from the client comes first
            head += b"".join(self.replay)
            if self.uploaded:
                stream.send(head, idle_s)
                return
        elif request.expects_continue and not request.chunks and not request.complete:
            stream.send(head, idle_s)
            if not self._await_continue(stream, parser, pool.name):
                return
            head = b""
        while True:
            piece = self._body_piece()
            if piece is not None:
                head += piece
                if request.complete and not request.chunks:
                    stream.send(head, idle_s)
                    return
                if len(head) < 65536 and request.chunks:
                    continue
            if head:
                stream.send(head, idle_s)
                head = b""
            if request.complete and not request.chunks:
                return
            if not request.chunks and not self.client.more_body(request, stream):
                return  # the node speaks already: its answer counts, the rest of the body does not

    def _body_piece(self) -> bytes | None:
        """What has come of the body, framed for the node; None when nothing has."""
        request = self.request
        if not request.chunks and not request.complete:
            return None
        data = b"".join(request.chunks)
        request.chunks.clear()
        if request.chunked:
            framed = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
            if request.complete:
                framed += b"0\r\n\r\n"
        else:
            framed = data
        self.uploaded = request.complete
        if self.replay is not None:
            self.replay.append(framed)
            if request.body_bytes > REPLAY_BYTES:
                self.replay = None
        return framed

    def _await_continue(self, stream: Stream, parser: ResponseParser, name: str) -> bool:
        """Wait for the node's 100 Continue and pass it on; False when it gave its final answer at once."""
        try:
            while not parser.continued and not parser.head_complete:
                data = stream.recv(CONTINUE_S)
                if not data:
                    raise NodeFailed("closed", f"node {name} closed without an answer", sent=True)
                parser.feed(data)
        except TimedOut:
            pass  # it does not know of 100: the body is sent all the same
        if parser.head_complete:
            return False
        self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.request.expects_continue = False
        return True

    def _forwarded(self) -> bytes:
        """The fields that tell the node about the client, and the blank line."""
        request, client = self.request, self.client
        came, via = request.forwarded, b"1.1 fairlead"
        address, host, proto = client.address, request.host, client.scheme
        if came:
            if VIA in came:
                via = came[VIA] + b", " + via
            if client.trusted:
                if FORWARDED_FOR in came:
                    address = came[FORWARDED_FOR] + b", " + address
                host, proto = came.get(FORWARDED_HOST, host), came.get(FORWARDED_PROTO, proto)
        return _FORWARDED % (address, host, proto, via, request.id)

    # -- answer down -------------------------------------------------------------------------------------------------

    def _read_head(self, stream: Stream, parser: ResponseParser, name: str) -> None:
        limit_s = self.path.timeouts.first_byte_s
        while not parser.head_complete:
            data = stream.recv(limit_s)
            if not data:
                raise NodeFailed("closed", f"node {name} closed without an answer", sent=True)
            rest = parser.feed(data)
            if parser.informational:
                if self.request.version_1_1:
                    self.client.send(b"".join(parser.informational))
                parser.informational.clear()
            if rest and parser.status == 101:
                parser.body.append(rest)

    def _relay(self, connection: NodeConnection, name: str) -> bool:
        """Send the answer on to the client as it comes. Returns whether the node's connection may be kept."""
        parser, request, client = connection.parser, self.request, self.client
        self.status = status = parser.status
        bodyless = request.method == b"HEAD" or status == 204 or status == 304
        chunked = not bodyless and parser.length is None and request.version_1_1
        if not bodyless and parser.length is None and not chunked:
            client.keep = False  # HTTP/1.0: the end of the body is the end of the connection
        if not request.complete:
            client.keep = False  # the rest of its body would be taken for the next request
        head = self._answer_head(parser, chunked)
        if bodyless:
            self._send(head)
            if request.method == b"HEAD":  # llhttp waits for a body that does not come: this parser is used up
                clean = not parser.body and parser.keep_alive
                connection.parser = ResponseParser(self.path.limits)
                return clean and request.complete
            return parser.complete and parser.keep_alive and request.complete
        body = b"".join(parser.body)
        parser.body.clear()
        if chunked:
            self._relay_chunked(connection, name, head, body)
        elif parser.length is not None:
            self._relay_counted(connection, name, head, body, parser.length)
        else:
            self._send(head + body)
            while data := self._next(connection, name):
                self._send(data)
        return connection.parser.complete and parser.keep_alive and request.complete

    def _relay_counted(self, connection: NodeConnection, name: str, head: bytes, body: bytes, length: int) -> None:
        """A body of known length. A long one does not go through the parser: the bytes are only counted."""
        self._send(head + body)
        left = length - len(body)
        if not left:
            return
        stream, idle_s = connection.stream, self.path.timeouts.idle_s
        keep_alive = connection.parser.keep_alive
        deadline = self.started + self.path.timeouts.whole_s
        while left:
            data = self._recv(stream, name, idle_s, deadline)
            if not data:
                raise NodeFailed("cut_off", f"node {name} closed {left} bytes before the end of its answer", sent=True)
            if len(data) > left:  # more than it announced: the surplus is dropped, and the connection with it
                data, keep_alive = data[:left], False
            left -= len(data)
            self._send(data)
        connection.parser = ResponseParser(self.path.limits)
        connection.parser.complete = True
        connection.parser.keep_alive = keep_alive

    def _relay_chunked(self, connection: NodeConnection, name: str, head: bytes, body: bytes) -> None:
        """A body whose length nobody knows beforehand, to an HTTP/1.1 client."""
        parser = connection.parser
        if body:
            head += b"%x\r\n%s\r\n" % (len(body), body)
        while not parser.complete:
            self._send(head)
            data = self._next(connection, name)
            if not data and parser.until_close:
                head = b""
                break
            head = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
        self._send(head + b"0\r\n\r\n")

    def _next(self, connection: NodeConnection, name: str) -> bytes:
        """More of a parsed body; b"" at its end."""
        parser, timeouts = connection.parser, self.path.timeouts
        while not parser.complete:
            data = self._recv(connection.stream, name, timeouts.idle_s, self.started + timeouts.whole_s)
            if not data:
                if parser.until_close:
                    return b""
                raise NodeFailed("cut_off", f"node {name} closed before the last chunk", sent=True)
            parser.feed(data)
            if parser.body:
                body = b"".join(parser.body)
                parser.body.clear()
                return body
        return b""

    def _recv(self, stream: Stream, name: str, idle_s: float, deadline: float) -> bytes:
        left_s = deadline - monotonic()
        try:
            if left_s <= 0:
                raise TimedOut
            return stream.recv(min(idle_s, left_s))
        except TimedOut:
            raise NodeTooSlow("idle_timeout", f"node {name} stopped in the middle of its answer", sent=True) from None
        except OSError as error:
            raise NodeFailed("cut_off", f"node {name} broke off its answer: {error}", sent=True) from None

    def _answer_head(self, parser: ResponseParser, chunked: bool) -> bytes:
        request, client = self.request, self.client
        if self.path.draining:
            client.keep = False
        reason = parser.reason or _REASONS.get(parser.status, b"")
        lines = [b"HTTP/1.1 %d %s" % (parser.status, reason), *parser.lines]
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif parser.length is not None and parser.status != 204:
            lines.append(b"Content-Length: %d" % parser.length)
        if not client.keep:
            lines.append(b"Connection: close")
        elif not request.version_1_1:
            lines.append(b"Connection: keep-alive")
        assert self.node is not None
        lines.append(_ANSWERED_BY % (self.node.name.encode(), request.id))
        return b"\r\n".join(lines)

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self.head_sent = True
        self.client.send(data)
        self.bytes_out += len(data)

    def _tunnel(self, connection: NodeConnection) -> None:
        """After 101: bytes both ways until both have ended (RFC 9110 section 7.8)."""
        parser, client, request = connection.parser, self.client, self.request
        self.status = 101
        assert self.node is not None
        lines = [b"HTTP/1.1 101 " + (parser.reason or b"Switching Protocols"), *parser.lines]
        lines.append(b"Connection: Upgrade\r\nUpgrade: " + (parser.upgrade or request.upgrade))
        lines.append(b"X-Fairlead-Node: %s\r\nX-Request-Id: %s\r\n\r\n" % (self.node.name.encode(), request.id))
        connection.stream.on_behalf_of = None
        client.keep = False
        self._send(b"\r\n".join(lines) + b"".join(parser.body))
        up, down = tunnel(client.stream, connection.stream, client.parser.tunnel, self.path.timeouts.tunnel_idle_s)
        request.body_bytes += up
        self.bytes_out += down

    # -- afterwards --------------------------------------------------------------------------------------------------

    def _note_report(self, node: NodeRecord, parser: ResponseParser) -> None:
        if parser.orca is None:
            return
        path, now = self.path, monotonic()
        if Need.REPORT in path.picker.algorithm.needs or now - path.report_seen[node.index] > SELDOM_REPORT_S:
            report = orca_to_report(parser.orca.decode("latin-1"))
            if report is not None:
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
        path.log_access(
            at=round(time(), 3),
            id=request.id.decode("latin-1"),
            client=request.client_key,
            method=request.method.decode("latin-1"),
            target=request.target.decode("latin-1"),
            status=self.status,
            node=self.node.name if self.node else None,
            why=path.picker.algorithm.key,
            attempts=self.attempts,
            ms=round(took * 1e3, 3),
            bytes_in=request.body_bytes,
            bytes_out=self.bytes_out,
            end=self.end,
        )


_FORWARDED = (
    b"X-Forwarded-For: %s\r\nX-Forwarded-Host: %s\r\nX-Forwarded-Proto: %s\r\nVia: %s\r\nX-Request-Id: %s\r\n\r\n"
)
_ANSWERED_BY = b"Via: 1.1 fairlead\r\nX-Fairlead-Node: %s\r\nX-Request-Id: %s\r\n\r\n"
_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}
