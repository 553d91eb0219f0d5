"""The run: start everything, measure in rounds whose order changes, end everything."""

import contextlib
import http.client
import json
import resource
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.bench import load
from lab.bench.balancers import BALANCERS, nodes
from lab.bench.place import Place, find
from lab.bench.processes import Processes, StartError, free_ports, machine_cpu_s, memory_mb, read_stats, tree_cpu_s
from lab.bench.rows import Row, Sample, add_ratios, rotated, row
from lab.bench.scenarios import ANSWERS, Scenario, Setup

START_S = 20.0


@dataclass(frozen=True, slots=True)
class Running:
    """A started balancer."""

    key: str
    port: int
    pid: int
    """What carries the traffic."""
    control_pid: int | None


@dataclass(frozen=True, slots=True)
class Bench:
    """One run."""

    scenarios: Sequence[Scenario]
    balancers: Sequence[str]
    seconds: int
    """A round of one balancer."""
    rounds: int
    warm_up_s: int
    """Load before the first round of a scenario; 0: none."""
    cpus: tuple[int, int]
    """For the balancers, and for wrk, the nodes and this process."""
    folder: Path
    say: Callable[[str], None]
    """Takes what is going on."""

    def run(self) -> list[Row]:
        """Rows in the order of the scenarios. StartError, LoadError."""
        rows: list[Row] = []
        for i, setup in enumerate(dict.fromkeys(scenario.setup for scenario in self.scenarios)):
            folder = self.folder / f"setup{i}"
            with Processes() as processes:
                backends, running = self._start(setup, folder, processes)
                for scenario in self.scenarios:
                    if scenario.setup == setup:
                        rows += self._scenario(scenario, running, backends, processes)
        order = [scenario.key for scenario in self.scenarios]
        rows.sort(key=lambda each: order.index(each["scenario"]))
        add_ratios(rows)
        return rows

    def _start(self, setup: Setup, folder: Path, processes: Processes) -> tuple[int, dict[str, Running]]:
        """The nodes' pid, and the balancers by key, all answering."""
        keys = [key for key in self.balancers if BALANCERS[key].can(setup)]
        ports = iter(free_ports(setup.nodes + 2 * len(keys)))
        node_ports = [next(ports) for _ in range(setup.nodes)]
        proxy_cpu, load_cpu = self.cpus
        (folder / "nodes").mkdir(parents=True)
        backends = processes.start(nodes(folder / "nodes", node_ports), load_cpu)
        for port in node_ports:
            wait_until_answers("a node", port, processes)
        running: dict[str, Running] = {}
        places: dict[str, Place] = {}
        for key in keys:
            place = Place(folder / key, next(ports), next(ports), node_ports, setup)
            place.folder.mkdir()
            if setup.tls:
                place.make_certificate()
            pids = [processes.start(command, proxy_cpu) for command in BALANCERS[key].commands(place)]
            running[key] = Running(key, place.port, pids[0], pids[1] if pids[1:] else None)
            places[key] = place
        for each in running.values():
            wait_until_answers(each.key, each.port, processes, setup.tls)
        if "fairlead" in places:
            wait_until_probed(places["fairlead"], processes)
        return backends, running

    def _scenario(
        self, scenario: Scenario, running: Mapping[str, Running], backends: int, processes: Processes
    ) -> Iterator[Row]:
        samples: dict[str, list[Sample]] = {key: [] for key in running}
        for each in running.values():
            check_answer(each, scenario)
        if self.warm_up_s:
            self.say(f"{scenario.key}: warm-up")
            for each in running.values():
                self._load(each, scenario, max(self.warm_up_s, scenario.least_s))
        for turn in range(self.rounds):
            order = rotated(list(running), turn)
            self.say(f"{scenario.key}: round {turn + 1} of {self.rounds}: {' '.join(order)}")
            for key in order:
                processes.check()
                samples[key].append(self._sample(running[key], scenario, backends))
        for key in running:
            yield row(scenario.key, key, samples[key], max(self.seconds, scenario.least_s))

    def _load(self, target: Running, scenario: Scenario, seconds: int) -> load.Load:
        return load.run(find("wrk") or "wrk", scenario, target.port, seconds, self.folder, self.cpus[1])

    def _sample(self, target: Running, scenario: Scenario, backends: int) -> Sample:
        def used() -> tuple[float, float, float, float, float]:
            stats = read_stats()
            control_s = tree_cpu_s(stats, target.control_pid) if target.control_pid else 0.0
            ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # only wrk ends while a round runs
            load_s = tree_cpu_s(stats, backends) + ended.ru_utime + ended.ru_stime
            return time.monotonic(), tree_cpu_s(stats, target.pid), control_s, load_s, machine_cpu_s()

        seconds = max(self.seconds, scenario.least_s)
        before = used()
        counted = self._load(target, scenario, seconds)
        after = used()
        elapsed_s, traffic_s, control_s, load_s, machine_s = (b - a for a, b in zip(before, after, strict=True))
        control_mb = memory_mb(target.control_pid) if target.control_pid else 0.0
        return Sample(
            load=counted,
            sent_bytes=counted.requests * scenario.upload_bytes,
            elapsed_s=elapsed_s,
            traffic_cpu_s=traffic_s,
            control_cpu_s=control_s,
            load_cpu_s=load_s,
            other_cpu_s=max(0.0, machine_s - traffic_s - control_s - load_s),
            rss_mb=memory_mb(target.pid) + control_mb,
            control_rss_mb=control_mb,
        )


# -- before anything is measured -------------------------------------------------------------------------------------


def get(
    port: int, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, tls: bool = False
) -> tuple[int, bytes]:
    """Status and body of one answer. OSError or HTTPException when there is none. No certificate is checked."""
    made: http.client.HTTPConnection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    with contextlib.closing(made) as connection:
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()


def wait_until(true: Callable[[], bool], what: str, processes: Processes) -> None:
    """StartError when a process ends meanwhile, or when it is not true in time."""
    until = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if true():
                return
        processes.check()
        if time.monotonic() > until:
            raise StartError(f"{what}: not within {START_S:g} s")
        time.sleep(0.05)


def wait_until_answers(name: str, port: int, processes: Processes, tls: bool = False) -> None:
    """Until it answers 200."""
    wait_until(lambda: get(port, "/small", tls=tls)[0] == 200, f"{name} answers on port {port}", processes)


def wait_until_probed(place: Place, processes: Processes) -> None:
    """Until our control process has seen every node well: then all that it does by default is being done."""

    def all_up() -> bool:
        token = (place.folder / "state" / "token").read_text().strip()
        status, body = get(place.control_port, "/snapshot", headers={"Authorization": f"Bearer {token}"})
        return status == 200 and all(node["health"] == "up" for node in json.loads(body)["nodes"])

    wait_until(all_up, "fairlead's probes find every node up", processes)


def check_answer(target: Running, scenario: Scenario) -> None:
    """StartError when a balancer's answer is not the whole one: nobody should win by sending less."""
    body = b"x" * scenario.upload_bytes if scenario.upload_bytes else None
    status, answer = get(target.port, scenario.path, body, tls=scenario.setup.tls)
    if status != 200 or len(answer) != ANSWERS[scenario.path]:
        raise StartError(
            f"{target.key} answered {scenario.path} with {status} and {len(answer)} bytes, "
            f"not 200 and {ANSWERS[scenario.path]}"
        )
