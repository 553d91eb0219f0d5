"""What `fab status` makes of what the balancers say."""

from typing import Any

import pytest

from deploy.verbs.look import _down


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ("up", ""),
        ("unknown", ""),  # a balancer that has just started has not asked yet
        ("down", "node-l1 answers on its host, but is down for balancer b2 (no answer within 2 s)"),
    ],
)
def test_a_node_that_no_probe_reaches_is_told(health: str, said: str) -> None:
    def shot(of_l1: str) -> dict[str, Any]:
        cause = "no answer within 2 s"
        nodes = [("l1", of_l1), ("l2", "down")]
        return {"nodes": [{"name": name, "health": health, "cause": cause} for name, health in nodes]}

    assert _down("node-l1", {"b0": None, "b1": shot("up"), "b2": shot(health)}) == said
    assert _down("balancer", {"b1": shot("down")}) == ""
