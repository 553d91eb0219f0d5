"""Rules that only serve to compare with: theory and papers speak of them, nobody should balance by them."""

from collections.abc import Sequence

from balancer.algorithms import Algorithm, N, Request


class RandomSplit(Algorithm):
    """Any node. A Poisson stream split so is Poisson at each node: M/M/1 theory holds exactly."""

    key = "random"
    label = "Random"
    sentence = "Any node, whatever it is doing."

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        return ready[int(self.rng.random() * len(ready))]


BASELINES: dict[str, type[Algorithm]] = {rule.key: rule for rule in (RandomSplit,)}
