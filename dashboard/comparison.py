"""A comparison (`python -m lab.compare_algorithms`): what a person may ask for, its arguments, how far it is. Pure.

It runs on this very fleet, one algorithm after the other, and puts back the one that was in force.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboard.access import Denied

MODULE = "lab.compare_algorithms"
REPORT = "report.html"
PRESET = "classroom"
"""Within three minutes: what somebody who watches will wait for."""

_PLAN = re.compile(r"(\d+) blocks of")
_DONE = re.compile(r"block (\d+) done")


def checked(body: Any, known: Sequence[str]) -> dict[str, Any]:
    """`{"algorithms": [KEY, ...]}`, two at least. Denied names what is wrong."""
    order = body if isinstance(body, dict) else {}
    keys = order.get("algorithms")
    if not isinstance(keys, list) or len({str(key) for key in keys}) < 2:
        raise Denied(400, "algorithms: choose at least two")
    for key in keys:
        if key not in known:
            raise Denied(400, f"algorithms: {key!r} is not one of {', '.join(known)}")
    return {"algorithms": list(dict.fromkeys(keys))}


def about(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    """For the page; `report` is the path below /lab/report/."""
    text = f"comparison of {', '.join(order['algorithms'])}"
    return {"text": text, **order, "report": f"{folder.name}/{REPORT}"}


def arguments(order: dict[str, Any], folder: Path, url: str, control: str) -> list[str]:
    """Of the comparison; the first algorithm is what the others are held against."""
    keys = order["algorithms"]
    where = [url, "--control", control, "--out", str(folder)]
    return [*where, "--preset", PRESET, "--baseline", keys[0], "--algorithms", *keys]


def progress(line: str, before: dict[str, Any]) -> dict[str, Any]:
    """What a line of its talk tells: `{text, blocks, part}`, part 0 to 1 once it is known."""
    after = {**before, "text": line[:200]}
    if found := _PLAN.search(line):
        after["blocks"] = int(found[1])
    if (found := _DONE.search(line)) and after.get("blocks"):
        after["part"] = round(int(found[1]) / after["blocks"], 3)
    return after
