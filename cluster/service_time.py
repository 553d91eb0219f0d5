"""What a node's typical service time is, learned sample by sample: the same for nodes, balancer and simulator."""

from math import exp, log

STEP = 0.05  # about the last 20 samples count
MOST = 10.0  # a sample counts as at most so many times what was typical, and at least as that part of it
LEAST_MS = 0.001


def typical_ms(known_ms: float, sample_ms: float, count: int) -> float:
    """The typical time after one more sample: a moving geometric mean.

    `known_ms`: before it, 0 when there was none; `count`: samples so far, this one included. Logarithms are averaged,
    because service times spread over powers of ten: with a squared coefficient of variation of 4 a moving plain mean
    scatters by 32 %, the geometric one by 20 %, and a balancer that ranks nodes by it errs so much less.
    """
    if sample_ms < LEAST_MS:  # compared by hand: this is done for each answer, and min and max cost as much as the rest
        sample_ms = LEAST_MS
    if known_ms <= 0:
        return sample_ms
    ratio = sample_ms / known_ms
    if ratio > MOST:
        ratio = MOST
    elif ratio < 1 / MOST:
        ratio = 1 / MOST
    return known_ms * exp((STEP if count * STEP >= 1 else 1 / count) * log(ratio))
