"""One attempt at one node: send the request, relay the answer, say how it ended.

    send head and body ─► read the node's head ─► relay its body
       │ reset                │ late, closed         │ cut off: the client's connection is cut too

Nothing is held whole: a body goes on as it comes, and who reads slowly slows the sender.
"""

import http
from time import monotonic, time
from typing import TYPE_CHECKING

from balancer.hedge import first_to_answer
from balancer.http1_response import ResponseParser
from balancer.node_head import EXPECT, request_head
from balancer.stream import CHUNK, PeerReset, TimedOut
from balancer.tunnel import tunnel
from balancer.upstream import NodeConnection
from cluster.errors import BadRequest, NodeFailed, NodeTooSlow

if TYPE_CHECKING:
    from balancer.exchange import Exchange, Sending

REPLAY_BYTES = 65536  # a request body up to this size is kept, so that it can be sent again
HOLD_BYTES, HOLD_S = 16384, 0.1  # an answer so short is held so long until it is whole
CONTINUE_S = 1.0  # how long a node may take to say 100 Continue before we say it (RFC 9110 section 10.1.1)


class Attempt:
    """One use of one connection to a node for one request."""

    __slots__ = ("client", "connection", "exchange", "name", "path", "pool", "request", "sending", "sent")

    def __init__(self, exchange: "Exchange", sending: "Sending", connection: NodeConnection) -> None:
        self.exchange = exchange
        self.sending = sending
        self.client = exchange.client
        self.path = exchange.path
        self.request = exchange.request
        self.connection = connection
        self.pool = exchange.path.pools[sending.node.index]
        self.name = self.pool.name
        self.sent = False  # the node has the whole request

    def run(self) -> None:
        """NodeFailed when the node does not do its part, ClientGone or BadRequest when the client does not.

        Afterwards the connection is kept for the next request, or closed.
        """
        client, request, hedge_s = self.client, self.request, self.path.retries.hedge_after_s
        answers, keep = self, False
        client.stream.awaits = self.connection.stream
        try:
            self.send()
            if hedge_s is not None and self.sent and request.idempotent and not request.upgrade:
                answers = first_to_answer(self, hedge_s)
            else:
                self.read_head()
            keep = answers.pass_on()
        finally:
            answers.connection.stream.purpose = client.stream.awaits = None
            if keep:
                answers.pool.give_back(answers.connection)
            else:
                answers.connection.close()

    def reason_to_stop(self) -> Exception | None:
        """Asked while we wait for the node: the client is gone, or the node is down and another one can do it."""
        if self.client.stream.was_reset():
            return PeerReset()
        exchange = self.exchange
        if (
            self.connection.parser.head_complete
            or not exchange.is_down(self.sending.node)
            or not self.request.idempotent
        ):
            return None
        if (
            exchange.replay is None
            or not (exchange.uploaded or not self.request.has_body)
            or exchange.is_last_attempt()
        ):
            return None
        return NodeFailed("node_down", f"node {self.name} went down before it answered", sent=True)

    # -- request up --------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """The request, as far as the node takes it: `sent`."""
        self.connection.stream.purpose = self
        self.connection.parser.begin()
        try:
            self.sent = self._send_request()
        except TimedOut:
            raise self._late() from None
        except OSError as error:
            if not self.request.has_body:  # with a body: the node may have answered before it closed (413), so look
                raise self._broke_off(error) from None

    def _late(self) -> NodeTooSlow:
        text = f"node {self.name} sent no answer within {self.path.timeouts.first_byte_s:g} s"
        return NodeTooSlow("first_byte_timeout", text, sent=True)

    def _broke_off(self, error: OSError) -> NodeFailed:
        return NodeFailed("reset", f"node {self.name} broke off: {error}", sent=True)

    def _send_request(self) -> bool:
        """All of it, as it comes. False when the node has answered before it had taken the whole body."""
        request, exchange, stream = self.request, self.exchange, self.connection.stream
        idle_s = self.path.timeouts.idle_s
        waits = request.expects_continue and not (request.chunks or request.complete or exchange.replay)
        head = request_head(request, self.client.origin, self.pool.authority, EXPECT if waits else b"")
        if not request.has_body:
            stream.send(head, idle_s)
            return True
        if exchange.replay:  # a second attempt: what was already read from the client comes first
            head += b"".join(exchange.replay)
            if exchange.uploaded:
                return self._send_body(head)
        elif waits:
            stream.send(head, idle_s)
            if not self._await_continue():
                return False
            head = b""
        while True:
            piece = self._body_piece()
            if piece is not None:
                head += piece
                if request.complete and not request.chunks:
                    return self._send_body(head)
                if len(head) < CHUNK and request.chunks:
                    continue
            if not self._send_body(head):
                return False
            head = b""
            if request.complete and not request.chunks:
                return True
            speaks = stream.readable() or not (request.chunks or self.client.more_body(request, stream))
            if speaks and self._has_answered():
                return False  # its answer counts, the rest of the body does not
            if monotonic() > exchange.started + self.path.timeouts.whole_s:
                raise BadRequest("body_timeout", "the request took too long", http.HTTPStatus.REQUEST_TIMEOUT)

    def _send_body(self, data: bytes) -> bool:
        """False when the node answers instead of taking it (413, say), whether it closes then or not."""
        left = memoryview(data)
        while left:
            left = left[self.connection.stream.send_until_heard(left, self.path.timeouts.idle_s) :]
            if left and self._has_answered():
                return False
        return True

    def _has_answered(self) -> bool:
        """The node speaks before it has the whole body. False when it is only a hint (1xx)."""
        data = self.connection.stream.recv(self.path.timeouts.idle_s)
        if not data:
            raise NodeFailed("closed", f"node {self.name} closed without an answer", sent=True)
        self.connection.parser.feed(data)
        return self.connection.parser.head_complete

    def _body_piece(self) -> bytes | None:
        """What has come of the body, framed for the node; None when nothing has."""
        request, exchange = self.request, self.exchange
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
        exchange.uploaded = request.complete
        if exchange.replay is not None:
            exchange.replay.append(framed)
            if request.body_bytes > REPLAY_BYTES:
                exchange.replay = None
        return framed

    def _await_continue(self) -> bool:
        """Wait for the node's 100 Continue and pass it on; False when it gave its final answer at once."""
        stream, parser = self.connection.stream, self.connection.parser
        try:
            while not parser.continued and not parser.head_complete:
                data = stream.recv(CONTINUE_S)
                if not data:
                    raise NodeFailed("closed", f"node {self.name} closed without an answer", sent=True)
                parser.feed(data)
        except TimedOut:
            pass  # it does not know of 100: the body is sent all the same
        if parser.head_complete:
            return False
        self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.request.expects_continue = False
        return True

    # -- answer down -------------------------------------------------------------------------------------------------

    def read_head(self, *, aside: bool = False) -> None:
        """The head of its answer. `aside`: the client is not to hear of what comes before it (1xx) yet."""
        stream, parser = self.connection.stream, self.connection.parser
        left_s = self.path.timeouts.first_byte_s
        until = monotonic() + left_s
        try:
            while not parser.head_complete:
                if left_s <= 0:
                    raise TimedOut
                data = stream.recv_next(left_s)
                if not data:
                    raise NodeFailed("closed", f"node {self.name} closed without an answer", sent=True)
                rest = parser.feed(data)
                if parser.informational and not aside:
                    self._pass_on_hints()
                if rest and parser.status == 101:
                    parser.body.append(rest)
                left_s = until - monotonic()
        except TimedOut:
            raise self._late() from None
        except OSError as error:
            raise self._broke_off(error) from None

    def _pass_on_hints(self) -> None:
        hints = self.connection.parser.informational
        if self.request.version_1_1:
            self.client.send(b"".join(hints))
        hints.clear()

    def pass_on(self) -> bool:
        """The answer whose head is read, to the client. Returns whether the node's connection may be kept."""
        parser = self.connection.parser
        self.exchange.heard(parser)
        if parser.informational:
            self._pass_on_hints()
        if parser.status != 101:
            return self._relay() and self.sent  # what is missing of the request, the node would read from the next one
        if not self.request.upgrade or parser.upgrade.lower() != self.request.upgrade.lower():
            raise NodeFailed("unasked_upgrade", f"node {self.name} switched protocols unasked", sent=True)
        self._tunnel()
        return False

    def _relay(self) -> bool:
        """Send the answer on to the client as it comes. Returns whether the node's connection may be kept."""
        connection, request, client = self.connection, self.request, self.client
        parser = connection.parser
        self.exchange.status = status = parser.status
        bodyless = request.method == b"HEAD" or status == 204 or status == 304
        chunked = not bodyless and parser.length is None and request.version_1_1
        if not bodyless and parser.length is None and not chunked:
            client.keep = False  # HTTP/1.0: the end of the body is the end of the connection
        if not request.complete or request.upgrade:
            client.keep = False  # the rest of its body, or of its upgrade, would be taken for the next request
        head = self._answer_head(parser, chunked)
        if bodyless:
            self._send(head)
            if request.method == b"HEAD":  # llhttp waits for a body that does not come: this parser is used up
                clean = not parser.body and parser.keep_alive
                parser.forget_body()
                return clean and request.complete
            return parser.complete and parser.keep_alive and request.complete
        body = b"".join(parser.body)
        parser.body.clear()
        if chunked:
            self._relay_chunked(head, body)
        elif parser.length is not None:
            self._relay_counted(head, body, parser.length)
        else:
            self._relay_until_close(head + body)
        return connection.parser.complete and connection.parser.keep_alive and request.complete

    def _relay_counted(self, head: bytes, body: bytes, length: int) -> None:
        """A body of known length. A long one does not go through the parser: the bytes are only counted.

        A short one is held for a moment until it is whole: a node that dies in the middle is then no cut answer, but
        one more attempt elsewhere.
        """
        ready, left = head + body, length - len(body)
        if not left:
            self._send(ready)
            return
        connection, request = self.connection, self.request
        keep_alive = connection.parser.keep_alive
        holds = length <= HOLD_BYTES and request.idempotent and self.exchange.replay is not None
        hold_until = monotonic() + HOLD_S if holds else 0.0
        while left:
            if ready and not connection.stream.is_readable_by(hold_until):
                self._send(ready)
                ready = b""
            data = self._recv()
            if not data:
                raise NodeFailed(
                    "cut_off", f"node {self.name} closed {left} bytes before the end of its answer", sent=True
                )
            if len(data) > left:  # more than it announced: the surplus is dropped, and the connection with it
                data, keep_alive = data[:left], False
            left -= len(data)
            ready += data
        self._send(ready)
        connection.parser.count_body(keep_alive)

    def _relay_until_close(self, data: bytes) -> None:
        """A body whose length nobody knows beforehand, to an HTTP/1.0 client."""
        try:
            while data:
                self._send(data)
                data = self._next()
        except NodeFailed:
            self.client.stream.reset_on_close()  # an orderly end would make the part look like the whole
            raise

    def _relay_chunked(self, head: bytes, body: bytes) -> None:
        """A body whose length nobody knows beforehand, to an HTTP/1.1 client."""
        parser = self.connection.parser
        if body:
            head += b"%x\r\n%s\r\n" % (len(body), body)
        while not parser.complete:
            self._send(head)
            data = self._next()
            if not data and parser.until_close:
                head = b""
                break
            head = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
        self._send(head + b"0\r\n\r\n")

    def _next(self) -> bytes:
        """More of a parsed body; b"" at its end."""
        parser = self.connection.parser
        while not parser.complete:
            data = self._recv()
            if not data:
                if parser.until_close:
                    return b""
                raise NodeFailed("cut_off", f"node {self.name} closed before the last chunk", sent=True)
            parser.feed(data)
            if parser.body:
                body = b"".join(parser.body)
                parser.body.clear()
                return body
        return b""

    def _recv(self) -> bytes:
        timeouts = self.path.timeouts
        left_s = self.exchange.started + timeouts.whole_s - monotonic()
        try:
            if left_s <= 0:
                raise TimedOut
            return self.connection.stream.recv(min(timeouts.idle_s, left_s))
        except TimedOut:
            raise NodeTooSlow(
                "idle_timeout", f"node {self.name} stopped in the middle of its answer", sent=True
            ) from None
        except OSError as error:
            raise NodeFailed("cut_off", f"node {self.name} broke off its answer: {error}", sent=True) from None

    def _answer_head(self, parser: ResponseParser, chunked: bool) -> bytes:
        request, client = self.request, self.client
        if self.path.draining:
            client.keep = False
        lines = [parser.head_for_client(time())]
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        if not client.keep:
            lines.append(b"Connection: close")
        elif not request.version_1_1:
            lines.append(b"Connection: keep-alive")
        sticky = self.path.sticky
        if sticky is not None and self.exchange.stuck != self.name:
            lines.append(sticky.line(self.name))
        lines.append(_ANSWERED_BY % (self.pool.raw_name, request.id))
        return b"\r\n".join(lines)

    def _send(self, data: bytes) -> None:
        if not data:
            return
        self.exchange.head_sent = True
        self.client.send(data)
        self.exchange.bytes_out += len(data)

    def _tunnel(self) -> None:
        """After 101: bytes both ways until both have ended (RFC 9110 section 7.8)."""
        connection, client, request = self.connection, self.client, self.request
        parser = connection.parser
        self.exchange.status = 101
        lines = [b"HTTP/1.1 101 " + (parser.reason or b"Switching Protocols"), *parser.lines]
        lines.append(b"Connection: Upgrade\r\nUpgrade: " + parser.upgrade)
        lines.append(b"X-Fairlead-Node: %s\r\nX-Request-Id: %s\r\n\r\n" % (self.pool.raw_name, request.id))
        connection.stream.purpose = client.stream.awaits = None
        client.keep = False
        self._send(b"\r\n".join(lines) + b"".join(parser.body))
        up, down = tunnel(client.stream, connection.stream, client.parser.tunnel, self.path.timeouts.tunnel_idle_s)
        request.body_bytes += up
        self.exchange.bytes_out += down


_ANSWERED_BY = b"Via: 1.1 fairlead\r\nX-Fairlead-Node: %s\r\nX-Request-Id: %s\r\n\r\n"
