"""Most room: the node with the most free slots, by its own report; those that say nothing come last."""

from balancer.algorithms import Algorithm, Need


class MostRoom(Algorithm):
    key = "most_room"
    label = "Most room"
    sentence = "The node with the most free slots, as it says itself."
    needs = frozenset({Need.REPORT})

    def pick(self, request, ready, now):
        return max(ready, key=self.room)

    def room(self, node):
        newest = node.newest_report()
        if newest is None:
            return -node.in_flight, self.rng.random()
        report, _, sent_since = newest
        return report["slots"] - report["rif"] - sent_since, self.rng.random()
