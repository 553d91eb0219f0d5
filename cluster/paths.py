"""Where a fleet keeps its files on one host: the state folder (`.run`) and the logs.

Every process finds them through two environment variables, so that several fleets can live on one machine:
FAIRLEAD_CONFIG (config.json) and FAIRLEAD_STATE (the folder). Both default to the project's own.
"""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes; Supervisor adds a pid to it while it starts


def config_file() -> Path:
    """config.json of this fleet."""
    return Path(os.environ.get("FAIRLEAD_CONFIG") or PROJECT / "config.json").absolute()


def release() -> str:
    """Id of the release that this process's code belongs to; `dev` for code that was not deployed."""
    told = os.environ.get("FAIRLEAD_RELEASE")
    if told:
        return told
    try:
        return (PROJECT / "RELEASE").read_text().strip()  # written by `fab deploy`, into each release's own folder
    except OSError:
        return "dev"


def state_dir() -> Path:
    """Sockets, tokens, scoreboards, generated files: everything that is not logs. Mode 0700."""
    return Path(os.environ.get("FAIRLEAD_STATE") or PROJECT / ".run").absolute()


def log_dir() -> Path:
    """Logs: beside the state folder, so that a fleet started by hand in the project writes to `logs/`."""
    return state_dir().parent / "logs"


def token_file() -> Path:
    """The operator's token, mode 0600."""
    return state_dir() / "token"


def scoreboard_file(balancer: str) -> Path:
    """The saved copy of the scoreboard that a balancer's workers and its control process share."""
    return state_dir() / f"{balancer}.scoreboard"


def orders_file(balancer: str) -> Path:
    """What operators ordered: algorithm, admin states, weights."""
    return state_dir() / f"{balancer}.orders.json"
