"""Draws docs/images/algorithms/*.svg: what each algorithm does, by letting the real classes do it.

    python -m lab.pictures [FOLDER]

All play on the same stage, seeded, so the pictures are the same on every machine: three nodes of speed 1, 2 and 4 with
four slots each, a mix of kinds from forty clients at 40 % of what the nodes can do, for twelve seconds. From second 4
to 8 the fastest node is ten times slower. A lane shows one node's requests in flight: at work, and above the slots
those that wait.
"""

import argparse
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from balancer.algorithms import ALGORITHMS, Algorithm
from balancer.algorithms.seen import SeenNode, SeenRequest
from cluster.paths import PROJECT
from cluster.service_time import typical_ms
from cluster.wire import NodeReport

FOLDER = PROJECT / "docs" / "images" / "algorithms"
SPEEDS, SLOTS, END_S, SLOW_FROM_S, SLOW_TO_S, SLOWER = (1.0, 2.0, 4.0), 4, 12.0, 4.0, 8.0, 10.0
LOAD = 0.4
KINDS_MS = {"general": 50.0, "api": 20.0, "video": 800.0, "image": 200.0}  # the study's mix
SHARES = (0.40, 0.40, 0.05, 0.15)
BIN_S = 0.04


class Done(NamedTuple):
    """One request: when it came, how long it took, which node had it."""

    at: float
    ms: float
    node: int


