"""A WSGI application served without gunicorn, by gevent's own server: on Windows, and wherever one wants it so."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.pywsgi import WSGIHandler, WSGIServer

from cluster.serving import stopping

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
LEAVE_S = 0.2  # between the last request and the end: who reads its answer may send the next at once


class _Handler(WSGIHandler):
    """Names the socket as gunicorn does, which simple-websocket and node/client.py look for, and logs no requests."""

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["gunicorn.socket"] = self.socket
        return environ

    def log_request(self) -> None:
        """Programs keep logs of their own."""


class _Counting:
    """Knows how many requests are in hand."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.busy = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.busy += 1
        try:
            try:
                answer = self._application(environ, start_response)
            except StopIteration:  # a WebSocket has ended: so engineio tells gunicorn that there is nothing to answer
                return
            try:
                yield from answer
            finally:
                close = getattr(answer, "close", None)
                if close is not None:
                    close()
        finally:
            self.busy -= 1


def serve(application: Application, port: int, grace_s: float, leaving: Callable[[], None] = lambda: None) -> None:
    """Serve on FAIRLEAD_BIND (loopback) until told to stop; then finish what is in hand, within `grace_s`.

    FAIRLEAD_PORT goes before `port`: a release is tried on another. `leaving` is called when the stop comes.
    OSError when the port cannot be had.
    """
    counting = _Counting(application)
    address = os.environ.get("FAIRLEAD_BIND") or "127.0.0.1"
    server = WSGIServer(
        (address, int(os.environ.get("FAIRLEAD_PORT") or port)), counting, handler_class=_Handler, log=None
    )
    server.start()
    stopping.wait_until_told()
    server.close()
    leaving()
    until = time.monotonic() + grace_s
    while time.monotonic() < until and counting.busy:
        gevent.sleep(0.05)
    gevent.sleep(LEAVE_S)
    server.stop(timeout=0)
