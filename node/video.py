"""Video-like streams: bytes that follow from the path, ranges of them (RFC 9110 section 14), and their pace."""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from flask import Request, Response

BLOCK_BYTES = 32 * 1024
DEFAULT_BYTES = 256 * 1024
MAX_BYTES = 4 * 1024**3
SHORTEST_SLEEP_S = 0.005  # shares of the service time below it are saved up: the timer is only good to 1 ms


# By hand, as werkzeug's parser says 416 to a suffix longer than the whole and ignores "bytes=-0".
ONE_RANGE = re.compile(r"bytes=(?=-?\d)(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class Video:
    """The bytes of a video. Not a film that plays: what is real is size, ranges and pace.

    Block i of 32 KiB is its number (8 bytes, big endian) and then pseudo-random bytes of the path. So no two blocks
    are alike, any of them can be made without those before it, and a reader can check every byte of any range.
    """

    def __init__(self, path: str, size: int) -> None:
        self.size = size
        self._noise = hashlib.shake_128(path.encode("utf-8", "surrogateescape")).digest(BLOCK_BYTES - 8)
        self.etag = f'"{self._noise[:8].hex()}-{size:x}"'

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `stop`, in chunks that end where blocks end."""
        while start < stop:
            number, offset = divmod(start, BLOCK_BYTES)
            block = number.to_bytes(8, "big") + self._noise
            chunk = block[offset : offset + stop - start]
            start += len(chunk)
            yield chunk


class Span(NamedTuple):
    """The bytes from `start` up to, not including, `stop`; `partial` when a range was asked for."""

    start: int
    stop: int
    partial: bool


def span_of(request: Request, video: Video) -> Span | None:
    """The bytes that a request is to get; None when it asks for some outside (416).

    The whole goes to all that is not GET, is not one well-formed range of bytes, or is meant for another version
    (If-Range), as RFC 9110 sections 14.2 and 13.1.5 allow or demand.
    """
    whole = Span(0, video.size, partial=False)
    asked = ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    if request.method != "GET" or asked is None or request.headers.get("If-Range", video.etag) != video.etag:
        return whole
    first, last = asked.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, video.size) if last else video.size
        if last and int(last) < int(first):
            return whole  # not well-formed
    else:  # "bytes=-N": the last N; all when there are fewer
        start, stop = max(0, video.size - int(last)), video.size
    return Span(start, stop, partial=True) if start < stop else None


def head(response: Response, video: Video, span: Span | None) -> Response:
    """Put status and header fields of a video's answer on `response`: 200, 206 or 416."""
    response.content_type = "video/x-simulated"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = video.etag
    if span is None:
        response.status_code = 416
        response.headers["Content-Range"] = f"bytes */{video.size}"
        return response
    response.content_length = span.stop - span.start
    if span.partial:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{video.size}"
    return response


class Pace:
    """Spreads a service time over the bytes of a stream. `spend` works for so many seconds and says how many ms it
    really took; `took_ms` adds these up, so time lost to a slow client is not in it."""

    def __init__(self, service_s: float, total_bytes: int, spend: Callable[[float], float]) -> None:
        self.took_ms = 0.0
        self._service_s = service_s
        self._total = total_bytes
        self._spend = spend
        self._sent = 0
        self._spent_s = 0.0

    def before(self, chunk: bytes) -> None:
        """Do the work that is due before `chunk` goes out."""
        first = self._sent == 0
        self._sent += len(chunk)
        owed_s = self._service_s * self._sent / self._total - self._spent_s
        if first or owed_s >= SHORTEST_SLEEP_S or self._sent == self._total:
            self.took_ms += self._spend(owed_s)
            self._spent_s += owed_s