class Stage:
    """Three nodes that work first come, first served; reports come back with each answer."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.nodes = [SeenNode(f"n{i + 1}", i, weight=int(speed), slots=SLOTS) for i, speed in enumerate(SPEEDS)]
        self.free = [[0.0] * SLOTS for _ in SPEEDS]  # when each slot is free
        self.count = [0] * len(SPEEDS)
        self.ends: list[tuple[float, int, int, SeenRequest, float, float]] = []
        self.in_flight: list[list[tuple[float, int]]] = [[] for _ in SPEEDS]
        self.done: list[Done] = []

    def play(self) -> None:
        """All twelve seconds."""
        dice, now, sequence = Random(2), 0.0, 0
        rate = LOAD * SLOTS * sum(SPEEDS) * 1e3 / sum(p * ms for p, ms in zip(SHARES, KINDS_MS.values(), strict=True))
        self.algorithm.on_membership(self.nodes, 0.0)
        while (now := now + dice.expovariate(rate)) < END_S:
            self._end_until(now)
            kind = dice.choices(list(KINDS_MS), SHARES)[0]
            work_ms = KINDS_MS[kind] * dice.lognormvariate(-0.2027, 0.6368)  # SCV 0.5
            request = SeenRequest(kind, f"10.0.0.{dice.randrange(40)}", sequence)
            self._send(request, work_ms, now)
            sequence += 1
        self._end_until(float("inf"))

    def _send(self, request: SeenRequest, work_ms: float, now: float) -> None:
        node = self.algorithm.pick(request, self.nodes, now)
        i = node.index
        slow = SLOWER if SPEEDS[i] == max(SPEEDS) and SLOW_FROM_S <= now < SLOW_TO_S else 1.0
        service_ms = work_ms / SPEEDS[i] * slow
        end = max(now, heapq.heappop(self.free[i])) + service_ms / 1e3
        heapq.heappush(self.free[i], end)
        self._count(node, now, 1)
        heapq.heappush(self.ends, (end, request.sequence, i, request, now, service_ms))
        self.algorithm.on_start(node, request, now)
        for asked in self.algorithm.probe(self.nodes, now):
            self._report(asked, now)

    def _end_until(self, now: float) -> None:
        while self.ends and self.ends[0][0] <= now:
            end, _, i, request, begun, service_ms = heapq.heappop(self.ends)
            node, took_ms = self.nodes[i], (end - begun) * 1e3
            self._count(node, end, -1)
            self.count[i] += 1
            old = node.report[2] if node.report else 0.0
            node.report = (node.in_flight, SLOTS, typical_ms(old, service_ms, self.count[i]), end, 0)
            node.latency = (
                took_ms if self.count[i] == 1 else node.latency[0] + 0.05 * (took_ms - node.latency[0]),
                end,
            )
            self._report(node, end)
            self.algorithm.on_end(node, request, end, took_ms, service_ms, True)
            self.done.append(Done(begun, took_ms, i))

    def _report(self, node: SeenNode, now: float) -> None:
        if node.report is not None:
            service_ms = node.report[2]
            node.report = (node.in_flight, SLOTS, service_ms, now, 0)
            self.algorithm.on_report(node, NodeReport(rif=node.in_flight, slots=SLOTS, service_ms=service_ms), now)

    def _count(self, node: SeenNode, now: float, change: int) -> None:
        node.in_flight += change
        self.in_flight[node.index].append((now, node.in_flight))


# -- drawing -----------------------------------------------------------------------------------------------------------

LEFT, TOP, WIDE, HIGH, GAP, MOST = 92, 52, 600, 74, 20, 20
TEXT = 'font-family="system-ui, sans-serif" fill="#24292f"'
SLOW_STRETCH = (
    f'<rect x="{LEFT + WIDE * SLOW_FROM_S / END_S:.0f}" y="{TOP + 2 * (HIGH + GAP) - 15}" '
    f'width="{WIDE * (SLOW_TO_S - SLOW_FROM_S) / END_S:.0f}" height="{HIGH + 15}" fill="#fff1e5"/>'
)
SLOW_LABEL = (
    f'<text x="{LEFT + WIDE * (SLOW_FROM_S + SLOW_TO_S) / 2 / END_S:.0f}" y="{TOP + 2 * (HIGH + GAP) - 4}" '
    f'font-size="11" text-anchor="middle" {TEXT}>ten times slower</text>'
)


def picture(key: str) -> str:
    """The SVG of one algorithm."""
    stage = Stage(ALGORITHMS[key](Random(1)))
    stage.play()
    height = TOP + 3 * (HIGH + GAP) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img">',
        f"<title>{ALGORITHMS[key].label}: requests in flight at three nodes over twelve seconds</title>",
        f'<rect width="720" height="{height}" rx="6" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="17" font-weight="600" {TEXT}>{ALGORITHMS[key].label}</text>',
        f'<text x="704" y="26" font-size="13" text-anchor="end" {TEXT}>{_times(stage.done)}</text>',
        SLOW_STRETCH,
    ]
    for i in range(len(SPEEDS)):
        parts += _lane(stage, i)
    parts.append(SLOW_LABEL)
    bottom = TOP + 3 * (HIGH + GAP) + 8
    for second in range(0, 13, 2):
        x = LEFT + WIDE * second / END_S
        parts.append(f'<text x="{x:.0f}" y="{bottom}" font-size="11" text-anchor="middle" {TEXT}>{second} s</text>')
    parts += [*_legend(bottom + 18), "</svg>"]
    return "\n".join(parts) + "\n"


def _times(done: Sequence[Done]) -> str:
    said = []
    for name, begin, end in (("before", 1.0, 4.0), ("while slow", 4.0, 8.0), ("after", 8.0, 12.0)):
        times = sorted(each.ms for each in done if begin <= each.at < end)
        said.append(f"{name} {times[int(len(times) * 0.99)]:,.0f}")
    return "p99 in ms: " + " · ".join(said)


def _lane(stage: Stage, i: int) -> Iterator[str]:
    bottom = TOP + i * (HIGH + GAP) + HIGH
    levels = list(_levels(stage.in_flight[i]))
    share = sum(each.node == i for each in stage.done) / len(stage.done)
    yield f'<text x="16" y="{bottom - 42}" font-size="13" font-weight="600" {TEXT}>{SPEEDS[i]:g}× fast</text>'
    yield f'<text x="16" y="{bottom - 25}" font-size="12" {TEXT}>{share:.0%} of all</text>'
    for colour, cap in (("#e5534b", MOST), ("#2f81f7", SLOTS)):
        steps = "".join(
            f"V{bottom - HIGH * min(level, cap) / MOST:.1f}H{LEFT + WIDE * (n + 1) * BIN_S / END_S:.1f}"
            for n, level in enumerate(levels)
        )
        yield f'<path d="M{LEFT} {bottom}{steps}V{bottom}Z" fill="{colour}"/>'
    slots = bottom - HIGH * SLOTS / MOST
    yield f'<path d="M{LEFT} {slots:.1f}h{WIDE}" stroke="#24292f" stroke-width=".7" stroke-dasharray="3 3"/>'
    yield f'<path d="M{LEFT} {bottom}h{WIDE}" stroke="#24292f" stroke-width=".7"/>'
    if max(levels) > MOST:
        most = f"up to {max(levels):.0f}"
        yield f'<text x="704" y="{bottom - HIGH + 12}" font-size="11" text-anchor="end" {TEXT}>{most}</text>'


def _levels(changes: Sequence[tuple[float, int]]) -> Iterator[float]:
    """Mean requests in flight in each bin."""
    at, level, rest = 0.0, 0, list(reversed(changes))
    for n in range(round(END_S / BIN_S)):
        end, area = (n + 1) * BIN_S, 0.0
        while rest and rest[-1][0] < end:
            now, after = rest.pop()
            area += level * (now - at)
            at, level = now, after
        area += level * (end - at)
        at = end
        yield area / BIN_S


def _legend(y: int) -> Iterator[str]:
    for x, colour, words in ((LEFT, "#2f81f7", "at work"), (LEFT + 80, "#e5534b", "waiting")):
        yield f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 15}" y="{y}" font-size="12" {TEXT}>{words}</text>'
    yield f'<text x="{LEFT + 165}" y="{y}" font-size="12" {TEXT}>- - - slots; requests in flight, 0 to {MOST}</text>'


def main() -> None:
    """Draw them all into the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m lab.pictures", description="Draw what each algorithm does.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, metavar="FOLDER",
                        help="default docs/images/algorithms")  # fmt: skip
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for key in ALGORITHMS:
        (folder / f"{key}.svg").write_text(picture(key), encoding="utf-8")


if __name__ == "__main__":
    main()
