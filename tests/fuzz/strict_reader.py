"""The oracle: what a strict reader of RFC 9110 and RFC 9112 sees in bytes. It shares nothing with balancer/.

Everything that the RFCs let a reader choose to forgive is Malformed here, and so is what two readers could frame in two
ways. Whole messages only: a message that has not ended yet is Incomplete.
"""

import re
from typing import NamedTuple

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_FIELD = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
# An extension says nothing to us and is not passed on, so its inner grammar is let be: what matters is where it ends.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_DIGITS = re.compile(rb"[0-9]+")
_AUTHORITY = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"([Hh][Tt][Tt][Pp][Ss]?)://([^/?#]*)([/?].*)?", re.DOTALL)

Fields = list[tuple[bytes, bytes]]


class Malformed(Exception):
    """No HTTP/1.1 message, or one that could be read in two ways."""


class Incomplete(Exception):
    """Well formed as far as it goes."""


class Request(NamedTuple):
    """`fields` as they came, values without the blanks around."""

    method: bytes
    target: bytes
    version: tuple[int, int]
    fields: Fields
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        return _all(self.fields, name)

    @property
    def host(self) -> bytes | None:
        absolute = _ABSOLUTE.fullmatch(self.target)
        return absolute[2] if absolute else next(iter(self.all(b"host")), None)

    @property
    def path(self) -> bytes:
        """The target in origin form."""
        absolute = _ABSOLUTE.fullmatch(self.target)
        if not absolute:
            return self.target
        rest = absolute[3] or b""
        if not rest and self.method == b"OPTIONS":
            return b"*"
        return rest if rest[:1] == b"/" else b"/" + rest

    @property
    def wants_tunnel(self) -> bool:
        """A WebSocket: what follows is no HTTP (RFC 6455 section 4.1)."""
        wanted = b"websocket" in [value.lower() for value in self.all(b"upgrade")]
        return wanted and b"upgrade" in _tokens(self.all(b"connection"))

    @property
    def ends_connection(self) -> bool:
        options = _tokens(self.all(b"connection"))
        return b"close" in options or (self.version == (1, 0) and b"keep-alive" not in options)


class Answer(NamedTuple):
    """`until_close`: only the end of the connection ends the body. `cut`: it ended before its end."""

    status: int
    fields: Fields
    body: bytes
    informational: list[int]
    until_close: bool
    cut: bool

    def all(self, name: bytes) -> list[bytes]:
        return _all(self.fields, name)


def read_requests(data: bytes) -> list[Request]:
    """All whole requests until the first that is not, or that ends the connection."""
    found: list[Request] = []
    at = 0
    while True:
        try:
            request, at = read_request(data, at)
        except (Malformed, Incomplete):
            return found
        found.append(request)
        if request.ends_connection or request.wants_tunnel:
            return found


def read_request(data: bytes, at: int = 0) -> tuple[Request, int]:
    """The request that begins at `at` (after empty lines), and where it ends."""
    while data.startswith(b"\r\n", at):
        at += 2
    line, at = _line(data, at)
    match = _REQUEST_LINE.fullmatch(line)
    if not match:
        raise Malformed(line[:200])
    fields, at = _fields(data, at)
    version = (int(match[3]), int(match[4]))
    if version not in ((1, 0), (1, 1)):
        raise Malformed("version")
    _check_target(match[1], match[2], version, _all(fields, b"host"))
    chunked, length = _framing(fields, version)
    if chunked:
        body, at = _chunked(data, at)
    else:
        end = at + (length or 0)
        if len(data) < end:
            raise Incomplete
        body, at = data[at:end], end
    return Request(match[1], match[2], version, fields, body), at


def read_head_of_request(data: bytes) -> Fields | None:
    """The fields, as soon as the head is whole."""
    head, end, _ = data.partition(b"\r\n\r\n")
    return (
        [(n.lower(), v.strip()) for n, _, v in (line.partition(b":") for line in head.split(b"\r\n")[1:])]
        if end
        else None
    )


