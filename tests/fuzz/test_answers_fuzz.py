"""Whatever a node sends, the client gets that answer, the same in meaning, or 502, or sees that it was cut off.

RFC 9110 section 7.6, RFC 9112 sections 6 to 8. The oracle is strict_reader.py.
"""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.grammar import answer, mutated
from tests.fuzz.in_process import OK, Bench
from tests.fuzz.strict_reader import Answer, Incomplete, Malformed, forwarded_fields, read_answer
from tests.fuzz.test_requests_fuzz import within

OURS = frozenset(b"date via x-fairlead-node x-request-id endpoint-load-metrics".split())

METHODS = st.sampled_from([b"GET", b"GET", b"HEAD", b"POST"])


def ask(bench: Bench, raw: bytes, method: bytes, version: bytes) -> tuple[Answer | None, Answer | None]:
    """(what the node said, what the client got), both as a strict reader reads it; None: no answer at all."""
    bench.answer = lambda request: raw
    line = method + b" / HTTP/" + version
    got = bench.exchange([line + b"\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"])
    assert len(bench.seen) == 1
    said = heard = None
    with suppress(Malformed, Incomplete):
        said, _ = read_answer(raw, method)
    with suppress(Incomplete):  # but never Malformed
        heard, end = read_answer(got, method)
        assert end == len(got), "something follows the answer"
    return said, heard


def check(bench: Bench, raw: bytes, method: bytes, version: bytes) -> tuple[Answer | None, Answer | None]:
    """One exchange and its rules; (what the node said, what the client got)."""
    said, heard = ask(bench, raw, method, version)
    if heard is None:
        pass  # cut off within the head of an informational answer, or not a byte
    elif heard.all(b"x-fairlead-reason") and not heard.all(b"x-fairlead-node"):
        assert heard.status in (502, 504)
        assert not heard.cut
    elif said is None:
        assert heard.cut or (heard.until_close and version == b"1.0"), "what was malformed looks whole"
    else:
        assert heard.status == said.status
        assert said.body.startswith(heard.body)
        assert heard.cut or heard.until_close or (heard.body == said.body and not said.cut), "a part looks whole"
        framing = OURS | {b"connection", b"content-length", b"transfer-encoding"}
        passed = [(name.lower(), value) for name, value in heard.fields if name.lower() not in framing]
        assert passed == forwarded_fields(said.fields, OURS)
        assert heard.all(b"x-fairlead-node") == [b"s1"]
        assert heard.all(b"date") == said.all(b"date") or (len(heard.all(b"date")) == 1 and not said.all(b"date"))
    bench.answer = lambda request: OK
    again = bench.exchange([b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"])
    assert read_answer(again, b"GET")[0].body == b"ok", "the next client gets its own answer"
    return said, heard


@within
@given(raw=answer(), method=METHODS, version=st.sampled_from([b"1.1", b"1.1", b"1.0"]))
def test_legal_answers_reach_the_client_whole(bench: Bench, raw: bytes, method: bytes, version: bytes) -> None:
    said, heard = check(bench, raw, method, version)
    assert said is not None
    assert heard is not None
    assert (heard.status, heard.body, heard.cut) == (said.status, said.body, said.cut)


@within
@given(
    raw=mutated(st.one_of(answer(1), answer(6), answer(12))),
    method=METHODS,
    version=st.sampled_from([b"1.1", b"1.1", b"1.0"]),
)
def test_odd_answers_become_502_or_are_visibly_cut(bench: Bench, raw: bytes, method: bytes, version: bytes) -> None:
    check(bench, raw, method, version)


@within
@given(raw=st.binary(min_size=1, max_size=300), method=METHODS)
def test_any_bytes_at_all(bench: Bench, raw: bytes, method: bytes) -> None:
    check(bench, raw, method, b"1.1")


@within
@given(raw=answer(), share=st.floats(0, 1), method=METHODS, version=st.sampled_from([b"1.1", b"1.1", b"1.0"]))
def test_answers_cut_off_anywhere_look_cut_off(
    bench: Bench, raw: bytes, share: float, method: bytes, version: bytes
) -> None:
    """RFC 9112 section 8: an incomplete message is not passed on as a complete one."""
    check(bench, raw[: max(1, int(share * len(raw)))], method, version)
