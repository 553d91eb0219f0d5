"""The report's pictures as inline SVG: no script, no library, colours by CSS class, so that they follow light and dark.

Every chart is 420 units wide: two side by side on a desk, one below the other on a phone, letters readable on both.
Series are classes s0, s1, ...; the same arm has the same one in every chart.
"""

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH = 420
LEFT, RIGHT = 44, 12


class Row(NamedTuple):
    """One line of the forest plot."""

    label: str
    series: int
    ratio: float
    low: float
    high: float
    blocks: Sequence[float]
    verdict: str


def svg(height: float, title: str, parts: Sequence[str]) -> str:
    """A whole picture; `title` is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def text(x: float, y: float, said: str, anchor: str = "start", kind: str = "") -> str:
    """Letters."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(said)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight one."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def box(x: float, y: float, width: float, height: float, kind: str, said: str = "") -> str:
    """A filled one; `said` shows under the pointer."""
    inner = f"<title>{escape(said)}</title>" if said else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0, width):.1f}" height="{height:.1f}" class="{kind}">{inner}</rect>'
    )


def legend(names: Sequence[str], y: float) -> tuple[list[str], float]:
    """Colour and name of each series, in as many lines as they need; the parts and the y below them."""
    parts, x = [], 4.0
    for number, name in enumerate(names):
        width = 20 + 6.6 * len(name)
        if x + width > WIDTH and x > 4:
            x, y = 4.0, y + 17
        parts += [box(x, y - 9, 10, 10, f"f s{number}"), text(x + 14, y, name)]
        x += width + 8
    return parts, y + 10


def log_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From a value to a coordinate."""
    a, b = log10(low), log10(high)
    return lambda value: start + (log10(min(max(value, low), high)) - a) / ((b - a) or 1) * (end - start)


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 ... within; only powers of ten over a long range."""
    steps = (1, 2, 5) if high / low < 500 else (1,)
    ticks = [m * 10.0**e for e in range(floor(log10(low)), ceil(log10(high)) + 1) for m in steps]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


FARTHEST = 4.0
"""Ratios beyond it are arrows at the edge of the forest: what is near 1 must stay readable."""


def forest(rows: Sequence[Row], margin: float, baseline: str, words: tuple[str, str] = ("faster", "slower")) -> str:
    """Ratios to the baseline with their 95 % intervals, each block as a dot; the band is "makes no difference"."""
    edges = [1 / (1 + 3 * margin), 1 + 3 * margin]
    for row in rows:
        edges += [row.low, row.high, *row.blocks]
    low, high = max(1 / FARTHEST, min(edges) / 1.05), min(FARTHEST, max(edges) * 1.05)
    x = log_scale(low, high, 12, WIDTH - 12)
    bottom = 24.0 + 36 * len(rows)
    parts = [box(x(1 / (1 + margin)), 20, x(1 + margin) - x(1 / (1 + margin)), bottom - 20, "band")]
    parts += [text(12, 13, f"← {words[0]}", kind="dim"), text(WIDTH - 12, 13, f"{words[1]} →", "end", "dim")]
    parts.append(line(x(1), 20, x(1), bottom, "axis"))
    y = 34.0
    for row in rows:
        parts.append(text(12, y, f"{row.label}: {row.ratio:.3f}  ({row.low:.3f} to {row.high:.3f})  {row.verdict}"))
        y += 14
        kind = f"s{row.series}"
        parts += [f'<circle cx="{x(each):.1f}" cy="{y}" r="2" class="f {kind} faint"/>' for each in row.blocks]
        parts.append(line(x(row.low), y, x(row.high), y, f"l {kind} thick"))
        if low <= row.ratio <= high:
            parts.append(f'<circle cx="{x(row.ratio):.1f}" cy="{y}" r="5" class="f {kind} dot"/>')
        else:
            tip, back = (WIDTH - 6, WIDTH - 15) if row.ratio > high else (6, 15)
            parts.append(f'<path d="M{tip},{y} L{back},{y - 5} L{back},{y + 5} Z" class="f {kind}"/>')
        y += 22
    shown: list[float] = []
    for tick in [t for t in (1, 0.25, 0.5, 2, 4, 0.8, 1.25, 1.5, 0.67, 0.9, 1.1, 0.95, 1.05) if low < t < high]:
        if all(abs(x(tick) - x(other)) > 30 for other in shown):
            shown.append(tick)
            parts += [line(x(tick), bottom - 4, x(tick), bottom, "axis")]
            parts.append(text(x(tick), bottom + 13, f"{tick:g}", "middle", "dim"))
    return svg(bottom + 18, f"ratios to {baseline} with 95 % intervals", parts)


