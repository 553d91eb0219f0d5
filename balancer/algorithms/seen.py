"""Nodes and requests as plain values: what tests, pictures and the replay of a decision hand to an algorithm."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.wire import NodeReport


@dataclass
class SeenNode:
    """What is known of a node at one moment. `report` is (rif, slots, service_ms, at, sent since)."""

    name: str
    index: int = 0
    in_flight: int = 0
    weight: int = 1
    slots: int | None = 8
    report: tuple[int, int, float, float, int] | None = None
    own_service: tuple[float, float] = (0.0, 0.0)
    latency: tuple[float, float] = (0.0, 0.0)

    def newest_report(self) -> tuple[NodeReport, float, int] | None:
        if self.report is None:
            return None
        rif, slots, service_ms, at, sent = self.report
        return NodeReport(rif=rif, slots=slots, service_ms=service_ms), at, sent

    def own_service_ms(self) -> tuple[float, float]:
        return self.own_service

    def latency_ms(self) -> tuple[float, float]:
        return self.latency


@dataclass
class SeenRequest:
    """A request; `sequence` counts the picks before it."""

    kind: str = "general"
    client_key: str = "127.0.0.1"
    sequence: int = 0


def nodes(*names: str, weights: Sequence[int] = ()) -> list[SeenNode]:
    """Idle nodes, of weight 1 unless `weights` says otherwise."""
    made = [SeenNode(name, index) for index, name in enumerate(names)]
    for node, weight in zip(made, weights, strict=False):
        node.weight = weight
    return made
