"""Hypothesis strategies: requests and answers as the grammar has them, and as attackers have them.

A legal message is drawn from legal parts. An odd one mixes in the parts that parsers disagree about, and then has bytes
changed, cut out, doubled or put in.
"""

from itertools import pairwise

from hypothesis import strategies as st

Draw = st.DrawFn

CHUNKED = b"Transfer-Encoding: chunked"

_METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND", b"TRACE"]
_ODD_METHODS = [
    b"get", b"CONNECT", b"PRI", b"SOURCE", b"DESCRIBE", b"GE T", b"G\0T", b"", b"FOO", b"POST\t", b" GET", b"\nGET",
    b"\r\nGET", b"\rGET",
]  # fmt: skip
_TARGETS = [b"/", b"/a?b=c", b"/api/x", b"/%20%00", b"//a", b"/a;b", b"/-/health", b"/-/x", b"/x" * 50]
_ODD_TARGETS = [
    b"*", b"a", b"", b"/a b", b"/a\tb", b"/\x7f", b"/\xe4", b"/#a", b"/\0", b"http://a.example/x",
    b"http://b.example/", b"http://a.example", b"http://a.example:80/", b"https://a.example/", b"http://u@a.example/",
    b"http:///", b"HTTP://A.EXAMPLE?x", b"a.example:80", b"/ ", b" /", b"ftp://a.example/", b"?x", b"/\\",
]  # fmt: skip
_VERSIONS = [b"HTTP/1.1"] * 8 + [b"HTTP/1.0"]
_ODD_VERSIONS = [
    b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"RTSP/1.0", b"ICE/1.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/1.10",
    b"HTTP/11", b"", b"HTTP/1.1\tx", b"HTTP/1.1\r", b" HTTP/1.1",
]  # fmt: skip
_FIELDS = [
    b"A: b", b"A:b", b"a:  b \t", b"B:", b"Accept: */*", b"Cookie: a=b", b"X-Request-Id: abc",
    b"Connection: keep-alive", b"Connection: A, x-private", b"X-Private: 1", b"TE: trailers", b"Keep-Alive: 5",
    b"Via: 1.0 x", b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Ssl: on", b"Forwarded: for=x", b"Proxy-Connection: x",
    b"Proxy: y", b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAA", b"A_B: c", b"V: \xe4\xff", b"Max-Forwards: 5", b"Expect: 100-continue", b"Trailer: T",
    b"X: GET / HTTP/1.1",
]  # fmt: skip
_ODD_FIELDS = [
    b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: +3", b"Content-Length: 3, 3",
    b"Content-Length : 3", b"Content-Length: 0x3", b"Content-Length: 3 3", b"Content-Length:", b"Content-Length: 3\t",
    b"content-length: 03", b"Content-Length: 99999999999999999999", b"Content_Length: 9", CHUNKED,
    b"transfer-encoding: CHUNKED", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chunked\t", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: xchunked", b"Transfer_Encoding: chunked",
    b"Transfer-Encoding:chunked ", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: chunked;x",
    b"Host: b.example", b"Host: a.example", b"Host:", b"host: a b", b"Host : a.example", b" A: b", b"\tA: b",
    b"A: b\r\n c", b"A\r\n: b", b"A : b", b"A B: c", b": b", b"A", b"A: b\rc", b"A: b\nC: d", b"A: \0", b"\0A: b",
    b"A\x80: b", b"A: \x01", b"A: \x7f", b"Connection: close", b"Connection: Content-Length, Host, Transfer-Encoding",
    b"Connection: upgrade", b"Upgrade: websocket", b"Connection: Upgrade, keep-alive", b"Expect: x",
    b"Expect: 100-continue, x", b"Max-Forwards: 0", b"Max-Forwards: x", b"A: " + b"b" * 5000,
]  # fmt: skip
_BODIES = [b"", b"abc", b"hello", b"0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n", b"\r\n", b"\0" * 7, b"x" * 300]
_EXTENSIONS = [b"", b"", b"", b";a", b";a=b", b';a="b;c\\""', b";a;b=1"]
_ODD_EXTENSIONS = [b";", b" ;a", b"; a", b";a=", b";a\n", b";a\r", b';a="', b";\0", b" ", b";;a", b'\t;a = "b"']
_ODD_SIZES = [
    b"0x3", b"+3", b"-3", b" 3", b"3 ", b"", b"g", b"3_", b"ffffffffffffffff", b"10000000000000003",
    b"8000000000000000", b"3\n", b"00000000000000003",
]  # fmt: skip
_TRAILERS = [b"", b"", b"T: u\r\n", b"Host: evil\r\n", b"A: b\r\nC: d\r\n"]
_ODD_TRAILERS = [
    b"A\r\n", b" A: b\r\n", b"A: b\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
    b"GET / HTTP/1.1\r\n", b"A : b\r\n", b"\n", b"A: \0\r\n",
]  # fmt: skip
_STATUSES = [b"200 OK"] * 6 + [
    b"200",
    b"201 ",
    b"204 No Content",
    b"304 Not Modified",
    b"404 Not Found",
    b"500 X",
    b"299 a\tb \xe4",
]
_ODD_STATUSES = [
    b"101 Switching", b"100 Continue", b"99 X", b"600 X", b"1000 X", b"2x0 OK", b"200OK", b" 200 OK", b"200 \0",
    b"200 a\rb", b"", b"+20 X", b"000 X",
]  # fmt: skip
_PREFIXES = [
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    b"HTTP/1.1 102 P\r\n\r\n",
]
_ANSWER_FIELDS = [
    b"A: b", b"Set-Cookie: a=b", b"Set-Cookie: c=d", b"Content-Type: text/plain",
    b"Date: Sun, 22 Nov 2026 20:48:08 GMT", b"Connection: X-Private", b"X-Private: 1", b"Keep-Alive: timeout=5",
    b"Connection: keep-alive", b"Upgrade: h2c", b"Via: 1.0 x", b"Trailer: T", b"V: \xe4", b"B:", b"Server: s",
    b"X-Fairlead-Node: forged", b"endpoint-load-metrics: TEXT rif=1", b"Connection: close",
]  # fmt: skip


