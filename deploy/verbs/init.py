"""init: a configuration for somebody's machines, to begin with."""

import json
import sys
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError
from cluster.load import parse
from deploy.outcome import Code


def init(addresses: str, user: str, file: Path) -> int:
    """Write `file` for these machines; the exit code. Nothing is overwritten."""
    machines = [word.strip() for word in addresses.split(",") if word.strip()]
    if not machines:
        print(
            "fab init --addresses A,B,C...: the first is the balancer, the second the dashboard, the others are nodes;"
            " with one or two, they are everything",
            file=sys.stderr,
        )
        return int(Code.PENDING)
    if file.exists():
        print(f"{file} is there already; give another with --file", file=sys.stderr)
        return int(Code.PENDING)
    text = json.dumps(configuration(machines, user), indent=2) + "\n"
    try:
        parse(text, str(file))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    file.write_text(text)
    print(f"wrote {file}; look it over, then: fab setup --config {file}, fab deploy --config {file}")
    return int(Code.OK)


def configuration(machines: list[str], user: str = "") -> dict[str, Any]:
    """A fleet on these machines. With three or more the first two carry no node."""
    names = [f"host{i}" for i in range(1, len(machines) + 1)]
    access = {"os": "linux", "connection": "ssh"} | ({"user": user} if user else {})
    hosts = {name: {"address": address, **access} for name, address in zip(names, machines, strict=True)}
    dashboard = names[1] if len(names) > 2 else names[0]
    carriers = names[2:] if len(names) > 2 else names
    nodes = [{"name": f"l{i}", "host": host, "port": 5000 + i} for i, host in enumerate(carriers, 1)]
    return {
        "fleet": "lan",
        "hosts": hosts,
        "balancers": [{"name": "b1", "host": names[0], "algorithm": "dynamic"}],
        "nodes": nodes,
        "dashboard": {"host": dashboard},
    }
