"""What an algorithm is: one method that chooses.

    class Mine(Algorithm):
        key = "mine"
        label = "Mine"
        sentence = "One sentence for the dashboard: what it looks at."

        def pick(self, request, ready, now):
            return ready[0]

Add the class to `ALGORITHMS` in `__init__.py` and it can be configured, switched to live, simulated, and it is tested
by the contract test. Rules: no clock, no sockets, no sleeping, no counters of one's own: `now` (monotonic seconds) and
`rng` are handed in, and what has happened lies on the nodes. State may be kept only if losing it costs nothing worse
than a few picks, because a switch makes a fresh object and every worker has its own.

Two worlds run the same object: the balancer (`balancer/picker.py`) and the simulator (`lab/simulate`). Both owe it this
order of calls, for each worker's object by itself:

    on_membership(nodes)                       once at first, and whenever the set of ready nodes has changed
    pick(request, ready) -> node               only when there is a choice; then `node.in_flight` goes up, and
    on_start(node, request)                    for every attempt, picked or forced (a single node, a sticky cookie)
    probe(ready) -> nodes                      right after a pick: whom to ask for a report now, beside the traffic
    on_report(node, report)                    a report came, with an answer or from a probe; the node shows it already
    on_end(node, request, ...)                 once for each on_start, however it ended; in flight is down already

A hook that a class does not override is never called, and costs nothing. `rng` may be drawn from in `pick` and `probe`
only: a decision is replayed by seeding it as it was at that pick.
"""

# ruff: noqa: B027 (a hook that does nothing is how a class says that it does not need it)

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from random import Random
from typing import ClassVar, Protocol, TypeVar

from cluster.wire import NodeReport


class Need(StrEnum):
    """What an algorithm looks at, so that the dashboard can say which control has no effect."""

    WEIGHT = "weight"
    LATENCY = "latency"
    REPORT = "report"
    CLIENT_KEY = "client_key"
    KIND = "kind"


class Request(Protocol):
    """What an algorithm may know of a request."""

    @property
    def kind(self) -> str:
        """general, api, image or video."""

    @property
    def client_key(self) -> str:
        """The same for all requests of one client."""

    @property
    def sequence(self) -> int:
        """How many picks all workers of this balancer have made before this one."""


class Node(Protocol):
    """What an algorithm may know of a node; `balancer.scoreboard.NodeRecord` is the live one.

    `index` is the node's place in config.json, 0 and up: the same for as long as the algorithm's object lives.
    `slots` is what config.json says (None: unknown); what the node itself reports is in its report.
    """

    index: int
    name: str
    slots: int | None

    @property
    def in_flight(self) -> int:
        """Requests that this balancer has at the node now, over all its workers."""

    @property
    def weight(self) -> int:
        """Relative share wanted, at least 1."""

    def newest_report(self) -> tuple[NodeReport, float, int] | None:
        """What the node last said of itself, when (monotonic seconds), and how many requests were sent since."""

    def own_service_ms(self) -> tuple[float, float]:
        """Service time without waiting, as the balancer saw it, and when last; (0, 0) without a sample."""

    def latency_ms(self) -> tuple[float, float]:
        """Moving average of latency, and when last; (0, 0) without a sample. Answers of 500 and above are no sample."""


N = TypeVar("N", bound=Node)  # what is picked is of the kind that was offered


class Algorithm(ABC):
    """Chooses a node for each request.

    `rng`: all its randomness. `balancers`: how many balancers of the fleet share these nodes, this one included.

    For people: `label` (two words), `sentence` (what it looks at), `caution` (when not to use it, "" when there is
    nothing to say), `needs` (what it looks at), `requires` (of those, what it cannot do without: while no node and no
    request has it, the dashboard shows the algorithm as disabled and says why).
    """

    key: ClassVar[str]
    label: ClassVar[str]
    sentence: ClassVar[str]
    caution: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset()
    requires: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self, rng: Random, balancers: int = 1) -> None:
        self.rng = rng
        self.balancers = balancers

    @abstractmethod
    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        """Choose one of `ready`, which is never empty. Must not yield: the count goes up right after it."""

    def explain(self) -> dict[str, float]:
        """Scores of the last pick by node name, lower is better; empty when the algorithm does not score."""
        return {}

    def on_membership(self, nodes: Sequence[Node], now: float) -> None:
        """All nodes that are ready now. What `pick` is offered is these, or fewer (a route, a second attempt)."""

    def on_start(self, node: Node, request: Request, now: float) -> None:
        """`request` goes to `node`; the node's in flight has gone up."""

    def on_end(
        self, node: Node, request: Request, now: float, latency_ms: float, service_ms: float, ok: bool | None
    ) -> None:
        """An attempt is over; the node's in flight has gone down.

        `ok`: a whole answer with a status below 500 came; None: the client left, so nobody knows. `latency_ms`: from
        its start to its end. `service_ms`: how long it was worked on without waiting, as far as is known: from the
        node, else its latency if it met a free slot, else 0.
        """

    def on_report(self, node: Node, report: NodeReport, now: float) -> None:
        """The node said how it is; `newest_report` shows it already."""

    def probe(self, ready: Sequence[N], now: float) -> Sequence[N]:
        """Nodes to ask for a report now. Asking costs the request nothing: it is done beside the traffic.

        The balancer asks a node one thing at a time and leaves out what it cannot do; there is no promise of an answer.
        """
        return ()

    @classmethod
    def overrides(cls, hook: str) -> bool:
        """Whether this class does something at `hook` (the name of a method); if not, it need not be called."""
        return getattr(cls, hook) is not getattr(Algorithm, hook)