def _pick(draw: Draw, usual: list[bytes], odd: list[bytes], oddness: int) -> bytes:
    """One of `usual`, or now and then (the more the higher `oddness`, of 20) one of `odd`."""
    return draw(st.sampled_from(odd if oddness and draw(st.integers(0, 20)) < oddness else usual))


def _chunks(draw: Draw, body: bytes, oddness: int) -> bytes:
    out, at = b"", 0
    while at < len(body):
        size = draw(st.integers(1, len(body) - at))
        digits = _pick(draw, [b"%x" % size, b"%X" % size, b"00%x" % size], _ODD_SIZES, oddness)
        end = _pick(draw, [b"\r\n"], [b"\n", b"\r", b"", b"\n\r", b"XX"], oddness)
        out += digits + _pick(draw, _EXTENSIONS, _ODD_EXTENSIONS, oddness) + b"\r\n" + body[at : at + size] + end
        at += size
    last = _pick(draw, [b"0", b"000"], [b"0x0", b"-0", b"0 "], oddness) + _pick(
        draw, _EXTENSIONS, _ODD_EXTENSIONS, oddness
    )
    return out + last + b"\r\n" + _pick(draw, _TRAILERS, _ODD_TRAILERS, oddness) + b"\r\n"


def _framed(draw: Draw, fields: list[bytes], oddness: int, framings: list[str]) -> bytes:
    """Draws a framing, puts its field among `fields`, and gives the body's bytes."""
    body, framing = draw(st.sampled_from(_BODIES)), draw(st.sampled_from(framings))
    if framing == "chunked":
        fields.insert(draw(st.integers(0, len(fields))), CHUNKED)
        return _chunks(draw, body, oddness)
    if framing == "counted":
        fields.insert(draw(st.integers(0, len(fields))), b"Content-Length: %d" % len(body))
        return body
    return body if framing == "until close" else b""