def read_answer(data: bytes, method: bytes, at: int = 0) -> tuple[Answer, int]:
    """The final answer that begins at `at` and where it ends; the end of `data` is the end of the connection.

    Malformed when its head is, and when its body goes wrong before its end. Incomplete without a whole head.
    """
    informational: list[int] = []
    while True:
        line, at = _line(data, at)
        match = _STATUS_LINE.fullmatch(line)
        if not match or not 100 <= int(match[3]) <= 599:
            raise Malformed(line[:200])
        status, version = int(match[3]), (int(match[1]), int(match[2]))
        if version not in ((1, 0), (1, 1)):
            raise Malformed("version")
        fields, at = _fields(data, at)
        chunked, length = _framing(fields, version)
        if status >= 200 or status == 101:
            break
        if length or chunked:
            raise Malformed("an informational answer with content")
        informational.append(status)
    if method == b"HEAD" or status in (204, 304) or status == 101:
        return Answer(status, fields, b"", informational, False, False), at
    if chunked:
        try:
            body, at = _chunked(data, at)
        except Incomplete as incomplete:
            return Answer(status, fields, incomplete.args[0], informational, False, True), len(data)
        return Answer(status, fields, body, informational, False, False), at
    if length is None:
        return Answer(status, fields, data[at:], informational, True, False), len(data)
    body = data[at : at + length]
    return Answer(status, fields, body, informational, False, len(body) < length), at + len(body)


def forwarded_fields(fields: Fields, ours: frozenset[bytes]) -> Fields:
    """What of a message's fields goes on to the next hop (RFC 9110 section 7.6.1), without those that are `ours`."""
    named = _tokens(_all(fields, b"connection")) - {b"content-length", b"transfer-encoding", b"host"}
    return [(n.lower(), v) for n, v in fields if n.lower() not in HOP_BY_HOP | ours | named]


HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length".split()
)


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    """Up to CRLF. A CR or LF alone is nowhere allowed."""
    end = data.find(b"\r\n", at)
    line = data[at:] if end < 0 else data[at:end]
    if re.search(rb"[\r\n\0]", line[:-1] if end < 0 and line.endswith(b"\r") else line):
        raise Malformed(line[:200])
    if end < 0:
        raise Incomplete(b"")
    return line, end + 2


def _fields(data: bytes, at: int) -> tuple[Fields, int]:
    fields: Fields = []
    while True:
        line, at = _line(data, at)
        if not line:
            return fields, at
        match = _FIELD.fullmatch(line)
        if not match:
            raise Malformed(line[:200])
        fields.append((match[1], match[2]))


def _framing(fields: Fields, version: tuple[int, int]) -> tuple[bool, int | None]:
    """RFC 9112 section 6.3; (chunked, length)."""
    lengths, codings = _all(fields, b"content-length"), _all(fields, b"transfer-encoding")
    if codings:
        if lengths or version < (1, 1) or [coding.lower() for coding in codings] != [b"chunked"]:
            raise Malformed("framing")
        return True, None
    if not lengths:
        return False, None
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]) or int(lengths[0]) >= 2**63:
        raise Malformed("length")
    return False, int(lengths[0])


def _chunked(data: bytes, at: int) -> tuple[bytes, int]:
    """Incomplete carries the part that has come."""
    body = b""
    try:
        while True:
            line, at = _line(data, at)
            match = _CHUNK_LINE.fullmatch(line)
            if not match or int(match[1], 16) >= 2**64:
                raise Malformed(line[:200])
            size = int(match[1], 16)
            if not size:
                break
            body += data[at : at + size]
            if len(data) < at + size + 2:
                if not b"\r\n".startswith(data[at + size : at + size + 2]):
                    raise Malformed("the end of a chunk")
                raise Incomplete
            if data[at + size : at + size + 2] != b"\r\n":
                raise Malformed("the end of a chunk")
            at += size + 2
        trailers, at = _fields(data, at)
    except Incomplete:
        raise Incomplete(body) from None
    if _all(trailers, b"content-length"):
        raise Malformed("a length as a trailer")
    return body, at


def _check_target(method: bytes, target: bytes, version: tuple[int, int], hosts: list[bytes]) -> None:
    """RFC 9112 section 3.2."""
    if len(hosts) > 1 or (not hosts and version == (1, 1)):
        raise Malformed("host")
    if hosts and not _AUTHORITY.fullmatch(hosts[0]):
        raise Malformed("host")
    if b"#" in target or not target.isascii():
        raise Malformed("target")
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute:
        port = b"443" if absolute[1].lower() == b"https" else b"80"

        def plain(authority: bytes) -> bytes:
            name, colon, number = authority.lower().rpartition(b":")
            return name if colon and number in (b"", port) else authority.lower()

        if not _AUTHORITY.fullmatch(absolute[2]) or (hosts and plain(hosts[0]) != plain(absolute[2])):
            raise Malformed("authority")
    elif target[:1] != b"/" and not (target == b"*" and method == b"OPTIONS"):
        raise Malformed("target")


def _all(fields: Fields, name: bytes) -> list[bytes]:
    return [value for field, value in fields if field.lower() == name]


def _tokens(values: list[bytes]) -> set[bytes]:
    return {token.strip(b" \t").lower() for value in values for token in value.split(b",")}
