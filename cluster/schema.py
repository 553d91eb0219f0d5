"""What config.json may hold, for editors and for people: `python -m cluster.schema` writes both files anew.

`docs/config.schema.json` (JSON Schema 2020-12) and `docs/config.md` are made from the models in `cluster/config.py`;
`--check` only says whether they are up to date (exit 0 or 1).
"""

import json
import sys
from pathlib import Path
from typing import Any

from cluster import paths
from cluster.config import Fleet

SCHEMA = "docs/config.schema.json"
MANUAL = "docs/config.md"

WHERE = {
    "Fleet": "the whole file",
    "Host": "hosts.KEY",
    "Balancer": "balancers[]",
    "Timeouts": "balancers[].timeouts",
    "Limits": "balancers[].limits",
    "Retries": "balancers[].retries",
    "Queue": "balancers[].queue",
    "Route": "balancers[].routes[]",
    "Sticky": "balancers[].sticky",
    "Tls": "balancers[].tls",
    "Node": "nodes[]",
    "NodeProbe": "nodes[].probe",
    "App": "nodes[].app",
    "Health": "health",
    "ProbeSettings": "health.probe",
    "Ejection": "health.ejection",
    "Dashboard": "dashboard",
}
"""Where in the file each model stands, in the order of the manual."""

EXAMPLES = {
    "The smallest": """\
{
  "balancers": [{"name": "b1"}],
  "nodes": [{"name": "l1", "port": 5001}, {"name": "l2", "port": 5002}]
}
""",
    "Your own program on two ports, and a machine that runs already": """\
{
  "balancers": [{"name": "b1", "algorithm": "least_connections"}],
  "nodes": [
    {"name": "shop-1", "port": 9001, "runs": "command", "command": "node server.js --port {port}",
     "directory": "/srv/shop", "environment": {"NODE_ENV": "production"}, "probe": {"path": "/healthz"}},
    {"name": "shop-2", "port": 9002, "runs": "command", "command": "node server.js --port {port}",
     "directory": "/srv/shop", "environment": {"NODE_ENV": "production"}, "probe": {"path": "/healthz"}},
    {"name": "old-shop", "port": 80, "runs": "external", "address": "192.168.1.30", "probe": {"path": "/"}}
  ],
  "dashboard": {}
}
""",
    "Three machines": """\
{
  "fleet": "classroom",
  "hosts": {
    "desk": {"address": "192.168.1.20", "connection": "local"},
    "pc1": {"address": "192.168.1.21", "connection": "ssh", "user": "student"},
    "pc2": {"address": "192.168.1.22", "connection": "ssh", "user": "student"}
  },
  "balancers": [{"name": "b1", "host": "desk"}],
  "nodes": [
    {"name": "l1", "host": "pc1", "port": 5001, "slots": 16, "speed": 2.0, "weight": 2},
    {"name": "l2", "host": "pc2", "port": 5001}
  ],
  "dashboard": {"host": "desk"}
}
""",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema of config.json."""
    schema = Fleet.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Fairlead config.json"} | {
        key: value for key, value in schema.items() if key not in ("title", "description")
    }


def manual() -> str:
    """The reference for people, in Markdown."""
    schema = Fleet.model_json_schema()
    models = {"Fleet": schema, **{k: v for k, v in schema["$defs"].items() if "properties" in v}}
    out = [
        "# config.json",
        "",
        "Made from `cluster/config.py` by `python -m cluster.schema`; change the models, not this page."
        " `scripts/linux/fairlead check` tells whether a file is in order, and what it would run."
        f" Editors complete and check with `{SCHEMA}`.",
        "",
        "Every key that is not listed here is refused. All problems are reported at once. Durations are in seconds.",
    ]
    for name in WHERE:
        out += ["", *_section(name, models[name], schema["$defs"])]
    out += ["", "## Examples"]
    for title, text in EXAMPLES.items():
        out += ["", f"{title}:", "", "```json", text.rstrip(), "```"]
    return "\n".join(out) + "\n"


def files() -> dict[str, str]:
    """Both generated files: path in the project -> text."""
    return {SCHEMA: json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", MANUAL: manual()}


def stale(project: Path) -> list[str]:
    """Those that differ from what the models say now."""
    return [
        path
        for path, text in files().items()
        if not (project / path).is_file() or (project / path).read_text(encoding="utf-8") != text
    ]


def _section(name: str, model: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    rows = [f"## {name}: `{WHERE[name]}`" if name != "Fleet" else "## The whole file", ""]
    if "description" in model and name != "Fleet":
        rows += [model["description"], ""]
    rows += ["| key | value | default | what |", "|---|---|---|---|"]
    required = model.get("required", [])
    for key, field in model["properties"].items():
        default = "needed" if key in required else _default(field, definitions)
        what = field.get("description", definitions.get(_ref(field), {}).get("description", ""))
        rows.append(f"| `{key}` | {_cell(_type(field, definitions))} | {_cell(default)} | {_cell(what)} |")
    return rows


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    name = _ref(field)
    if name:
        target = definitions[name]
        return " or ".join(f"`{v}`" for v in target["enum"]) if "enum" in target else f"[{name}](#{_anchor(name)})"
    if "anyOf" in field:
        return " or ".join(_type(option, definitions) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field:
        return " or ".join(f"`{v}`" for v in field["enum"])
    match field.get("type"):
        case "array":
            return f"list of {_type(field['items'], definitions)}"
        case "object":
            values = field.get("additionalProperties") or next(iter(field["patternProperties"].values()))
            return f"object of {_type(values, definitions)}"
        case "string":
            return "name: letters, digits, -; a letter first; at most 32" if "pattern" in field else "text"
        case "boolean":
            return "`true` or `false`"
        case kind:
            return f"{'whole number' if kind == 'integer' else 'number'}{_range(field)}"


def _range(field: dict[str, Any]) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is None and "exclusiveMinimum" in field:
        return f", above {field['exclusiveMinimum']:g}" + (f", at most {high:g}" if high is not None else "")
    if low is None:
        return ""
    return f", {low} to {high}" if high is not None else f", {low} or more"


def _default(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    if isinstance(value, dict) and "properties" in definitions.get(_ref(field), {}):
        return "as below"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _ref(field: dict[str, Any]) -> str:
    options = [field, *field.get("allOf", [])]
    return next((str(o["$ref"]).rpartition("/")[2] for o in options if "$ref" in o), "")


def _anchor(name: str) -> str:
    """GitHub's anchor of a section's heading."""
    kept = [c for c in f"{name}: {WHERE[name]}".lower() if c.isalnum() or c in " -"]
    return "".join(kept).replace(" ", "-")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main(argv: list[str] | None = None) -> int:
    """Write both files; with --check only compare."""
    check = "--check" in (sys.argv[1:] if argv is None else argv)
    old = stale(paths.PROJECT)
    if check:
        print("\n".join(f"{path} is stale: python -m cluster.schema" for path in old) or "up to date")
        return 1 if old else 0
    for path in old:
        (paths.PROJECT / path).write_text(files()[path], encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
