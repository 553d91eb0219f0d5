"""Latency histogram with log-linear buckets: mergeable by adding, bounded error, no floats in the hot path.

Workers count in it, the control process takes percentiles from it, and the dashboard adds up several balancers'.

16 buckets per power of two of microseconds, so a value is known within 6.25 %, its bucket's middle within 3.2 %
(the scheme of HdrHistogram, with 4 significant bits). Range 1 microsecond to 71 minutes; longer counts as longest.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

_SUB = 4  # bits kept
_OCTAVES = 28
BUCKETS = (_OCTAVES + 1) << _SUB


def bucket_of(seconds: float) -> int:
    """Index of the bucket for a duration."""
    us = int(seconds * 1e6)
    shift = us.bit_length() - _SUB - 1
    if shift <= 0:
        return us if us > 0 else 0
    index = (shift << _SUB) + (us >> shift)
    return index if index < BUCKETS else BUCKETS - 1


def middle_ms(index: int) -> float:
    """Middle of a bucket, in milliseconds."""
    if index < (2 << _SUB):
        return (index + 0.5) / 1e3
    shift = (index >> _SUB) - 1
    low = (index - (shift << _SUB)) << shift
    return (low + (1 << shift) / 2) / 1e3


def percentiles(counts: Sequence[int], shares: Sequence[float]) -> list[float | None]:
    """The values in ms below which each of `shares` (0..1, ascending) of the samples lie; None without samples."""
    total = sum(counts)
    if not total:
        return [None] * len(shares)
    out: list[float | None] = []
    seen = 0
    wanted = iter(shares)
    share = next(wanted)
    for index, count in enumerate(counts):
        seen += count
        while count and seen >= share * total:
            out.append(round(middle_ms(index), 3))
            following = next(wanted, None)
            if following is None:
                return out
            share = following
    return out


def packed(counts: Sequence[int]) -> list[int]:
    """For the wire: only the buckets that hold something, as `[steps from the last one, count, steps, count, ...]`."""
    out: list[int] = []
    last = 0
    for index, count in enumerate(counts):
        if count:
            out += (index - last, count)
            last = index
    return out


def added_up(many: Iterable[Sequence[int]]) -> list[int]:
    """The counts of several packed histograms together. ValueError when one is not such a thing."""
    counts = [0] * BUCKETS
    for pairs in many:
        index = 0
        for steps, count in zip(islice(pairs, 0, None, 2), islice(pairs, 1, None, 2), strict=True):
            index += steps
            if not 0 <= index < BUCKETS:
                raise ValueError(f"a histogram has no bucket {index}")
            counts[index] += count
    return counts
