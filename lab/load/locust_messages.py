"""What master and workers say to each other, besides Locust's own messages."""

from typing import TypedDict

ORDER = "fairlead-order"
DONE = "fairlead-done"
"""{"run", "part", "records" (lab.load.records.to_message) or "error"}."""


class Order(TypedDict):
    """Send this part of that schedule, now."""

    run: int  # counts up, so that late answers to an earlier one are told apart
    url: str
    workload: str  # JSON
    rate: float
    ramp_to: float | None
    duration_s: float
    seed: str
    part: int
    parts: int
