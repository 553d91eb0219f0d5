"""One command at the operator's computer: configuration, chosen hosts, connections, report, result."""

import getpass
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import fabric

from cluster import paths
from cluster.config import Fleet
from cluster.errors import ConfigError, FairleadError
from cluster.load import load
from deploy import targets
from deploy.hosts import connection, host_keys
from deploy.outcome import Code, HostResult, Outcome
from deploy.reach import Reach
from deploy.report import Report


class Ends(FairleadError):
    """The command is over, with this code and sentence."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class Command:
    """What every verb works with."""

    def __init__(self, name: str, config: Path, ssh: fabric.Config, options: dict[str, Any]) -> None:
        self.name = name
        self.config = config.absolute()
        self.options = options
        self.fleet: Fleet = load(self.config)
        self.hosts = targets.choose(
            self.fleet, options.get("hosts") or "", options.get("roles") or "", options.get("besides") or ""
        )
        state = paths.state_dir()
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.report = Report(name, state / "fab.log", bool(options.get("json")), bool(options.get("verbose")))
        self.outcome = Outcome(name, self.fleet.fleet)
        self.results = {h: HostResult(h, targets.roles_of(self.fleet, h)) for h in self.hosts}
        self.outcome.hosts = list(self.results.values())
        self.who = f"{getpass.getuser()}@{socket.gethostname()}"
        self._ssh = ssh
        self._pins = state / "known_hosts"

    @property
    def owner(self) -> dict[str, Any]:
        """Who we are, for locks."""
        return {"who": self.who, "host": socket.gethostname(), "pid": os.getpid(), "command": self.name}

    @contextmanager
    def reach(
        self, hosts: list[str] | None = None, as_root: bool = False, confirm: host_keys.Confirm | None = None
    ) -> Iterator[Reach]:
        """Connections to the hosts (those chosen), for as long as the block lasts. Hosts that are not there are noted
        in the results; without any the command ends."""
        access = connection.Access(self._ssh, self._pins, self.fleet.fleet, f"fab by {self.who}", confirm)
        reach = Reach(self.fleet, self.hosts if hosts is None else hosts, access, self.report.note)
        try:
            reach.open(as_root)
            for host, why in reach.unreachable.items():
                self.fail(host, "unreachable", why)
            for host, error in reach.refused.items():
                self.fail(host, "failed", str(error), error.log)
            if not reach.hello:
                if reach.refused:
                    raise Ends(Code.PREFLIGHT, "no host is as it must be; nothing was done")
                raise Ends(Code.UNREACHABLE, "no host can be reached; nothing was done")
            yield reach
        finally:
            reach.close()

    def fail(self, host: str, result: str, why: str, log: list[str] | None = None) -> None:
        """Note what is wrong with a host."""
        if host in self.results:
            row = self.results[host]
            row.result, row.detail, row.log = result, why, log or []
        self.report.raw(f"{host}: {result}: {why}")

    def code_of_hosts(self) -> Code:
        """What the hosts' results amount to."""
        found = {row.result for row in self.results.values()}
        if "failed" in found:
            return Code.FAILED
        return Code.UNREACHABLE if "unreachable" in found else Code.OK

    def check_config(self) -> None:
        """Also what only the balancer knows, such as which algorithms there are: its own command is asked."""
        command = [sys.executable, "-m", "balancer.cli", "check", "--config", str(self.config)]
        done = subprocess.run(command, cwd=paths.PROJECT, capture_output=True, text=True)
        if done.returncode:
            raise Ends(Code.PENDING, (done.stderr or done.stdout).strip())


def run(verb: Callable[[Command], None], name: str, config: Path | None, ssh: Any, **options: Any) -> int:
    """Carry out a verb; returns the exit code. Nothing is raised but by a broken program."""
    try:
        command = Command(name, config or paths.config_file(), ssh, options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return int(Code.PENDING)
    outcome = command.outcome
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        verb(command)
    except Ends as error:
        outcome.code, outcome.summary = error.code, str(error)
    except ConfigError as error:
        outcome.code, outcome.summary = Code.PENDING, str(error)
    except FairleadError as error:
        outcome.code, outcome.summary = Code.FAILED, str(error)
    except KeyboardInterrupt:
        outcome.code = Code.INTERRUPTED
        outcome.summary = (
            "Interrupted. Each host is on one whole release, what was being changed takes itself back;"
            " `fab status` shows it, `fab deploy` goes on, `fab rollback` goes back"
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return command.report.end(outcome)


def _interrupt(number: int, frame: FrameType | None) -> None:
    connection.INTERRUPTED.set()
    raise KeyboardInterrupt
