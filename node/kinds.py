"""The four kinds of work: how long each takes, and what it answers.

Service times follow the typed model of the simulator (four classes of 50, 20, 200 and 800 ms, squared coefficient of
variation 0.5 within a class), scaled down so that a whole fleet is lively on one laptop. Pages and images are made
here, videos in `video.py`, an api request's JSON in `work.py`.
"""

import math
import random
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from cluster.config import Kind

SCALE = 0.4
"""Means of the model are multiplied by this: one slot then does about 17 requests of the mixed load a second."""

SCV = 0.5
"""Variance / mean^2 of the service time within a kind."""


@dataclass(frozen=True)
class ServiceTime:
    """A lognormal distribution by its mean and its squared coefficient of variation."""

    mean_ms: float
    scv: float

    def draw_ms(self, rng: random.Random) -> float:
        """One service time in ms; the same seed gives the same one."""
        variance = math.log(1 + self.scv)
        return rng.lognormvariate(math.log(self.mean_ms) - variance / 2, math.sqrt(variance))


SERVICE_TIMES: dict[Kind, ServiceTime] = {
    Kind.GENERAL: ServiceTime(50 * SCALE, SCV),
    Kind.API: ServiceTime(20 * SCALE, SCV),
    Kind.IMAGE: ServiceTime(200 * SCALE, SCV),
    Kind.VIDEO: ServiceTime(800 * SCALE, SCV),
}


def kind_of(path: str) -> Kind:
    """A request's kind: its first path segment, general when that names none."""
    first = path.removeprefix("/").partition("/")[0]
    return Kind(first) if first in (Kind.API, Kind.IMAGE, Kind.VIDEO) else Kind.GENERAL


def hue(name: str) -> int:
    """A node's own colour, 0..359, on its page and in its images."""
    return zlib.crc32(name.encode()) % 360


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>
<link rel="icon" href="data:,">
<style>body{{margin:0;min-height:100vh;display:grid;place-items:center;font:16px/1.5 system-ui;
background:hsl({hue} 60% 94%);color:hsl({hue} 60% 18%)}}main{{text-align:center}}
h1{{font-size:7rem;line-height:1;margin:0}}a{{color:inherit;margin:0 .4em}}</style>
<main><h1>{name}</h1><p>answered <code>{path}</code> after {service_ms:.1f} ms of work</p>
<nav><a href="/">again</a><a href="/api/hello">api</a><a href="/image/hello">image</a><a href="/video/hello">video</a>
</nav></main></html>
"""


def page(name: str, path: str, service_ms: float) -> bytes:
    """The HTML page of a general request."""
    shown = path if len(path) <= 100 else path[:99] + "…"
    return PAGE.format(name=escape(name), hue=hue(name), path=escape(shown), service_ms=service_ms).encode()


@lru_cache(maxsize=32)
def png(name: str, width: int, height: int) -> bytes:
    """An image in the node's colour: diagonal waves, 256 palette colours, a few KB."""
    palette = b"".join(_rgb(hue(name) + 40 * math.sin(i * math.tau / 256), 0.35 + 0.4 * i / 255) for i in range(256))
    ramp = bytes([*range(0, 256, 2), *range(255, 0, -2)])
    wave = ramp * (width // 256 + 2)
    rows = b"".join(b"\0" + wave[(y * 3) % 256 :][:width] for y in range(height))  # 0: no filter in this row
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # 8 bits, palette
    parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(tag, data) for tag, data in parts)


def _png_chunk(tag: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def _rgb(hue_deg: float, light: float) -> bytes:
    """HSL with 70 % saturation (CSS Color 4, section 7.1)."""
    a = 0.7 * min(light, 1 - light)

    def channel(n: int) -> int:
        k = (n + hue_deg / 30) % 12
        return round(255 * (light - a * max(-1, min(k - 3, 9 - k, 1))))

    return bytes((channel(0), channel(8), channel(4)))
