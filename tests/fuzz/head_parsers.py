"""Coverage-guided fuzzing of both parsers against the oracle: python tests/fuzz/head_parsers.py [seconds] [folder]

atheris (libFuzzer) drives it; what it finds interesting is kept in `folder`, so that the next run goes on from there.
Input: the first byte chooses request or answer and where the rest is cut in two. It ends at the first input that breaks
a rule, prints it, and leaves it in a file crash-*. Not part of the test run: see docs/http.md for what it said.
"""

import struct
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["balancer", "tests.fuzz"]):
    from balancer.http1_request import Request, RequestParser
    from balancer.http1_response import ResponseParser
    from balancer.node_head import Origin, request_head
    from cluster.config import Limits
    from cluster.errors import NodeFailed
    from tests.fuzz.strict_reader import Incomplete, Malformed, read_answer, read_request, read_requests

STRANGER = Origin(b"192.0.2.1", b"192.0.2.1", b"http", False)
LIMITS = Limits(body_bytes=100_000)
SECONDS = 600


def one_input(data: bytes) -> None:
    """Called by atheris; an AssertionError, or anything else that is raised, is a finding."""
    if len(data) < 3:
        return
    kind, cut, raw = data[0], data[1], data[2:]
    pieces = [raw[: cut % len(raw)], raw[cut % len(raw) :]]
    if kind & 1:
        check_request(raw, pieces)
    else:
        check_answer(raw, pieces, b"HEAD" if kind & 2 else b"GET")


def check_request(raw: bytes, pieces: list[bytes]) -> None:
    """Whole requests that the parser lets pass are the ones that the oracle reads, and so are their new heads."""
    parser = RequestParser(LIMITS)
    bodies: list[tuple[Request, bytes]] = []
    for piece in pieces:
        parser.feed(piece)
        while parser.requests:
            bodies.append((parser.requests.popleft(), b""))
        bodies = [(request, body + b"".join(request.chunks)) for request, body in bodies]
        for request, _ in bodies:
            request.chunks.clear()
    expected = read_requests(raw)
    for n, (request, body) in enumerate(bodies):
        head = request_head(request, STRANGER, b"node:1")
        framed = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n" if request.chunked else body
        if request.complete:
            assert n < len(expected), f"passed what is no request: {raw!r}"
            again, end = read_request(head + framed)
            assert end == len(head + framed)
            assert (again.method, again.target, again.body) == (expected[n].method, expected[n].path, expected[n].body)
            assert expected[n].host in (None, again.host)
        if request.upgrade or not request.keep_alive:
            break


def check_answer(raw: bytes, pieces: list[bytes], method: bytes) -> None:
    """A whole answer that the parser lets pass is the one that the oracle reads."""
    parser = ResponseParser(LIMITS)
    try:
        for piece in pieces:
            if piece and not parser.complete:
                parser.feed(piece)
    except NodeFailed:
        return
    if not parser.head_complete:
        return
    try:
        said, _ = read_answer(raw, method)
    except (Malformed, Incomplete):
        assert not parser.complete or method == b"HEAD", f"passed what is no answer: {raw!r}"
        return
    assert parser.status == said.status
    assert all(b"\r" not in line and b"\n" not in line and b"\0" not in line for line in parser.lines)
    if method != b"HEAD" and parser.complete and parser.status != 101:
        assert b"".join(parser.body) == said.body


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    corpus = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="fairlead-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    from tests.balancer.answers_table import BAD, GOOD
    from tests.balancer.requests_table import ACCEPTED, REFUSED

    seeds = [*((1, raw) for raw in [*ACCEPTED.values(), *REFUSED.values()])]
    seeds += [*((0, raw) for raw in [*BAD.values(), *(good[0] for good in GOOD.values())])]
    for n, (kind, raw) in enumerate(seeds):
        if len(raw) < 2000:
            (corpus / f"seed-{n}").write_bytes(struct.pack("BB", kind, 255) + raw)
    arguments = [sys.argv[0], f"-max_total_time={seconds}", "-max_len=1500", "-timeout=10", str(corpus)]
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
