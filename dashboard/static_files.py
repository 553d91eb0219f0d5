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
SHEET = "css/all.css"  # one file for the browser to wait for
SHEETS = tuple(f"css/{name}.css" for name in ("tokens", "page", "live", "nodes", "below"))  # in this order
_COMMENT_LINES = re.compile(rb"^[ \t]*(?://[^\n]*)?", re.MULTILINE)
_IMPORTS = re.compile(r'\bfrom "\./([\w/]+\.js)"')
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
        paths = [safe_join(str(self._folder), part) for part in (SHEETS if name == SHEET else (name,))]
        if not all(path is not None and Path(path).is_file() for path in paths):
            abort(404)
        file = self._file(name, [Path(path) for path in paths if path is not None])
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

    def modules(self, module: str = "main.js") -> list[str]:
        """What a module cannot do without, itself too, so that the browser need not find them one by one."""
        return sorted(self._needed(module, set()))

    def _needed(self, module: str, known: set[str]) -> set[str]:
        known.add(module)
        for name in _IMPORTS.findall((self._folder / "js" / module).read_text()):
            if name not in known:
                self._needed(name, known)
        return known

    def _file(self, name: str, paths: list[Path]) -> File:
        modified_ns = max(path.stat().st_mtime_ns for path in paths)
        known = self._files.get(name)
        if known is None or known.modified_ns != modified_ns:
            data = b"".join(path.read_bytes() for path in paths)
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
