"""The stage of one fault: three nodes, one balancer, the load. Everything is started for it and ended after it.

A fault is a function that takes the stage, breaks something, waits, and takes it back. While it waits, the stage does
what Supervisor would: a balancer that ended is started again.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster import pair
from lab.bench.place import Place
from lab.bench.processes import Command, Processes, StartError, free_ports, read_stats, tree, written_mb
from lab.bench.run import get, wait_until
from lab.bench.scenarios import Setup
from lab.faults.balancers import BALANCERS, PROGRAM
from lab.faults.rows import Record, Row, always, row

if TYPE_CHECKING:
    from lab.faults.registry import Fault

NODES = ("l1", "l2", "l3")
WORKERS = 2
SERVICE_MS = 2.0
NORMAL_S = 0.8  # load before the injection
IDLE_S = 3.0  # how long in flight may take to be 0 again after the load


def play(fault: "Fault", balancer: str, folder: Path) -> Row:
    """Set the stage, let the fault happen under load, count. StartError when something did not come up."""
    folder.mkdir(parents=True)
    with Processes() as processes:
        stage = Stage(fault, balancer, folder, processes)
        stage.start()
        records = folder / "records"
        load = Child(processes, "lab.faults.load", stage.port, records, log=folder / "load.log")
        stage.wait(NORMAL_S)
        broke_off = []
        try:
            fault.run(stage)
        except (StartError, OSError, http.client.HTTPException) as error:
            broke_off = [f"the fault could not be carried through: {error}"]
        load.finish()
        if not records.exists():
            raise StartError(f"the load broke off: {(folder / 'load.log').read_text()[-2000:]}")
        seen = [Record(*json.loads(line)) for line in records.read_text().splitlines()]
        made = row(
            fault.key, balancer, seen,
            injected=stage.broken_at, taken_back=stage.whole_at, watched=stage.watched, executed=stage.executed(),
        )  # fmt: skip
        made["in_flight"] = stage.in_flight() if balancer == "fairlead" else None
        made["measured"], made["notes"] = stage.measured, stage.notes
        if fault.measure is not None and not broke_off:
            made["measured"] |= fault.measure(seen, stage)
        kept = (promise(made) for promise in fault.promises)
        made["missed"] = [*broke_off, *always(made), *(text for text in kept if text)]
        return made


class Child:
    """A program of ours that is told over its standard input what to do."""

    def __init__(self, processes: Processes, module: str, *arguments: object, log: Path) -> None:
        self._processes = processes
        self._told, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-m", module, *map(str, arguments)]
            self.pid = processes.start(Command(argv, log, stdin=theirs.fileno()))
        self._told.settimeout(5)

    def tell(self, **order: Any) -> None:
        """Returns when the order is in force."""
        self._told.sendall(json.dumps(order).encode() + b"\n")
        if not self._told.recv(100):
            raise StartError("a node ended when it was told to misbehave")

    def finish(self) -> None:
        """End its standard input and wait for it."""
        self._told.close()
        until = time.monotonic() + 15
        while not self._processes.ended(self.pid) and time.monotonic() < until:
            time.sleep(0.02)
        self._processes.end(self.pid)

    def kill(self) -> None:
        """kill -9."""
        self._told.close()
        self._processes.end(self.pid, signal.SIGKILL)


class Stage:
    """What faults act on."""

    def __init__(self, fault: "Fault", balancer: str, folder: Path, processes: Processes) -> None:
        self.fault = fault
        self.balancer = BALANCERS[balancer]
        self.ours = balancer == "fairlead"
        self.folder = folder
        self.processes = processes
        self.port, self.control_port, *node_ports = free_ports(2 + len(NODES))
        self.node_ports = dict(zip(NODES, node_ports, strict=True))
        self.nodes: dict[str, Child] = {}
        self.broken_at = 0.0
        self.whole_at: float | None = None
        self.watched: tuple[str, ...] = ()
        self.measured: dict[str, float] = {}
        self.notes: list[str] = []
        self._commands: list[Command] = []
        self._pids: list[int] = []
        self._paused: set[int] = set()  # pids that are not started again

    def start(self) -> None:
        """Nodes and balancer, all answering and probed."""
        (self.folder / "logs").mkdir()
        place = Place(self.folder, self.port, self.control_port, list(self.node_ports.values()),
                      Setup(workers=WORKERS, algorithm=self.fault.algorithm))  # fmt: skip
        self._commands = self.balancer.commands(place, self._hold_socket() if self.balancer.inherits else -1)
        for index in self._traffic:
            self._commands[index] = self.fault.wrap(self._commands[index], self.folder / "logs")
        for name in NODES:
            self._spawn(name)
        self._pids = [self.processes.start(command) for command in self._commands]
        for name in NODES:
            self._answers(name)
        wait_until(lambda: get(self.port, "/w/start")[0] == 200, f"{self.balancer.key} answers", self.processes)
        if self.ours:
            wait_until(self._all_up, "the probes find every node up", self.processes)

    def _hold_socket(self) -> int:
        """Listen for the balancer, as Supervisor does; the descriptor. OSError when somebody else does, and stays."""
        until = time.monotonic() + 5
        while True:
            try:
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=2048)
                return self._listener.fileno()
            except OSError:  # who was killed with the last one may not be quite gone
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def _all_up(self) -> bool:
        return all(node["health"] == "up" for node in self.control("/snapshot")["nodes"])

    # -- time --------------------------------------------------------------------------------------------------------

    def breaks(self, *watched: str) -> None:
        """Now it breaks. `watched`: the nodes that it hits."""
        self.broken_at, self.watched = time.monotonic(), watched

    def is_whole(self) -> None:
        """Now it is taken back."""
        self.whole_at = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Wait, and start again what ended meanwhile."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            self.supervise()
            time.sleep(min(0.05, left_s))

    def supervise(self) -> None:
        """Start again what ended by itself, as Supervisor and systemd do."""
        for index, pid in enumerate(self._pids):
            if pid not in self._paused and self.processes.ended(pid):
                self.processes.end(pid)
                self._pids[index] = self.processes.start(self._commands[index])
                self.notes.append(f"{('the balancer', 'control', 'who stood by')[index]} ended and was started again")

    # -- nodes -------------------------------------------------------------------------------------------------------

    def _spawn(self, name: str) -> None:
        journal = self.folder / f"{name}.journal"
        log = self.folder / f"{name}.log"
        self.nodes[name] = Child(
            self.processes, "lab.faults.node", name, self.node_ports[name], SERVICE_MS, journal, log=log
        )

    def _answers(self, name: str) -> None:
        wait_until(lambda: get(self.node_ports[name], "/health")[0] == 200, f"{name} answers", self.processes)

    def kill_nodes(self, *names: str) -> None:
        """kill -9."""
        for name in names:
            self.nodes.pop(name).kill()

    def start_nodes(self, *names: str) -> None:
        """Start killed ones again; returns when they answer."""
        for name in names:
            self._spawn(name)
        for name in names:
            self._answers(name)

    def signal_node(self, name: str, signum: int) -> None:
        os.kill(self.nodes[name].pid, signum)

    def tell(self, *names: str, fault: str | None) -> None:
        """Misbehave so from now on; None: behave."""
        for name in names:
            self.nodes[name].tell(fault=fault)

    def journal(self) -> list[list[str]]:
        """What the nodes noted, as words."""
        files = [self.folder / f"{name}.journal" for name in NODES]
        return [line.split() for file in files if file.exists() for line in file.read_text().splitlines()]

    def executed(self) -> Counter[str]:
        """How often each POST was executed."""
        return Counter(words[2] for words in self.journal() if words[:2] == ["did", "POST"])

    # -- the balancer ------------------------------------------------------------------------------------------------

    @property
    def traffic_pid(self) -> int:
        """What carries the traffic: gunicorn's, HAProxy's or nginx's master."""
        serving = pair.read_pid(pair.serving_file(self.folder / "state", PROGRAM))
        return serving if serving in self._pids else self._pids[0]

    @property
    def _traffic(self) -> tuple[int, ...]:
        """Indices of the commands that carry the traffic or stand by to do so."""
        return tuple(index for index in range(len(self._commands)) if index != 1)

    def workers(self) -> list[int]:
        """Children of the master."""
        return tree(read_stats(), self.traffic_pid)[1:]

    def busiest_worker(self) -> int:
        """The one that has used most CPU time: clients hang on it."""
        stats = read_stats()
        return max(self.workers(), key=lambda pid: stats[pid].cpu_s)

    def memory_mb(self) -> float:
        """What the processes that carry the traffic hold themselves."""
        return written_mb(self.traffic_pid)

    def reload(self) -> None:
        """Have it read its configuration again."""
        os.kill(self.traffic_pid, self.balancer.reload)

    def restart(self) -> None:
        """End it in good order, then start it again; who stands by first, as a deploy does."""
        serving = self._pids.index(self.traffic_pid)
        standby = pair.standby_file(self.folder / "state", PROGRAM)
        for index in self._traffic:
            if index != serving:
                self._start_anew(index)
                wait_until(lambda: pair.read_pid(standby) in self._pids, "one stands by", self.processes)
        self._start_anew(serving)

    def _start_anew(self, index: int) -> None:
        self.processes.end(self._pids[index], self.balancer.stop, within_s=10)
        self._pids[index] = self.processes.start(self._commands[index])

    def kill_everything(self, meanwhile: Callable[[], None]) -> None:
        """kill -9 of all its processes and the end of the held socket; then `meanwhile`, then all is started again."""
        stats = read_stats()
        pids = [pid for root in self._pids for pid in tree(stats, root)]
        if self.balancer.inherits:
            self._listener.close()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self._pids:
            self.processes.end(self._pids.pop(), signal.SIGKILL)
        meanwhile()
        if self.balancer.inherits:
            listener = self._hold_socket()
            for index in self._traffic:
                self._commands[index] = replace(self._commands[index], stdin=listener)
        self._pids = [self.processes.start(command) for command in self._commands]

    def kill_control(self) -> None:
        """kill -9 of all of control, which stays dead until `start_control`."""
        pid = self._pids[1]
        self._paused.add(pid)
        for child in tree(read_stats(), pid)[1:]:
            os.kill(child, signal.SIGKILL)
        self.processes.end(pid, signal.SIGKILL)

    def start_control(self) -> None:
        """Start it again; returns when it answers."""
        self._pids[1] = self.processes.start(self._commands[1])
        wait_until(lambda: get(self.control_port, "/-/health")[0] == 200, "control answers", self.processes)

    def control(self, path: str, method: str = "GET", **body: Any) -> Any:
        """Ask the control API; JSON."""
        headers = {"Authorization": "Bearer " + (self.folder / "state" / "token").read_text().strip()}
        data = json.dumps(body | {"who": "lab.faults"}) if body else None
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=5)) as connection:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise StartError(f"control answered {method} {path} with {answer.status}: {said[:200]!r}")
            return json.loads(said)

    def in_flight(self) -> int:
        """What the balancer counts as in flight, as soon as it is 0, or after a while without load."""
        until = time.monotonic() + IDLE_S
        while True:
            count = -1
            with contextlib.suppress(OSError, http.client.HTTPException):
                shot = self.control("/snapshot")
                count = max(shot["totals"]["in_flight"], sum(node["in_flight"] for node in shot["nodes"]))
            if count == 0 or time.monotonic() > until:
                return int(count)
            self.wait(0.05)
