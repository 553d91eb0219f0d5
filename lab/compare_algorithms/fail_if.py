"""`--fail-if 'p99>200ms'`: a condition on the figures that ends the command with exit code 1, for CI. Pure.

    [ALGORITHM.]MEASURE OP VALUE[ms|%]

MEASURE is mean, p50, p90, p95, p99, p999, max (ms), errors (share of requests, %), or ratio (to the baseline, in the
measure of the verdict). Without an algorithm it is held against each of them. OP is > >= < <=.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from cluster.errors import ConfigError, Problem
from lab.compare_algorithms.design import AGAIN

_FORM = re.compile(r"\s*(?:([a-z_0-9]+)\.)?([a-z0-9]+)\s*(>=|<=|>|<)\s*([0-9.]+)\s*(ms|s|%)?\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {">": gt, ">=": ge, "<": lt, "<=": le}
LATENCIES = ("mean", "p50", "p90", "p95", "p99", "p999", "max")
_UNITS = {**dict.fromkeys(LATENCIES, ("ms", "s")), "errors": ("%",), "ratio": ("",)}


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them."""

    text: str
    algorithm: str | None
    measure: str
    operator: str
    value: float


def parse(text: str) -> Condition:
    """ConfigError says what it must look like."""
    found = _FORM.fullmatch(text)
    measures = ", ".join(_UNITS)
    if not found or found[2] not in _UNITS:
        raise ConfigError("--fail-if", [Problem(repr(text), f"give [ALGORITHM.]MEASURE OP VALUE, such as "
                                                            f"'p99>200ms'; measures: {measures}")])  # fmt: skip
    algorithm, measure, operator, number, unit = found.groups()
    if (unit or _UNITS[measure][0]) not in _UNITS[measure]:
        raise ConfigError("--fail-if", [Problem(repr(text), f"{measure} is in {_UNITS[measure][0] or 'no unit'}")])
    try:
        value = float(number)
    except ValueError:
        raise ConfigError("--fail-if", [Problem(repr(text), f"{number!r} is not a number")]) from None
    return Condition(text.strip(), algorithm, measure, operator, value * (1000 if unit == "s" else 1))


def failures(condition: Condition, result: dict[str, Any]) -> list[str]:
    """What makes the command fail, one sentence each. A figure that is not known fails too: nothing was shown."""
    found = []
    arms = [name for name in result["arms"] if not name.endswith(AGAIN)]
    if condition.algorithm and condition.algorithm not in arms:
        return [f"{condition.text}: {condition.algorithm} was not compared"]
    for arm in [condition.algorithm] if condition.algorithm else arms:
        value = _figure(condition.measure, arm, result)
        if value is None:
            if condition.measure != "ratio" or condition.algorithm:
                found.append(f"{condition.text}: {arm} has no {condition.measure}, too few requests")
        elif _OPERATORS[condition.operator](value, condition.value):
            found.append(f"{condition.text}: {arm} has {condition.measure} {value:.4g}")
    return found


def _figure(measure: str, arm: str, result: dict[str, Any]) -> float | None:
    if measure == "ratio":
        wanted = result["headline"]["measure"]
        return next((c["ratio"] for c in result["comparisons"] if (c["a"], c["metric"]) == (arm, wanted)), None)
    figures = result["arms"][arm]
    if measure == "errors":
        total = sum(figures["outcomes"].values())
        return 100 * (1 - figures["outcomes"].get("ok", 0) / total) if total else None
    value = (figures["latency"] or {}).get(f"{measure}_ms")
    return None if value is None else float(value)