def curves(
    series: Sequence[Sequence[tuple[float, float]]], names: Sequence[str], title: str, x_axis: str, *,
    x_log: bool, x_label: Callable[[float], str], dashed: Sequence[Sequence[tuple[float, float]]] = (),
) -> str:  # fmt: skip
    """Lines over x, y in ms, logarithmic. `dashed`: a second line of each series."""
    points = [point for one in (*series, *dashed) for point in one]
    if not points:
        return svg(40, title, [text(12, 24, "too few requests", kind="dim")])
    parts, top = legend(names, 14)
    bottom = top + 210
    xs, ys = [p[0] for p in points], [max(p[1], 1e-3) for p in points]
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(ys) / 1.15, max(ys) * 1.15
    y = log_scale(y_low, y_high, bottom, top + 8)
    span = (x_high - x_low) or 1.0
    x = log_scale(x_low, max(x_high, x_low * 1.01), LEFT, WIDTH - RIGHT) if x_log else (
        lambda value: LEFT + (value - x_low) / span * (WIDTH - RIGHT - LEFT)
    )  # fmt: skip
    for tick in log_ticks(y_low, y_high):
        parts += [
            line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid"),
            text(LEFT - 4, y(tick) + 4, f"{tick:g}", "end", "dim"),
        ]
    ticks = [2, 10, 100, 1000, 10000] if x_log else [x_low + span * part / 4 for part in range(5)]
    for tick in [t for t in ticks if x_low * 0.999 <= t <= x_high * 1.001]:
        parts += [
            line(x(tick), top + 8, x(tick), bottom, "grid"),
            text(x(tick), bottom + 14, x_label(tick), "middle", "dim"),
        ]
    for number, one in enumerate(series):
        parts.append(_path([(x(a), y(max(b, 1e-3))) for a, b in one], f"l s{number}"))
    for number, one in enumerate(dashed):
        parts.append(_path([(x(a), y(max(b, 1e-3))) for a, b in one], f"l s{number} dashed"))
    parts += [text(2, top + 4, "ms", kind="dim"), text(WIDTH - RIGHT, bottom + 29, x_axis, "end", "dim")]
    return svg(bottom + 35, title, parts)


def _path(points: Sequence[tuple[float, float]], kind: str) -> str:
    if not points:
        return ""
    return f'<path d="M{" L".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}"/>'


def stacked(rows: Sequence[tuple[str, Sequence[float]]], nodes: Sequence[str]) -> str:
    """Shares of the nodes, one bar a row."""
    parts, y = legend(nodes, 14)
    y += 8
    for name, shares in rows:
        parts.append(text(4, y + 10, name))
        x = 4.0
        for number, (node, share) in enumerate(zip(nodes, shares, strict=True)):
            width = share * (WIDTH - 8)
            parts.append(box(x, y + 15, width, 18, f"f s{number}", f"{node}: {share:.1%}"))
            if width > 34:
                parts.append(text(x + width / 2, y + 28, f"{share:.0%}", "middle", "on"))
            x += width
        y += 44
    return svg(y + 2, "share of the requests by node", parts)


def bars(rows: Sequence[tuple[str, int, float]], title: str, unit: str, marks: Sequence[tuple[str, float]] = ()) -> str:
    """One bar a row from 0, with its figure; `marks` are upright lines with a name. Too long ones are cut off."""
    if not rows:
        return svg(40, title, [text(12, 24, "not known", kind="dim")])
    values = sorted(value for _, _, value in rows)
    most = min(values[-1], 3 * max(1.0, values[len(values) // 2]))
    most = max([most, *(value for _, value in marks)]) * 1.12
    scale = (WIDTH - 80) / most
    parts, y = [], 8.0 + 14 * len(marks)
    top = y
    for name, number, value in rows:
        parts += [text(4, y + 10, name), box(4, y + 14, min(value, most) * scale, 14, f"f s{number}", f"{value:.3f}")]
        cut = " ⟶" if value > most else ""
        parts.append(text(8 + min(value, most) * scale, y + 26, f"{value:.2f}{unit}{cut}"))
        y += 34
    for number, (name, value) in enumerate(marks):
        x = 4 + value * scale
        parts.append(line(x, 12 + 14 * number, x, y, "axis dashed"))
        at_end = x > WIDTH * 0.6
        parts.append(
            text(
                x - 4 if at_end else x + 4, 12 + 14 * number, f"{name} {value:.2f}", "end" if at_end else "start", "dim"
            )
        )
    return svg(max(y, top) + 4, title, parts)
