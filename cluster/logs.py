"""Log files that are bounded in size: one JSON object a line, buffered, rotated, shared by several processes.

Each flush is one `write` with O_APPEND, so lines of different workers never mix. Whoever finds the file over its
size renames it under a lock; the others notice at their next flush that the name means another file now.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from cluster import file_lock

FLUSH_BYTES = 65536
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class LineLog:
    """Append-only file of lines; at most `max_bytes` x (`keep` + 1) on disk.

    `write` only buffers; call `flush` a few times a second. A full or read-only disk never raises: lines are
    counted in `dropped` instead, because serving goes on without a log.
    """

    def __init__(self, path: Path, max_bytes: int = 32 * 1024 * 1024, keep: int = 3) -> None:
        self.path = path
        self.dropped = 0
        self._max_bytes = max_bytes
        self._keep = keep
        self._lines: list[str] = []
        self._size = 0
        self._fd = -1

    def write(self, line: str) -> None:
        """Add one line, without its newline."""
        self._lines.append(line)
        self._size += len(line)
        if self._size > FLUSH_BYTES:
            self.flush()

    def write_json(self, value: dict[str, Any]) -> None:
        """Add one object."""
        self.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False))

    def flush(self) -> None:
        """Write what is buffered."""
        if not self._lines:
            return
        lines, self._lines, self._size = self._lines, [], 0
        try:
            self._open()
            data = ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
            written = os.write(self._fd, data)
            if written < len(data):  # the disk filled up
                self.dropped += data.count(b"\n", written)
                lines = []  # counted
                if data[written - 1 : written] != b"\n":  # in mid-line: end it, so that the next is readable
                    os.write(self._fd, b"\n")
        except OSError:
            self.dropped += len(lines)

    def close(self) -> None:
        """Flush and let the file go."""
        self.flush()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        """Make sure that `_fd` is the file that `path` names now, and that it is not over its size."""
        if self._fd >= 0:
            mine = os.fstat(self._fd)
            try:
                now = os.stat(self.path)
                same = (mine.st_dev, mine.st_ino) == (now.st_dev, now.st_ino)
            except FileNotFoundError:
                same = False
            if same and mine.st_size < self._max_bytes:
                return
            os.close(self._fd)
            self._fd = -1
            if same:
                self._rotate(mine.st_ino)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, _APPEND, 0o640)

    def _rotate(self, inode: int) -> None:
        with file_lock.alone(self.path.with_name(self.path.name + ".lock"), 0o640):
            if not self.path.exists() or self.path.stat().st_ino != inode:
                return  # another process was first
            with contextlib.suppress(PermissionError):  # Windows renames nothing that somebody reads: the next time
                for n in range(self._keep, 0, -1):
                    older = self.path if n == 1 else self._numbered(n - 1)
                    if older.exists():
                        older.replace(self._numbered(n))

    def _numbered(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{n}")
