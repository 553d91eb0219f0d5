"""Kinds: which requests belong to one, how long they take, what they answer."""

import random
import struct
import zlib

import pytest

from cluster.config import Kind
from node import kinds
from node.video import BLOCK_BYTES, Pace, Video


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", Kind.GENERAL),
        ("", Kind.GENERAL),
        ("/api", Kind.API),
        ("/api/", Kind.API),
        ("/api/users/1", Kind.API),
        ("/apis", Kind.GENERAL),
        ("//api", Kind.GENERAL),
        ("/x/api", Kind.GENERAL),
        ("/API", Kind.GENERAL),
        ("/image/a.png", Kind.IMAGE),
        ("/video/a", Kind.VIDEO),
        ("/general/a", Kind.GENERAL),
    ],
)
def test_kind_is_the_first_path_segment(path: str, kind: Kind) -> None:
    assert kinds.kind_of(path) is kind


def test_documented_means() -> None:
    means = {kind.value: time.mean_ms for kind, time in kinds.SERVICE_TIMES.items()}
    assert means == {"general": 20, "api": 8, "image": 80, "video": 320}


@pytest.mark.parametrize("kind", list(Kind))
def test_service_times_have_the_promised_mean_and_variance(kind: Kind) -> None:
    time, rng = kinds.SERVICE_TIMES[kind], random.Random(7)
    drawn = [time.draw_ms(rng) for _ in range(100_000)]
    mean = sum(drawn) / len(drawn)
    scv = sum((ms - mean) ** 2 for ms in drawn) / len(drawn) / mean**2
    assert mean == pytest.approx(time.mean_ms, rel=0.01)  # 4 standard errors
    assert scv == pytest.approx(time.scv, rel=0.06)
    assert min(drawn) > 0


def test_a_seed_gives_the_same_service_time_each_time() -> None:
    time = kinds.SERVICE_TIMES[Kind.API]
    assert time.draw_ms(random.Random("a")) == time.draw_ms(random.Random("a"))
    assert time.draw_ms(random.Random("a")) != time.draw_ms(random.Random("b"))


def test_page_names_the_node_and_escapes_the_path() -> None:
    html = kinds.page("l1", "/<script>alert(1)</script>", 12.34).decode()
    assert "<h1>l1</h1>" in html
    assert "<script>" not in html
    assert "12.3 ms" in html
    assert len(kinds.page("l1", "/" + "x" * 8000, 1)) < 1500


@pytest.mark.parametrize(("width", "height"), [(1, 1), (128, 128), (300, 200), (2048, 3)])
def test_png_is_whole_and_of_the_size_asked_for(width: int, height: int) -> None:
    data = kinds.png("l1", width, height)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        tag, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(tag + body),)
        found.append(tag)
        if tag == b"IHDR":
            assert struct.unpack(">IIBBBBB", body) == (width, height, 8, 3, 0, 0, 0)
        if tag == b"PLTE":
            assert len(body) == 256 * 3
        if tag == b"IDAT":
            assert len(zlib.decompress(body)) == (width + 1) * height
        at += 12 + length
    assert found == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]


def test_nodes_have_different_colours() -> None:
    assert len({kinds.hue(name) for name in ("l1", "l2", "l3")}) == 3
    assert kinds.png("l1", 8, 8) != kinds.png("l2", 8, 8)


def test_video_bytes_follow_from_the_path_and_ranges_from_the_whole() -> None:
    video = Video("/video/a", 100_000)
    whole = b"".join(video.chunks(0, video.size))
    assert len(whole) == 100_000
    assert whole == b"".join(Video("/video/a", 100_000).chunks(0, 100_000))
    assert whole != b"".join(Video("/video/b", 100_000).chunks(0, 100_000))
    for start, stop in [(0, 1), (5, 9), (32767, 32769), (32768, 65536), (99_999, 100_000), (1, 100_000), (7, 7)]:
        assert b"".join(video.chunks(start, stop)) == whole[start:stop]


def test_no_two_video_blocks_are_alike() -> None:
    blocks = list(Video("/video/a", 8 * BLOCK_BYTES).chunks(0, 8 * BLOCK_BYTES))
    assert len(set(blocks)) == len(blocks) == 8


def test_video_versions_differ_in_etag() -> None:
    tags = {Video("/video/a", 10).etag, Video("/video/b", 10).etag, Video("/video/a", 11).etag}
    assert len(tags) == 3


def paced(service_s: float, sizes: list[int]) -> tuple[list[float], float]:
    slept: list[float] = []

    def spend(service_s: float) -> float:
        slept.append(service_s)
        return service_s * 1000

    pace = Pace(service_s, sum(sizes), spend)
    for size in sizes:
        pace.before(b"x" * size)
    return slept, pace.took_ms


def test_pace_spreads_the_service_time_by_bytes() -> None:
    slept, took_ms = paced(0.4, [100, 100, 50, 150])
    assert slept == pytest.approx([0.1, 0.1, 0.05, 0.15])
    assert took_ms == pytest.approx(400)


def test_pace_saves_up_shares_that_are_too_short_to_sleep() -> None:
    slept, took_ms = paced(0.024, [10] * 20)  # 1.2 ms each
    assert slept == pytest.approx([0.0012, 0.006, 0.006, 0.006, 0.0048])
    assert took_ms == pytest.approx(24)
