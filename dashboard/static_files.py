"""The page's files, compressed once and kept: what a phone on weak Wi-Fi waits for is bytes.

Comment lines and indentation of our own modules and style sheets stay at home; their line breaks travel, so that a
browser's error names the line that stands in the file.
"""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import NamedTuple

from flask import Request, Response, abort
from werkzeug.security import safe_join

OURS = ("js", "css")
_COMMENT_LINES = re.compile(rb"^[ \t]*(?://[^\n]*)?", re.MULTILINE)
_BLOCK_COMMENTS = re.compile(rb"^[ \t]*/\*.*?\*/", re.MULTILINE | re.DOTALL)


class File(NamedTuple):
    """One file, ready to be sent."""

    modified_ns: int
    etag: str
    plain: bytes
    zipped: bytes


class StaticFiles:
    """Files below `folder`. Read again when they change; browsers ask each time, by ETag."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, File] = {}

    def answer(self, request: Request, name: str) -> Response:
        """200, 304 or 404."""
        path = safe_join(str(self._folder), name)
        if path is None or not Path(path).is_file():
            abort(404)
        file = self._file(name, Path(path))
        answer = Response(status=200, mimetype=_type(name))
        answer.headers["Vary"] = "Accept-Encoding"
        answer.set_etag(file.etag)
        if request.accept_encodings.quality("gzip") > 0:
            answer.headers["Content-Encoding"] = "gzip"
            answer.data = file.zipped
        else:
            answer.data = file.plain
        answer.make_conditional(request)
        return answer

    def modules(self, with_lab: bool) -> list[str]:
        """The page's ES modules, so that the browser need not find them one by one."""
        names = [path.relative_to(self._folder / "js").as_posix() for path in (self._folder / "js").rglob("*.js")]
        return sorted(n for n in names if n != "theme.js" and (with_lab or not n.startswith("lab/")))

    def _file(self, name: str, path: Path) -> File:
        modified_ns = path.stat().st_mtime_ns
        known = self._files.get(name)
        if known is None or known.modified_ns != modified_ns:
            data = path.read_bytes()
            if name.split("/")[0] in OURS:
                data = shortened(data)
            etag = hashlib.sha256(data).hexdigest()[:20]
            known = self._files[name] = File(modified_ns, etag, data, gzip.compress(data, 9, mtime=0))
        return known


def shortened(source: bytes) -> bytes:
    """A module or style sheet without its comments and indentation, line for line."""
    without = _BLOCK_COMMENTS.sub(lambda found: b"\n" * found[0].count(b"\n"), source)
    return _COMMENT_LINES.sub(b"", without)


def _type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
