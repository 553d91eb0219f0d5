"""One client connection: request after request, until one side has had enough.

Read this after worker.py and before exchange.py.
"""

import contextlib
import ipaddress
import json
from http import HTTPStatus
from time import monotonic, time
from typing import Any

from balancer.datapath import DataPath
from balancer.exchange import Exchange
from balancer.http1_request import Request, RequestParser
from balancer.http1_response import date_line
from balancer.node_head import Origin
from balancer.scoreboard_layout import S_ABORTED, S_CONNECTIONS, S_REJECTED
from balancer.stream import Interrupted, PeerReset, Stream, TimedOut
from cluster.errors import BadRequest, ClientGone, NodeTooSlow, ProxyError

LINGER_S = 1.0  # how long we read on after the last answer, so that it is not lost in a reset
RETRY_AFTER_S = 1
_SECRET = frozenset({b"authorization", b"cookie", b"proxy-authorization"})  # not echoed to TRACE


class ClientConnection:
    """Serves one client. `scheme`: as it stands in X-Forwarded-Proto."""

    __slots__ = ("busy", "keep", "key", "origin", "parser", "path", "stream")

    def __init__(self, path: DataPath, stream: Stream, peer: tuple[Any, ...], scheme: bytes = b"http") -> None:
        host = str(peer[0]) if peer else "unknown"
        self.path = path
        self.stream = stream
        stream.newcomer = True
        self.key = host  # what algorithms and limits know the client by
        address = host.encode("ascii", "replace")
        trusted = bool(path.balancer.trusted_proxies) and _within(host, path.balancer.trusted_proxies)
        self.origin = Origin(address, b"[%s]" % address if b":" in address else address, scheme, trusted)
        self.parser = RequestParser(path.limits, trusted)
        self.keep = True  # may another request follow on this connection?
        self.busy = False  # a request is being served

    def is_idle(self) -> bool:
        """Whether the client is owed nothing: it has not begun a request that we could know of."""
        return not (self.busy or self.parser.in_head or self.stream.readable())

    def serve(self) -> None:
        """Until the end of the connection. Nothing is raised, whatever the client sends."""
        path = self.path
        gauge = path.board.own + S_CONNECTIONS
        path.board.q[gauge] += 1
        path.connections.add(self)
        path.connections_of[self.key] += 1
        try:
            most = path.limits.connections_per_client
            if most and path.connections_of[self.key] > most:
                text = f"more than {most} connections from {self.key}"
                self._reject(BadRequest("too_many_connections", text, HTTPStatus.TOO_MANY_REQUESTS))
            while self.keep and (request := self._next_request()) is not None:
                self.busy, self.stream.newcomer = True, False
                self.keep = request.keep_alive
                request.client_key = self.key
                if request.last_hop or request.target.startswith(b"/-/"):
                    self._answer_own(request)
                else:
                    Exchange(self, request).run()
                self.busy = False
            self._close_gently()
        except (OSError, TimedOut, Interrupted, PeerReset, ClientGone):
            pass  # it is gone, or takes nothing more: there is nobody to tell
        finally:
            path.connections.discard(self)
            path.connections_of[self.key] -= 1
            if not path.connections_of[self.key]:
                del path.connections_of[self.key]
            path.board.q[gauge] -= 1
            self.parser.release()
            self.stream.close()

    def _next_request(self) -> Request | None:
        """The next one; None when the connection ends here."""
        parser, timeouts = self.parser, self.path.timeouts
        head_until = 0.0
        while not parser.requests:
            if parser.error is not None:
                self._reject(parser.error)
                return None
            try:
                if parser.in_head:
                    head_until = head_until or monotonic() + timeouts.head_s
                    limit_s = head_until - monotonic()
                    if limit_s <= 0:
                        raise TimedOut
                else:
                    limit_s = timeouts.keep_alive_s
                data = self.stream.recv_next(limit_s)
            except TimedOut:
                if parser.in_head:
                    text = f"the head did not end within {timeouts.head_s:g} s"
                    self._reject(BadRequest("head_timeout", text, HTTPStatus.REQUEST_TIMEOUT))
                return None
            except Interrupted:
                return None
            if not data:
                if parser.in_head:  # it may still listen
                    self._reject(BadRequest("incomplete_head", "the connection was closed before the head's end"))
                return None
            parser.feed(data)
        return parser.requests.popleft()

    def more_body(self, request: Request, node: Stream) -> bool:
        """Wait for more of the request's body. False when the node has begun to answer first.

        BadRequest when the body is malformed, ClientGone when it ends too early or stalls.
        """
        while not request.chunks and not request.complete:
            if self.parser.error is not None:
                raise self.parser.error
            try:
                if not self.stream.readable():
                    if self.stream.either(node, self.path.timeouts.idle_s) is node and node.readable():
                        return False
                    continue  # look again: an event may be older than the last read, and must not hide the other's
                data = self.stream.recv(self.path.timeouts.idle_s)
            except TimedOut:
                raise BadRequest("body_timeout", "the request body stalled", HTTPStatus.REQUEST_TIMEOUT) from None
            except OSError as error:
                raise ClientGone("client_reset", f"the client broke off: {error}") from None
            if not data:
                raise ClientGone("client_closed", "the client closed before the end of its body")
            self.parser.feed(data)
        return True

    def send(self, data: bytes) -> None:
        """To the client. ClientGone when it is not there any more or takes nothing for too long."""
        try:
            self.stream.send(data, self.path.timeouts.idle_s)
        except TimedOut:
            raise ClientGone("client_stalled", "the client stopped reading") from None
        except OSError as error:
            raise ClientGone("client_closed", f"the client broke off: {error}") from None

    # -- answers of our own ------------------------------------------------------------------------------------------

    def answer_error(self, error: ProxyError, request: Request | None) -> int:
        """Say what went wrong, as JSON or text by Accept. Returns the bytes sent. ClientGone when nobody listens."""
        if isinstance(error, BadRequest) or self.path.draining or (request and not request.complete):
            self.keep = False
        fields = [b"X-Fairlead-Reason: " + error.reason.encode()]
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields.append(b"Retry-After: %d" % RETRY_AFTER_S)
        if isinstance(error, NodeTooSlow) or error.status >= 500:
            fields.append(b"Cache-Control: no-store")
        body = {"error": error.reason, "message": error.text, "status": error.status}
        return self._answer(int(error.status), body, request, fields)

    def _answer(self, status: int, body: dict[str, Any], request: Request | None, fields: list[bytes]) -> int:
        accept = b""
        if request is not None:
            if not request.id:
                request.id = self.path.new_id()
            fields.append(b"X-Request-Id: " + request.id)
            body["request_id"] = request.id.decode("latin-1")
            accept = next((value for name, value in request.fields if name.lower() == b"accept"), b"")
        if b"json" in accept or status == HTTPStatus.OK:
            content, text = b"application/json", json.dumps(body) + "\n"
        else:
            content, text = b"text/plain; charset=utf-8", "".join(f"{k}: {v}\n" for k, v in body.items())
        data = text.encode()
        if not self.keep:
            fields.append(b"Connection: close")
        head = [
            b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode()),
            date_line(time()),
            b"Content-Type: " + content,
            b"Content-Length: %d" % len(data),
            *fields,
        ]
        answer = b"\r\n".join(head) + b"\r\n\r\n"
        if request is None or request.method != b"HEAD":
            answer += data
        self.send(answer)
        return len(answer)

    def _answer_own(self, request: Request) -> None:
        """Paths under /-/ are the balancer's and never forwarded; the control API is on another port."""
        if not request.complete:
            self.keep = False
        if request.last_hop:
            self._answer_last_hop(request)
        elif request.target.partition(b"?")[0] == b"/-/health":
            ready = [node.name for node in self.path.picker.ready]
            self._answer(HTTPStatus.OK, {"name": self.path.balancer.name, "release": self.path.release, "ready": ready},
                         request, [b"Cache-Control: no-store"])  # fmt: skip
        else:
            body = {"error": "not_found", "message": "/-/ is the balancer's own; see /-/health", "status": 404}
            self._answer(HTTPStatus.NOT_FOUND, body, request, [])

    def _answer_last_hop(self, request: Request) -> None:
        """TRACE or OPTIONS that may not go further: Max-Forwards is 0 (RFC 9110 sections 7.6.2, 9.3.7 and 9.3.8)."""
        head, echo = [b"HTTP/1.1 200 OK", date_line(time())], b""
        if request.method == b"TRACE":
            lines = [request.method + b" " + request.target + b" HTTP/1.1", b"Host: " + request.host]
            lines += [name + b": " + value for name, value in request.fields if name.lower() not in _SECRET]
            echo = b"\r\n".join(lines) + b"\r\n\r\n"
            head.append(b"Content-Type: message/http")
        head.append(b"Content-Length: %d" % len(echo))
        if not self.keep:
            head.append(b"Connection: close")
        self.send(b"\r\n".join(head) + b"\r\n\r\n" + echo)

    def _reject(self, error: BadRequest) -> None:
        """Something that is not a request we understand: say so and close."""
        self.keep = False
        board = self.path.board
        board.q[board.own + S_REJECTED] += 1
        sent = self.answer_error(error, None)
        self.path.log_access(
            at=round(time(), 3), id=None, client=self.key, method=None, target=None,
            status=int(error.status), node=None, why=None, attempts=0, ms=0, bytes_in=0, bytes_out=sent,
            end=error.reason,
        )  # fmt: skip

    # -- the end -----------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """The answer cannot be finished: close so that the client sees it cut off."""
        board = self.path.board
        board.q[board.own + S_ABORTED] += 1
        self.keep = False
        raise ClientGone("aborted", "the answer was cut off")

    def _close_gently(self) -> None:
        """Half-close and read on for a moment: closing with unread bytes would reset what we just sent."""
        self.stream.end_sending()
        until = monotonic() + LINGER_S
        with contextlib.suppress(TimedOut, Interrupted, OSError):
            while monotonic() < until and self.stream.recv(LINGER_S):
                pass


def _within(host: str, networks: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)
