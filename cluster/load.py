"""Reading config.json: text in, a `Fleet` or every problem at once out."""

import difflib
import json
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cluster.config import PATTERNS, Fleet
from cluster.errors import ConfigError, Problem

M = TypeVar("M", bound=BaseModel)
Between = Callable[[dict[str, Any]], list[Problem]]
"""Finds problems that lie between parts of a raw JSON object."""


def load(path: Path | str) -> Fleet:
    """Read and check a configuration file. ConfigError names every problem in it."""
    path = Path(path)
    return parse(_text_of(path), source=path.name)


def parse(text: str, source: str = "config.json") -> Fleet:
    """Check a configuration's text. ConfigError names every problem in it."""
    return _checked(Fleet, text, source, _between_parts)


def read_model(model: type[M], path: Path) -> M:
    """Read and check any other JSON file of ours that has a model. ConfigError names every problem in it."""
    return _checked(model, _text_of(path), str(path), lambda raw: [])


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # editors of Windows put a byte order mark before it
    except FileNotFoundError:
        raise ConfigError(str(path), [Problem("", "no such file; give another with --config FILE")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            str(path), [Problem("", f"is not UTF-8 text (byte {error.start}); save it as UTF-8")]
        ) from None
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror}")]) from None


def _checked(model: type[M], text: str, source: str, between: Between) -> M:
    duplicates: list[Problem] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, times in Counter(key for key, _ in pairs).items():
            if times > 1:
                duplicates.append(Problem(key, f"this key is there {times} times in one object; keep one"))
        return dict(pairs)

    try:
        raw = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        hint = (
            "; JSON knows no comments, and no comma before a closing bracket" if error.msg.startswith("Expect") else ""
        )
        raise ConfigError(source, [Problem(where, f"not JSON: {error.msg}{hint}")]) from None
    except ValueError:  # Python reads no numbers of over 4300 digits
        raise ConfigError(source, [Problem("", "a number in it has thousands of digits")]) from None
    except RecursionError:
        raise ConfigError(source, [Problem("", "nested too deeply")]) from None

    problems = duplicates
    checked: M | None = None
    try:
        # As JSON and strictly: "5001" and true are no numbers, here as little as for an editor with the JSON Schema.
        checked = model.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        # A list whose items all failed is also reported as too short: the items' own problems say it better.
        found = [e for e in error.errors(include_url=False) if not (e["type"] == "too_short" and e["input"])]
        problems += [_problem(model, dict(e)) for e in found]
    if isinstance(raw, dict):
        problems += between(raw)
    if problems or checked is None:
        raise ConfigError(source, problems)
    return checked


_OBJECT = "must be an object, { ... }"
_SHAPES = {
    "model_type": _OBJECT,
    "dict_type": _OBJECT,
    "tuple_type": "must be a list, [ ... ]",
    "too_short": "must hold at least one",
}
_MOST_SHOWN = 60  # characters of a value


