"""What is simulated: nodes, work, arrivals, balancers. A scenario is a JSON file or the command's flags.

Times in a scenario are milliseconds or seconds as their names say; the work of a request is the time that a node of
speed 1 needs for it when nothing else runs there.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cluster.config import Kind, Model
from cluster.load import read_model

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Nodes(Model):
    """Some nodes that are alike; they are called n1, n2, ... in the order of the scenario."""

    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    """How many."""
    speed: Positive = 1.0
    """2.0 does the same work in half the time."""
    slots: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Requests that one works on at once: servers of a `fifo` node, processors of a `sharing` one."""
    weight: Annotated[int, Field(ge=1, le=256)] = 1
    """For the algorithms that use weights."""


class Work(Model):
    """How much work the requests of one kind are."""

    share: Positive = 1.0
    """Relative to the other kinds."""
    mean_ms: Positive = 100.0
    """Mean, on a node of speed 1."""
    distribution: Literal["lognormal", "exponential", "constant", "normal"] = "lognormal"
    """`normal`: standard deviation = mean before the part below 0 is cut off, then scaled to the mean."""
    scv: Positive = 4.0
    """Variance / mean^2, of `lognormal` only."""


MIXED = {
    Kind.GENERAL: Work(share=0.40, mean_ms=50, scv=0.5),
    Kind.API: Work(share=0.40, mean_ms=20, scv=0.5),
    Kind.VIDEO: Work(share=0.05, mean_ms=800, scv=0.5),
    Kind.IMAGE: Work(share=0.15, mean_ms=200, scv=0.5),
}
"""The four kinds of our simulated nodes (node/kinds.py), in the sizes of the study that they were taken from."""


class Bursts(Model):
    """Two rates that take turns, each for an exponential time; the mean rate stays what the load says."""

    factor: Annotated[float, Field(gt=1, le=1000)] = 3.0
    """Rate inside a burst / rate outside."""
    length_s: Positive = 2.0
    """Mean length of a burst."""
    every_s: Positive = 10.0
    """Mean time from the beginning of a burst to that of the next."""

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.length_s >= self.every_s:
            raise ValueError(f"length_s {self.length_s:g} must be less than every_s {self.every_s:g}")
        return self


class Arrivals(Model):
    """When requests come."""

    process: Literal["poisson", "constant", "bursts", "trace"] = "poisson"
    """`bursts`: Poisson with two rates in turn. `trace`: the times of a file."""
    bursts: Bursts = Bursts()
    """For process `bursts`."""
    steps: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)
    """The load is multiplied by these one after the other, each for an equal time (a ramp); not for a trace."""
    trace: str | None = None
    """For process `trace`: a CSV file with a head line; columns `at_s`, and if it has them `kind` and `work_ms`."""

    @model_validator(mode="after")
    def _file(self) -> Self:
        if (self.process == "trace") != (self.trace is not None):
            raise ValueError('process "trace" and a file in "trace" belong together')
        if self.process in ("trace", "bursts") and self.steps != (1.0,):
            raise ValueError('"steps" fits only the processes poisson and constant')
        return self


class BrownOut(Model):
    """A node works slower for a while. What it has begun it ends at the old speed, unless it is a `sharing` node."""

    node: Annotated[int, Field(ge=1)]
    """Its number: 1 is n1."""
    factor: Annotated[float, Field(ge=1, le=1000)] = 10.0
    """How many times slower."""
    begin: Share = 1 / 3
    """Share of the run's time at which it begins."""
    end: Share = 2 / 3
    """Share of the run's time at which it ends."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.begin >= self.end:
            raise ValueError(f"begin {self.begin:g} must be before end {self.end:g}")
        return self


class Scenario(Model):
    """Everything that a run depends on besides algorithm and seed."""

    name: str = "custom"
    """For headings."""
    nodes: Annotated[tuple[Nodes, ...], Field(min_length=1)] = (
        Nodes(count=4, speed=1.0, weight=1),
        Nodes(count=3, speed=2.0, weight=2),
        Nodes(count=3, speed=4.0, weight=4),
    )
    """Groups of nodes that are alike."""
    queueing: Literal["fifo", "sharing"] = "fifo"
    """`fifo`: requests wait for a slot in order. `sharing`: all are worked on at once and share the processors."""
    kinds: Annotated[dict[Kind, Work], Field(min_length=1)] = Field(default={Kind.GENERAL: Work()})
    """Work by kind of request."""
    load: Positive | None = 0.75
    """Offered work / what all slots can do; not for a trace."""
    rate_rps: Positive | None = None
    """Offered requests per second, instead of `load`."""
    requests: Annotated[int, Field(ge=100, le=100_000_000)] = 120_000
    """Length of the run; for a trace at most so many of its lines."""
    arrivals: Arrivals = Arrivals()
    clients: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Client addresses that the requests come from, for algorithms that look at them."""
    balancers: Annotated[int, Field(ge=1, le=1000)] = 1
    """Each gets an equal random part of the requests and sees only its own and what nodes report."""
    max_in_flight: Annotated[int, Field(ge=1)] | Literal["slots"] | None = None
    """Late binding: most requests a balancer has at a node; the others wait in the balancer. `slots`: the node's."""
    rtt_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Network, from balancer to node and back."""
    deadline_ms: Positive | None = None
    """A request that takes longer fails then, and the node drops it."""
    reports: bool = True
    """Nodes report their load with every answer and to probes."""
    known_slots: bool = True
    """The balancer's configuration says how many slots each node has."""
    probe_rtt_ms: Annotated[float, Field(ge=0, le=10_000)] = 1.0
    """From asking a node for a report to having it; the node writes it in the middle of that time."""
    probe_every_s: Annotated[float, Field(ge=0, le=3600)] = 1.0
    """Every balancer asks every node so often, besides what the algorithm asks for; 0 = never."""
    brown_outs: tuple[BrownOut, ...] = ()
    measure: tuple[Share, Share] = (0.2, 1.0)
    """Only requests that arrive in this share of the run's time count; the beginning is warm-up."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        traced = self.arrivals.process == "trace"
        if not traced and (self.load is None) == (self.rate_rps is None):
            raise ValueError("give either load or rate_rps")
        if self.measure[0] >= self.measure[1]:
            raise ValueError(f"measure must grow, not be {self.measure[0]:g} to {self.measure[1]:g}")
        for brown_out in self.brown_outs:
            if brown_out.node > self.count:
                raise ValueError(f"brown_outs: there is no node {brown_out.node}, there are {self.count}")
        return self

    @property
    def each(self) -> list[Nodes]:
        """One entry a node."""
        return [group for group in self.nodes for _ in range(group.count)]

    @property
    def count(self) -> int:
        """Number of nodes."""
        return sum(group.count for group in self.nodes)

    @property
    def capacity(self) -> float:
        """Seconds of work that all nodes together can do in a second."""
        return sum(group.count * group.slots * group.speed for group in self.nodes)

    @property
    def mean_work_s(self) -> float:
        """Mean work of a request."""
        total = sum(work.share for work in self.kinds.values())
        return sum(work.share * work.mean_ms for work in self.kinds.values()) / total / 1000

    @property
    def offered_rps(self) -> float:
        """Requests per second, before `steps`."""
        if self.rate_rps is not None:
            return self.rate_rps
        assert self.load is not None, "a trace has its own rate"
        return self.load * self.capacity / self.mean_work_s


def read_scenario(path: Path) -> Scenario:
    """A scenario from its JSON file. ConfigError names every problem in it."""
    return read_model(Scenario, path)
