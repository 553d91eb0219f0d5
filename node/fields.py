"""Reading what people send: each reader says which field is wrong, what was in it, and the rule it breaks."""

import json
import math
from collections.abc import Iterable


class BadField(ValueError):
    """A field that cannot be used (400)."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field = field
        if isinstance(value, float) and not math.isfinite(value):
            value = repr(value)  # Python reads and writes NaN and Infinity, JSON knows neither
        self.value = value
        self.rule = rule
        super().__init__(f"{field}: {json.dumps(value, default=str)[:200]}: must be {rule}")


def number(field: str, value: object, low: float, high: float) -> float:
    """A number from `low` to `high`, from JSON or from a query's text."""
    rule = f"a number from {low:g} to {high:g}"
    found = _number(value)
    if found is None or not low <= found <= high:  # NaN compares false, so it is refused too
        raise BadField(field, value, rule)
    return found


def whole(field: str, value: object, low: int, high: int) -> int:
    """A whole number from `low` to `high`, from JSON or from a query's text."""
    found = _number(value)
    if found is None or not low <= found <= high or found != int(found):
        raise BadField(field, value, f"a whole number from {low} to {high}")
    return int(found)


def flag(field: str, value: object) -> bool:
    """true or false, JSON only."""
    if not isinstance(value, bool):
        raise BadField(field, value, "true or false")
    return value


def one_of(field: str, value: object, known: Iterable[str]) -> str:
    """One of the known words."""
    words = list(known)
    if not isinstance(value, str) or value not in words:
        raise BadField(field, value, "one of " + ", ".join(words))
    return value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
