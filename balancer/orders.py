"""What operators ordered, kept on disk: algorithm, admin states, weights.

The scoreboard holds the same, and workers read only that; this file is for the day when the scoreboard is lost.
config.json is never written: it says how the fleet is meant, this says how it is run now.
"""

import json
import os
from pathlib import Path
from typing import TypedDict

from cluster.states import Admin, admin_from


class NodeOrders(TypedDict, total=False):
    """Orders for one node; what is left out is as config.json says."""

    admin: str
    weight: int


class Orders:
    """Read once, written whole at each change (a temporary file, then a rename: never half)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.algorithm: str | None = None
        self.nodes: dict[str, NodeOrders] = {}
        self.damaged = ""  # why the file could not be used, "" when it could
        self._read()

    def _read(self) -> None:
        try:
            raw = json.loads(self._path.read_text())
            algorithm = raw.get("algorithm")
            nodes = {str(name): self._checked(orders) for name, orders in raw.get("nodes", {}).items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            self.damaged = f"{self._path.name} cannot be used ({error}); starting from config.json"
            return
        self.algorithm = algorithm if isinstance(algorithm, str) else None
        self.nodes = nodes

    @staticmethod
    def _checked(raw: dict[str, object]) -> NodeOrders:
        orders = NodeOrders()
        if "admin" in raw:
            orders["admin"] = admin_from(str(raw["admin"])).word
        if "weight" in raw:
            weight = raw["weight"]
            if not isinstance(weight, int) or not 0 <= weight <= 256:
                raise ValueError(f"weight {weight!r} is not a whole number from 0 to 256")
            orders["weight"] = weight
        return orders

    def set_algorithm(self, key: str) -> None:
        """Write and remember. OSError: it cannot be kept, and all is as it was."""
        self._write(key, self.nodes)

    def set_node(self, name: str, admin: Admin | None, weight: int | None) -> None:
        """Write and remember. OSError: it cannot be kept, and all is as it was."""
        orders = NodeOrders(**self.nodes.get(name, {}))
        if admin is not None:
            orders["admin"] = admin.word
        if weight is not None:
            orders["weight"] = weight
        self._write(self.algorithm, {**self.nodes, name: orders})

    def _write(self, algorithm: str | None, nodes: dict[str, NodeOrders]) -> None:
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            with fresh.open("w") as file:
                json.dump({"algorithm": algorithm, "nodes": nodes}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        self.algorithm, self.nodes = algorithm, nodes
