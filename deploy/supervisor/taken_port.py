"""A port that somebody still holds must not end supervisord. Loaded by supervisord itself, see supervisord.conf.j2.

Supervisor opens the balancer's port when the first of the two processes on it starts. When both were killed in the
same instant, the dead master's workers still listen while they finish, the port is taken, and Supervisor 4.3 lets that
error through to its main loop: supervisord ends, and nobody watches the fleet any more. Here it becomes what every
other failed start is: noted, and tried again with growing pauses. An RPC interface is the only door into supervisord;
this one has no method.
"""

from typing import Any

from supervisor.options import ProcessException
from supervisor.process import FastCGISubprocess, Subprocess


class NoMethods:
    """What supervisord wants to be given."""


def make(supervisord: Any) -> NoMethods:
    """Called once, before any program is started."""
    FastCGISubprocess.spawn = _spawn
    FastCGISubprocess.get_execv_args = _get_execv_args
    return NoMethods()


def _spawn(process: Any) -> int | None:
    pid: int | None = Subprocess.spawn(process)  # which asks for the arguments first, and bears that to fail
    if pid is None:
        process.fcgi_sock = None
    return pid


def _get_execv_args(process: Any) -> tuple[str, list[str]]:
    """ProcessException, with which the start has failed, when the socket cannot be had."""
    try:
        process.before_spawn()
    except OSError as error:
        raise ProcessException(f"{process.group.socket_manager.config()} cannot be opened: {error}") from None
    args: tuple[str, list[str]] = Subprocess.get_execv_args(process)
    return args
