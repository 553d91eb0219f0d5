"""Round robin: each node in turn.

Rule: the nodes in the order of config.json; position = picks made so far, by all workers, modulo the ready nodes.
Source: the textbook rule; the position comes from the scoreboard, so it holds no state and goes on through a switch,
and requests that arrive one after the other go to l1, l2, l3 whichever worker takes them.
Cost: O(1): 0.1 us. All costs here are what `python -m lab.pick_cost` printed with CPython 3.11 on a Xeon.
Bound: with one worker the counts differ by at most 1. Workers that pick in the same microseconds can read the same
position; each such meeting repeats one turn and skips another, without a preferred node.
Fails: as soon as one node's equal share is more than it can do; it looks at nothing but the order.
"""

from collections.abc import Sequence

from balancer.algorithms.base import Algorithm, N, Request


class RoundRobin(Algorithm):
    key = "round_robin"
    label = "Round robin"
    sentence = "Each node in turn, whatever it is doing."

    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        return ready[request.sequence % len(ready)]
