"""The load generator with real connections: what is counted, slow and broken targets, Locust's workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cluster.errors import ConfigError
from cluster.paths import PROJECT
from lab.load.generator import Generator, Target
from lab.load.records import OK
from lab.load.schedule import draw
from lab.load.workload import FOREIGN, TYPED, KindLoad, Workload
from tests.fleet import RunningFleet, fleet_config, free_port, running

pytestmark = pytest.mark.e2e

TWO_KINDS = Workload(kinds={"general": KindLoad(mean_ms=5), "api": KindLoad(path="/api", mean_ms=5)}, deadline_s=1.0)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    nodes = [{"name": "slow", "speed": 1.0}, {"name": "fast", "speed": 4.0}]
    with running(tmp_path_factory.mktemp("load"), fleet_config(nodes, workers=1, algorithm="round_robin")) as it:
        it.until(lambda shot: all(node["health"] == "up" for node in shot["nodes"]))
        yield it


def send(url: str, workload: Workload, rate: float = 40, seconds: float = 2.0):  # type: ignore[no-untyped-def]
    generator = Generator(Target(url))
    try:
        return generator.run(draw(workload, rate, seconds, "1"))
    finally:
        generator.close()


def test_every_request_arrives_once_with_its_kind_and_its_work(fleet: RunningFleet) -> None:
    before = {name: fleet.node_stats(name)["counters"]["by_kind"] for name in ("slow", "fast")}
    records = send(fleet.url, TWO_KINDS)
    after = {name: fleet.node_stats(name)["counters"]["by_kind"] for name in ("slow", "fast")}
    assert records.counts() == {OK: len(records)}
    for number, kind in enumerate(records.kinds):
        seen = sum(after[name][kind] - before[name][kind] for name in after)
        assert seen == np.sum(records.rows["kind"] == number) > 20
    assert sum(records.by_node().values()) == len(records)
    speed = records.rows["work_ms"] / records.rows["service_ms"]
    for name, is_speed in (("slow", 1), ("fast", 4)):
        mine = records.rows["node"] == records.nodes.index(name)
        assert np.sum(mine) > 20
        assert speed[mine] == pytest.approx(is_speed, rel=0.01)
    assert np.all(records.latencies_ms() > records.rows["service_ms"])


def test_the_loop_is_open_a_target_that_hangs_does_not_slow_the_sending(fleet: RunningFleet) -> None:
    for name in ("slow", "fast"):
        fleet.fault(name, kind="hang", expires_s=30, health=False)
    try:
        records = send(fleet.url, TWO_KINDS, rate=40, seconds=2.0)
    finally:
        for name in ("slow", "fast"):
            fleet.fault(name)
    assert len(records) > 50
    assert np.all(~np.isnan(records.rows["sent_s"]))
    assert records.counts().get("timeout", 0) > 0.9 * len(records)
    assert np.all(records.latencies_ms()[~records.ok] >= 999)  # the deadline counts as the latency
    assert records.wall_s < 6
    fleet.idle()


def test_nobody_there_is_refused_and_counted() -> None:
    records = send(f"http://127.0.0.1:{free_port()}", FOREIGN, rate=30, seconds=1.0)
    assert records.counts() == {"refused": len(records)}
    assert np.all(records.latencies_ms() == 10_000)


@contextmanager
def answering(answers: list[bytes]) -> Iterator[str]:
    """A server whose connections each get the next of these after a request, and then the end."""
    code = (
        "import socket,sys,ast\n"
        "answers=ast.literal_eval(sys.argv[1]); s=socket.create_server(('127.0.0.1',0))\n"
        "print(s.getsockname()[1],flush=True)\n"
        "i=0\n"
        "while True:\n"
        "    c,_=s.accept(); c.recv(65536); c.sendall(answers[i%len(answers)]); c.close(); i+=1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, repr(answers)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_what_is_no_proper_answer_is_told_apart() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    answers = [ok, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"", b"SMTP\r\n\r\n", ok[:-1]]
    with answering(answers) as url:
        found = send(url, FOREIGN, rate=50, seconds=2.0).counts()
    assert set(found) == {OK, "503", "cut", "garbage"}
    assert found["cut"] > found[OK]  # nothing at all, and an answer that ends too early


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "https://x", "http://", "http://x:99999", "http://no.such.host.invalid"]
)
def test_a_url_that_is_none_is_said(url: str) -> None:
    with pytest.raises(ConfigError, match="URL"):
        Target(url)


# -- the command -----------------------------------------------------------------------------------------------------


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "lab.load", *options]


def ran(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options), cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_prints_figures_and_says_when_nothing_answers(fleet: RunningFleet) -> None:
    done = ran(fleet.url, "--rate", "40", "--duration", "1.5", "--mix", "api=1", "--json")
    assert done.returncode in (0, 3), done.stderr  # 3: this machine is busy, and it is said
    said = json.loads(done.stdout)
    assert said["outcomes"] == {"ok": said["latency"]["n"]}
    assert said["valid"] is (done.returncode == 0)
    assert list(said["by_kind"]) == ["api"]
    done = ran(f"http://127.0.0.1:{free_port()}", "--duration", "1")
    assert done.returncode == 1
    assert "refused" in done.stdout
    done = ran("ftp://x")
    assert done.returncode == 2
    assert "give http://HOST:PORT" in done.stderr


def test_ctrl_c_prints_what_was_measured(fleet: RunningFleet) -> None:
    process = subprocess.Popen(command(fleet.url, "--duration", "60", "--json"), cwd=PROJECT, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    before = fleet.snapshot()["totals"]["requests"]
    fleet.until(lambda shot: shot["totals"]["requests"] > before + 20, within_s=30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert json.loads(out)["outcomes"]["ok"] >= 20
    fleet.idle()


def test_locust_workers_send_the_same_requests(fleet: RunningFleet, tmp_path: Path) -> None:
    """Two workers, one schedule: together they send what one generator would, and the figures are one."""
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    argv = [sys.executable, "-m", "locust", "-f", str(PROJECT / "lab/load/locustfile.py"), "--worker",
            "--master-host", "127.0.0.1", "--master-port", str(port)]  # fmt: skip
    master = subprocess.Popen(
        command(fleet.url, "--rate", "40", "--duration", "2", "--json", "--locust", "2", "--locust-port", str(port)),
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < until
        assert master.poll() is None, master.communicate()
        time.sleep(0.1)
    before = sum(fleet.node_stats(name)["counters"]["requests"] for name in ("slow", "fast"))
    with (tmp_path / "workers").open("wb") as log:
        workers = [subprocess.Popen(argv, cwd=tmp_path, env=environment, stdout=log, stderr=log) for _ in range(2)]
    try:
        out, err = master.communicate(timeout=60)
        assert master.returncode in (0, 3), (err, (tmp_path / "workers").read_text())
        said = json.loads(out)

        assert said["outcomes"] == {"ok": len(draw(TYPED, 40, 2, "1"))}
        after = sum(fleet.node_stats(name)["counters"]["requests"] for name in ("slow", "fast"))
        assert after - before == said["latency"]["n"]
        for worker in workers:
            worker.wait(15)  # the master's end is theirs
    finally:
        for process in (master, *workers):
            if process.poll() is None:
                process.kill()
                process.wait()
