"""Real processes for tests: nodes, balancer, control, and the dashboard where the config has one; under gunicorn, on
free ports, in a folder of their own.

    with running(tmp_path, fleet_config([{"name": "l1"}, {"name": "l2"}])) as fleet:
        fleet.url, fleet.snapshot(), fleet.kill("node-l1")

Programs are called what Supervisor calls them: balancer, balancer-control, node-NAME. The balancer listens on a socket
that it inherits, as under Supervisor, so that nobody is refused while it starts again. Only processes that were
started here are stopped, by their pid.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster import auth, paths

HERE = "127.0.0.1"
_COMMANDS = {
    "balancer": ("balancer.gunicorn_conf", "balancer.worker:application"),
    "balancer-control": ("balancer.control_conf", "balancer.control:create()"),
    "node": ("node.gunicorn_conf", "node.app:application"),
    "dashboard": ("dashboard.gunicorn_conf", "dashboard.app:application"),
}
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that was not given before."""
    while True:
        with socket.socket() as sock:
            sock.bind((HERE, 0))
            port = int(sock.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def fleet_config(
    nodes: list[dict[str, Any]], *, health: dict[str, Any] | None = None, **balancer: Any
) -> dict[str, Any]:
    """A config.json: these nodes (ports are found where none is given), one balancer b1 with these settings."""
    return {
        "fleet": "test",
        "balancers": [{"name": "b1", "port": free_port(), "control_port": free_port(), **balancer}],
        "nodes": [{"port": free_port(), **node} for node in nodes],
        "health": health or {},
    }


def wait_until_gone(pid: int, within_s: float = 10) -> None:
    """Until there is no process of that id, or only its remains that nobody has collected."""
    ends = time.monotonic() + within_s
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        assert time.monotonic() < ends, f"process {pid} is still there"
        time.sleep(0.02)


class RunningFleet:
    """A started fleet. `folder` holds config.json, run/ (state), logs/ and out/ (what the programs printed)."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config
        self.port: int = config["balancers"][0]["port"]
        self.control_port: int = config["balancers"][0]["control_port"]
        self.url = f"http://{HERE}:{self.port}"
        self.control_url = f"http://{HERE}:{self.control_port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "out").mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        self.token = auth.read_token(folder / "run" / "token")
        self._listener = socket.create_server((HERE, self.port), backlog=1024)

    # -- processes ---------------------------------------------------------------------------------------------------

    @property
    def programs(self) -> list[str]:
        """All that are ours to start."""
        ours = [n["name"] for n in self.config["nodes"] if n.get("runs", "simulated") == "simulated"]
        shown = ["dashboard"] if "dashboard" in self.config else []
        return [*(f"node-{name}" for name in ours), "balancer-control", "balancer", *shown]

    def start(self, *programs: str) -> None:
        """Start these programs (all when none is named) and wait until each answers."""
        for program in programs or self.programs:
            self._spawn(program)
        for program in programs or self.programs:
            self._wait_for(program)

    def _spawn(self, program: str) -> None:
        kind, _, node = program.partition("-") if program.startswith("node-") else (program, "", "")
        conf, app = _COMMANDS[kind]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
        environment |= {
            "FAIRLEAD_CONFIG": str(self.folder / "config.json"),
            "FAIRLEAD_STATE": str(self.folder / "run"),
            "FAIRLEAD_NODE": node,
            "FAIRLEAD_RELEASE": "test",
        }
        inherits = program == "balancer"
        if inherits:
            environment["FAIRLEAD_INHERIT"] = "1"
        with (self.folder / "out" / program).open("ab") as out:
            self.processes[program] = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", f"python:{conf}", app],
                cwd=paths.PROJECT,
                env=environment,
                stdin=self._listener.fileno() if inherits else subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def _wait_for(self, program: str) -> None:
        ends = time.monotonic() + 60
        known = {"balancer": self.url, "balancer-control": self.control_url, "dashboard": self.dashboard_url}
        url = known.get(program) or self.node_url(program[5:])
        while True:
            try:
                with urllib.request.urlopen(f"{url}/-/health", timeout=5):
                    return
            except OSError:
                code = self.processes[program].poll()
                assert code is None, f"{program} ended with {code}:\n{self.printed(program)}"
                assert time.monotonic() < ends, f"{program} does not answer:\n{self.printed(program)}"
                time.sleep(0.03)

    def workers(self, program: str) -> list[int]:
        """Pids of a program's gunicorn workers."""
        pid = self.processes[program].pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill(self, program: str) -> None:
        """kill -9, gunicorn's master first and then its workers, and wait until all are gone."""
        workers = self.workers(program)
        self.kill_master(program)
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in workers:
            wait_until_gone(pid)

    def kill_master(self, program: str) -> None:
        """kill -9 of gunicorn's master alone; its workers notice and go by themselves."""
        self.processes[program].kill()
        self.processes[program].wait(10)

    def stop(self, program: str, signum: int = signal.SIGTERM, within_s: float = 40) -> None:
        """Stop it as Supervisor would."""
        self.processes[program].send_signal(signum)
        self.processes[program].wait(within_s)

    def close(self) -> None:
        """Stop all that was started, at once."""
        self._listener.close()
        living = [process for process in self.processes.values() if process.poll() is None]
        for process in living:
            process.send_signal(signal.SIGQUIT)
        for process in living:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)

    def printed(self, program: str) -> str:
        """What a program wrote to its output."""
        return (self.folder / "out" / program).read_text(errors="replace")

    def tracebacks(self) -> dict[str, str]:
        """Programs that met something unforeseen. A worker that is stopped while it stops says SystemExit: foreseen."""
        out = {}
        for program in self.processes:
            first, *traces = self.printed(program).split("Traceback (most recent call last)")
            found = [trace for trace in traces if "\nSystemExit: 0" not in trace]
            if found or "Exception ignored" in first:
                out[program] = self.printed(program)
        return out

    # -- talking to it -----------------------------------------------------------------------------------------------

    def control(self, path: str, method: str = "GET", body: Any = None, token: str | None = "") -> tuple[int, Any]:
        """Ask the control API; (status, JSON). `token` None: without one."""
        headers = {} if token is None else {"Authorization": f"Bearer {token or self.token}"}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control_url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def snapshot(self) -> Any:
        return self.control("/snapshot?probes=1")[1]

    def nodes(self) -> dict[str, Any]:
        """NodeViews by name."""
        return {node["name"]: node for node in self.snapshot()["nodes"]}

    def until(self, true_of: Callable[[Any], bool], within_s: float = 5) -> Any:
        """The snapshot as soon as `true_of` it."""
        ends = time.monotonic() + within_s
        while True:
            shot = self.snapshot()
            if true_of(shot):
                return shot
            assert time.monotonic() < ends, json.dumps(shot, indent=1)
            time.sleep(0.02)

    def idle(self, within_s: float = 5) -> Any:
        """The snapshot as soon as nothing is in flight, neither in sum nor at any node."""
        return self.until(
            lambda shot: shot["totals"]["in_flight"] == 0 and not any(node["in_flight"] for node in shot["nodes"]),
            within_s,
        )

    def switch(self, algorithm: str) -> int:
        """Switch the algorithm and wait until every worker has followed; the event's number."""
        status, said = self.control("/algorithm", "POST", {"algorithm": algorithm, "who": "test"})
        assert status == 200, said
        self.until(lambda shot: all(worker["algorithm"] == algorithm for worker in shot["workers"]))
        return int(said["seq"])

    def order(self, node: str, **order: Any) -> Any:
        status, said = self.control(f"/nodes/{node}", "PATCH", {"who": "test", **order})
        assert status == 200, said
        return said

    def events(self, after: int = 0) -> list[Any]:
        return list(self.control(f"/events?after={after}")[1]["events"])

    def event(self, *words: str, after: int = 0, within_s: float = 3) -> Any:
        """The first event after `after` whose text has all these words in it; waits for it."""
        ends = time.monotonic() + within_s
        while True:
            events = self.events(after)
            for event in events:
                if all(word in event["text"] for word in words):
                    return event
            assert time.monotonic() < ends, (words, events)
            time.sleep(0.05)

    @property
    def dashboard_url(self) -> str:
        return f"http://{HERE}:{self.config.get('dashboard', {}).get('port')}"

    def node_url(self, name: str) -> str:
        node = {node["name"]: node for node in self.config["nodes"]}[name]
        return f"http://{node.get('address', HERE)}:{node['port']}"

    def node_stats(self, name: str) -> Any:
        """What a simulated node says of itself, with the ids of the requests it worked on."""
        with urllib.request.urlopen(self.node_url(name) + "/-/stats?executions=1", timeout=10) as answer:
            return json.load(answer)

    def fault(self, name: str, **fault: Any) -> None:
        """Give a simulated node a fault; without `kind`: take all away."""
        headers = {"Authorization": f"Bearer {self.token}"}
        method = "POST" if fault else "DELETE"
        url = self.node_url(name) + "/-/faults"
        request = urllib.request.Request(url, json.dumps(fault).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=10):
            pass

    def log(self, name: str) -> list[Any]:
        """The lines of logs/NAME.jsonl, of older files too."""
        files = sorted((self.folder / "logs").glob(f"{name}.jsonl*"), key=lambda path: path.stat().st_mtime)
        files = [path for path in files if path.suffix != ".lock"]
        return [json.loads(line) for path in files for line in path.read_text().splitlines()]

    def decisions(self, since: float, count: int, within_s: float = 20) -> list[Any]:
        """The decisions made since `since` (time.time()), in order, as soon as there are `count`."""
        ends = time.monotonic() + within_s
        while True:
            made = [each for each in self.log("decisions") if each["do"] == "pick" and each["at"] >= since]
            if len(made) >= count:
                return sorted(made, key=lambda decision: float(decision["at"]))
            assert time.monotonic() < ends, f"{len(made)} of {count} decisions are in the log"
            time.sleep(0.05)


@contextmanager
def running(folder: Path, config: dict[str, Any], *programs: str) -> Iterator[RunningFleet]:
    """Start these programs (all when none is named); stop all at the end. Nothing unforeseen may have happened."""
    fleet = RunningFleet(folder, config)
    try:
        fleet.start(*programs)
        yield fleet
    finally:
        fleet.close()
    assert not fleet.tracebacks(), fleet.tracebacks()
