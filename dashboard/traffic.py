"""Demo traffic: what a person may ask for, and the load generator's arguments for it (`python -m lab.load`). Pure."""

import json
from typing import Any

from cluster.config import Kind
from dashboard.access import Denied

MODULE = "lab.load"
MOST_RPS = 2000
MOST_S = 3600
MIX: dict[str, float] = {Kind.GENERAL.value: 1.0}


def checked(body: Any) -> dict[str, Any]:
    """`{"rps", "seconds", "mix": {kind: share}}`, complete. Denied names what is wrong."""
    order = body if isinstance(body, dict) else {}
    rps = number("rps", order.get("rps", 20), 0.1, MOST_RPS)
    seconds = number("seconds", order.get("seconds", 60), 1, MOST_S)
    mix = order.get("mix") or MIX
    kinds = [kind.value for kind in Kind]
    if not isinstance(mix, dict) or not mix.keys() <= set(kinds):
        raise Denied(400, f"mix is an object of shares by kind ({', '.join(kinds)})")
    mix = {kind: number(f"mix.{kind}", share, 0, 1000) for kind, share in mix.items()}
    if not any(mix.values()):
        raise Denied(400, "mix: at least one share must be above 0")
    return {"rps": rps, "seconds": seconds, "mix": mix}


def about(order: dict[str, Any]) -> dict[str, Any]:
    """For the page."""
    kinds = ", ".join(kind for kind, share in order["mix"].items() if share)
    text = f"demo traffic, {order['rps']:g} requests/s of {kinds} for {order['seconds']:g} s"
    return {"text": text, **order}


def number(name: str, value: Any, least: float, most: float) -> float:
    """A number within bounds; Denied otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise Denied(400, f"{name}: {value!r} is not a number from {least:g} to {most:g}")
    return float(value)


def arguments(order: dict[str, Any], url: str) -> list[str]:
    """Of the load generator."""
    mix = ",".join(f"{kind}={share:g}" for kind, share in order["mix"].items() if share)
    return [url, "--rate", f"{order['rps']:g}", "--duration", f"{order['seconds']:g}", "--mix", mix, "--progress-json"]


def progress(line: str, before: dict[str, Any]) -> dict[str, Any]:
    """The newest JSON object that it printed; talk changes nothing. A browser knows no NaN, so it becomes null."""
    try:
        told = json.loads(line, parse_constant=lambda word: None)
    except (ValueError, RecursionError):
        return before
    return told if isinstance(told, dict) else before
