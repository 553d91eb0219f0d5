"""Which nodes a request may go to, by its path. Group 0 is all nodes; group i is the i-th route's."""

from collections.abc import Sequence

from cluster.config import Balancer, Node


class Routes:
    """The routes of a balancer over the fleet's nodes."""

    def __init__(self, balancer: Balancer, nodes: Sequence[Node]) -> None:
        self.groups: list[frozenset[int]] = [frozenset(range(len(nodes)))]
        prefixes: list[tuple[bytes, int]] = []
        for group, route in enumerate(balancer.routes, start=1):
            self.groups.append(
                frozenset(i for i, node in enumerate(nodes) if node.name in route.nodes or node.kind is route.kind)
            )
            prefixes.append((route.path.rstrip("/").encode(), group))
        self._prefixes = sorted(prefixes, key=lambda prefix: -len(prefix[0]))

    def group_of(self, target: bytes) -> int:
        """The group of the longest route whose segments the target begins with; 0 when none fits."""
        for prefix, group in self._prefixes:
            if target.startswith(prefix) and target[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?"):
                return group
        return 0
