"""The end of a log file, without reading all of it."""

from pathlib import Path

LINES = 20
BYTES = 8192


def last_lines(path: Path, lines: int = LINES) -> list[str]:
    """The last lines of the file's last 8 KiB; none when there is no such file. Control characters are shown as ·."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - BYTES)
            file.seek(start)
            data = file.read(BYTES)
    except OSError:
        return []
    found = data.decode("utf-8", "replace").splitlines()
    if start and found:
        found = found[1:]  # the first one is cut off
    return ["".join(c if c.isprintable() or c == "\t" else "·" for c in line) for line in found[-lines:]]
