"""The socket: who watches gets ticks, changes and events. Orders do not come this way; they are HTTP requests."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, request
from flask_socketio import ConnectionRefusedError, SocketIO, join_room, leave_room

from dashboard.access import Role
from dashboard.picture import Message, Picture
from dashboard.viewers import Viewers

ROOM = "live"
POLLED_S = 5.0
MOST_WAITING = 128
"""Messages in one browser's queue; Engine.IO itself knows no bound. Who has more gets nothing until it has read."""


class Live:
    """Socket.IO of one dashboard. `on_join` is called when somebody begins to watch."""

    def __init__(self, app: Flask, picture: Picture, role: Callable[[], Role | None]) -> None:
        self.viewers = Viewers()
        self.on_join: Callable[[], None] = lambda: None
        self._picture = picture
        self._role = role
        self._polled_until = 0.0
        # Origin: Engine.IO's default, the same one only. simple-websocket does the WebSockets, with deflate; gevent-
        # websocket must not be installed, since Engine.IO would prefer it and then fail under a plain gevent worker.
        self._socketio = SocketIO(
            app,
            async_mode="gevent",
            ping_interval=10,
            ping_timeout=10,
            max_http_buffer_size=16384,
            manage_session=False,
        )
        app.wsgi_app = WholeSends(app.wsgi_app)  # type: ignore[method-assign]
        self._socketio.on("connect")(self._connected)
        self._socketio.on("watch")(self._watch)
        self._socketio.on("unwatch")(self._unwatch)
        self._socketio.on("drew")(self._drew)
        self._socketio.on("disconnect")(self._gone)

    @property
    def watched(self) -> bool:
        """Whether anybody looks: over the socket, or by asking again and again."""
        return self.viewers.watching or time.monotonic() < self._polled_until

    def send(self, messages: list[Message]) -> None:
        """To all who watch."""
        for sid in self.viewers.stalled(self._picture.tick_number, self._is_full):
            self._socketio.server.leave_room(sid, ROOM, namespace="/")
        if self.viewers.watching:
            for name, payload in messages:
                self._socketio.emit(name, payload, to=ROOM)

    def polled(self) -> None:
        """A page without a socket has asked: for a while that counts as watching."""
        was = self.watched
        self._polled_until = time.monotonic() + POLLED_S
        if not was:
            self.on_join()

    def close_all(self) -> None:
        """Close every connection below Socket.IO, so that browsers connect again by themselves."""
        engine = self._socketio.server.eio
        for sid in list(engine.sockets):
            engine.disconnect(sid)

    def _connected(self, auth: Any = None) -> None:
        if self._role() is None:
            raise ConnectionRefusedError("signed out")

    def _is_full(self, sid: str) -> bool:
        """Whether a browser has not read what it was sent, whatever it says that it has drawn."""
        server = self._socketio.server
        connection = server.eio.sockets.get(server.manager.eio_sid_from_sid(sid, "/"))
        return connection is not None and connection.queue.qsize() > MOST_WAITING

    def _watch(self) -> None:
        was = self.watched
        self._welcome(request.sid)  # type: ignore[attr-defined]
        if not was:
            self.on_join()

    def _welcome(self, sid: str) -> None:
        """Everything first, then the room; nothing yields in between, so nothing is missed or sent twice."""
        if self._is_full(sid):
            self.viewers.left_out(sid)
            return
        self._socketio.emit("hello", self._picture.hello(time.time()), to=sid)
        self._socketio.emit("past", self._picture.log.newest(), to=sid)
        join_room(ROOM, sid=sid)
        self.viewers.joined(sid, self._picture.tick_number)

    def _unwatch(self) -> None:
        leave_room(ROOM)
        self.viewers.left(request.sid)  # type: ignore[attr-defined]

    def _drew(self, tick: Any = None) -> None:
        sid = request.sid  # type: ignore[attr-defined]
        if isinstance(tick, int) and self.viewers.drew(sid, min(tick, self._picture.tick_number)):
            self._welcome(sid)

    def _gone(self, reason: Any = None) -> None:
        self.viewers.left(request.sid)  # type: ignore[attr-defined]


class WholeSends:
    """Makes `send` of a WebSocket's socket send everything.

    simple-websocket calls `socket.send` once a message and ignores how much went. A gevent socket may take only a part
    when a browser reads slowly, and the rest of the frame would be lost.
    """

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "gunicorn.socket" in environ and environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            environ["gunicorn.socket"] = _WholeSocket(environ["gunicorn.socket"])
        return self._inner(environ, start_response)


class _WholeSocket:
    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        self._sock.sendall(data)
        return len(data)
