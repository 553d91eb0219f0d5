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
"""

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
    """What an algorithm may know of a node; `balancer.scoreboard.NodeRecord` is the live one."""

    index: int
    name: str
    slots: int | None

    @property
    def in_flight(self) -> int:
        """Requests that this balancer has at the node now."""

    @property
    def weight(self) -> int:
        """Relative share wanted, at least 1."""

    def newest_report(self) -> tuple[NodeReport, float, int] | None:
        """What the node last said of itself, when (monotonic seconds), and how many requests were sent since."""

    def own_service_ms(self) -> tuple[float, float]:
        """Service time without waiting, as the balancer saw it, and when last; (0, 0) without a sample."""

    def latency_ms(self) -> tuple[float, float]:
        """Moving average of latency, and when last; (0, 0) without a sample."""


N = TypeVar("N", bound=Node)  # what is picked is of the kind that was offered


class Algorithm(ABC):
    """Chooses a node for each request."""

    key: ClassVar[str]
    label: ClassVar[str]
    sentence: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    @abstractmethod
    def pick(self, request: Request, ready: Sequence[N], now: float) -> N:
        """Choose one of `ready`, which is never empty. Must not yield: the count goes up right after it."""

    def explain(self) -> dict[str, float]:
        """Scores of the last pick by node name, lower is better; empty when the algorithm does not score."""
        return {}
