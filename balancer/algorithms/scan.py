"""The lowest of a list of scores, ties broken by chance: what most rules end with."""

from collections.abc import Sequence
from random import Random


def lowest(scores: Sequence[float], rng: Random) -> int:
    """Index of the lowest score; each of those that share it is as likely as the others.

    A fixed order would send every tie to the first node, a random start most of them to the node behind a busy one.
    """
    low = min(scores)
    if scores.count(low) == 1:
        return scores.index(low)
    tied = [i for i, score in enumerate(scores) if score == low]
    return tied[int(rng.random() * len(tied))]
