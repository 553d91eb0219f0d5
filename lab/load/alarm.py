"""Waking up at a moment, to some microseconds.

gevent's own sleep ends at a whole millisecond (libev hands milliseconds to epoll), so every request would leave half a
millisecond late on average and a whole one at times. On Linux a timer of the kernel is waited for instead, as if it
were a socket (timerfd_create(2)).
"""

import ctypes
import os
import sys
from time import monotonic
from typing import Any

import gevent
from gevent import get_hub

_CLOCK_MONOTONIC = 1  # the clock of time.monotonic()
_ABSOLUTE = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


class _Timerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("at", _Timespec))


class Alarm:
    """`with Alarm() as alarm: alarm.wait(at)`. One greenlet at a time."""

    def __init__(self) -> None:
        self._fd = -1

    def __enter__(self) -> "Alarm":
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            self._watcher = get_hub().loop.io(self._fd, 1)  # 1: readable
        return self

    def __exit__(self, *_: Any) -> None:
        if self._fd >= 0:
            self._watcher.close()
            os.close(self._fd)

    def wait(self, at: float) -> None:
        """Until `at` (time.monotonic() seconds); other greenlets run meanwhile."""
        left_s = at - monotonic()
        if left_s <= 0:
            return
        if self._fd < 0:
            gevent.sleep(left_s)
            return
        spec = _Timerspec(_Timespec(0, 0), _Timespec(int(at), int(at % 1 * 1e9)))
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None)
        get_hub().wait(self._watcher)
        os.read(self._fd, 8)