def _problem(model: type[BaseModel], error: dict[str, Any]) -> Problem:
    """One of pydantic's errors in our words: the value, the rule, the way out."""
    loc = error["loc"]
    path = _dotted(loc)
    if error["type"] == "extra_forbidden":
        known = _keys_at(model, loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else "known here: " + ", ".join(sorted(known))
        return Problem(path, f"unknown key; {hint}")
    if error["type"] == "missing":
        return Problem(path, "is missing and has no default")
    message = _SHAPES.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch":
        message = PATTERNS.get(error["ctx"]["pattern"], message)
    value = error["input"]
    if isinstance(value, dict | list):
        return Problem(path, message)
    shown = json.dumps(value, ensure_ascii=False)
    if len(shown) > _MOST_SHOWN:
        shown = shown[: _MOST_SHOWN - 1] + "…"
    return Problem(path, f"{shown}: {message[0].lower()}{message[1:]}")


def _dotted(loc: tuple[Any, ...]) -> str:
    out = ""
    for part in loc:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out


def _keys_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The keys that the model at `loc` knows; none where the place is not an object of ours."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:  # a list or dict of models: the part is an index or a key
            here = next(iter(_models(here)), None)
    here = next(iter(_models(here)), None)
    return list(here.model_fields) if here else []


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models inside an annotation such as `tuple[Node, ...]` or `Dashboard | None`."""
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
    elif get_origin(annotation) in (tuple, list, dict, Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _models(inner)


def _between_parts(raw: dict[str, Any]) -> list[Problem]:
    """Rules between parts: unique names, known hosts, one listener a port. Works on raw JSON, so that these
    problems are reported together with those of single fields."""
    problems: list[Problem] = []
    hosts = raw.get("hosts", {"here": {}})
    hosts = hosts if isinstance(hosts, dict) else {}
    names: dict[str, str] = {}
    ports: dict[tuple[str, int], str] = {}

    def part(where: str, item: Any, port_keys: dict[str, int | None], on_host: bool = True) -> None:
        if not isinstance(item, dict):
            return
        name = item.get("name")
        if isinstance(name, str):
            if name in names:
                problems.append(Problem(f"{where}.name", f'"{name}" is also {names[name]}; names are unique'))
            names.setdefault(name, where)
        host = item.get("host", "here")
        if not on_host or not isinstance(host, str):
            return
        if host not in hosts:
            known = ", ".join(map(str, hosts)) or "none"
            problems.append(Problem(f"{where}.host", f'"{host}" is not in hosts (known: {known})'))
        for key, default in port_keys.items():
            port = item.get(key, default)
            if isinstance(port, int):
                taken = ports.setdefault((host, port), f"{where}.{key}")
                if taken != f"{where}.{key}":
                    problems.append(Problem(f"{where}.{key}", f"{port} on host {host} is also {taken}"))

    def each(key: str) -> Iterator[tuple[str, Any]]:
        items = raw.get(key)
        if isinstance(items, list):
            yield from ((f"{key}[{i}]", item) for i, item in enumerate(items))

    for where, item in each("balancers"):
        part(where, item, {"port": 8080, "control_port": 8081})
        problems.extend(_routes(where, item, [node for _, node in each("nodes") if isinstance(node, dict)]))
    probing = True
    match raw.get("health"):
        case {"probe": {"enabled": False}}:
            probing = False
    for where, item in each("nodes"):
        external = isinstance(item, dict) and item.get("runs") == "external"
        part(where, item, {"port": None}, on_host=not external)
        if probing and isinstance(item, dict) and item.get("runs") in ("command", "external"):
            probe = item.get("probe", {})
            if isinstance(probe, dict) and probe.get("enabled", True) and not probe.get("path"):
                problems.append(
                    Problem(
                        f"{where}.probe.path",
                        f'is needed with runs "{item["runs"]}": a path that answers 2xx or 3xx when the node is well;'
                        ' without one, set "probe": {"enabled": false}',
                    )
                )
    part("dashboard", raw.get("dashboard"), {"port": 8090})
    return problems


def _routes(where: str, balancer: Any, nodes: list[dict[str, Any]]) -> Iterator[Problem]:
    """Each route must lead to a node."""
    routes = balancer.get("routes") if isinstance(balancer, dict) else None
    names = [node.get("name") for node in nodes]
    for i, route in enumerate(routes if isinstance(routes, list) else []):
        if not isinstance(route, dict):
            continue
        at, wanted, kind = f"{where}.routes[{i}]", route.get("nodes", []), route.get("kind")
        for name in wanted if isinstance(wanted, list) else []:
            if name not in names:
                yield Problem(f"{at}.nodes", f"there is no node {name!r} (known: {', '.join(map(str, names))})")
        if kind is None and not wanted:
            yield Problem(at, 'leads nowhere: give "kind", "nodes" or both')
        elif kind and not wanted and not any(node.get("kind", "general") == kind for node in nodes):
            yield Problem(f"{at}.kind", f"no node is of kind {kind!r}")