@st.composite
def request(draw: Draw, oddness: int = 0, last: bool = False) -> bytes:
    """One request. `oddness` 0: legal. `last`: it may end the connection."""
    methods = [m for m in _METHODS if m != b"TRACE"]
    method = _pick(draw, methods, [*_ODD_METHODS, b"TRACE"], oddness)
    target = _pick(draw, _TARGETS, _ODD_TARGETS, oddness)
    version = _pick(draw, _VERSIONS if last else [b"HTTP/1.1"], _ODD_VERSIONS, oddness)
    fields = draw(st.lists(st.sampled_from(_FIELDS), max_size=5))
    fields += [_pick(draw, [b"A: b"], _ODD_FIELDS, oddness) for _ in range(draw(st.integers(0, 3)) if oddness else 0)]
    framings = ["none", "counted"] if version == b"HTTP/1.0" and not oddness else ["none", "counted", "chunked"]
    body = _framed(draw, fields, oddness, framings)
    if draw(st.integers(0, 20)) >= oddness or not oddness:
        fields.insert(draw(st.integers(0, len(fields))), b"Host: a.example")
    if last and draw(st.booleans()):
        fields.append(b"Connection: close")
    blank = _pick(draw, [b" "], [b"  ", b"\t", b"", b"\x0b"], oddness)
    end = _pick(draw, [b"\r\n"], [b"\n", b"\r", b"\r\r\n", b"\n\r"], oddness // 4)
    head = end.join([method + blank + target + b" " + version, *fields])
    before = draw(st.sampled_from([b"", b"", b"", b"\r\n"]))
    return before + head + end + end + body


@st.composite
def answer(draw: Draw, oddness: int = 0) -> bytes:
    """One answer, perhaps behind informational ones."""
    before = b"".join(draw(st.lists(st.sampled_from(_PREFIXES), max_size=2)))
    status = _pick(draw, _STATUSES, _ODD_STATUSES, oddness)
    fields = draw(st.lists(st.sampled_from(_ANSWER_FIELDS), max_size=5))
    fields += [_pick(draw, [b"A: b"], _ODD_FIELDS, oddness) for _ in range(draw(st.integers(0, 2)) if oddness else 0)]
    bodyless = status[:3] in (b"204", b"304", b"101", b"100")
    body = _framed(draw, fields, oddness, ["none"] if bodyless else ["counted", "chunked", "until close"])
    version = _pick(draw, [b"HTTP/1.1"], _ODD_VERSIONS, oddness)
    end = _pick(draw, [b"\r\n"], [b"\n", b"\r", b"\r\r\n"], oddness // 4)
    surplus = _pick(draw, [b""], [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON", b"x", b"\r\n"], oddness)
    return before + end.join([version + b" " + status, *fields]) + end + end + body + surplus


@st.composite
def mutated(draw: Draw, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message with some bytes changed, cut out, doubled or put in, or cut off."""
    data = draw(messages)
    if draw(st.integers(0, 5)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 8)))
        put = draw(
            st.sampled_from(
                [
                    b"",
                    b"\r",
                    b"\n",
                    b"\r\n",
                    b"\0",
                    b" ",
                    b"\t",
                    b":",
                    b";",
                    b",",
                    b"0",
                    b"\xff",
                    b"\x0b",
                    data[at:until] * 2,
                ]
            )
        )
        data = data[:at] + put + data[until:]
    return data


cuts = st.lists(st.floats(0, 1), max_size=5)
"""Where a message is cut on its way, as shares of its length."""


def pieces(data: bytes, shares: list[float]) -> list[bytes]:
    """The message cut there."""
    places = sorted({int(share * len(data)) for share in shares} | {0, len(data)})
    return [data[begin:end] for begin, end in pairwise(places)]
