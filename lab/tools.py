"""What `lab` needs beyond a running fleet (requirements-tools.lock), and one sentence when it is not there."""

import importlib.util
import sys


def need(*packages: str) -> None:
    """End the program with a sentence when one of these cannot be imported. Call it before importing any of them."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        sys.exit(f"{', '.join(missing)} is not installed: scripts/linux/lab installs what the lab needs and runs it")
