"""Each fault as a program in a host meets it: real connections and files, not the probes that `inject` looks with."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lab.lan import of_network
from lab.lan.errors import LanError
from lab.lan.fault import Fault
from lab.lan.faults import clear, inject
from lab.lan.host import Host
from lab.lan.lan import Lan

# Connects, and times as many round trips of one byte as asked; prints {"connect_s", "trips_s"} or {"error"}.
CLIENT = """
import json, socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
begun = time.monotonic()
try:
    with socket.create_connection((address, port), timeout=0.8) as connection:
        connect_s, trips = time.monotonic() - begun, []
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(float(sys.argv[4]))
        for _ in range(count):
            at = time.monotonic()
            connection.sendall(b"x")
            assert connection.recv(1)
            trips.append(time.monotonic() - at)
    print(json.dumps({"connect_s": connect_s, "trips_s": trips}))
except OSError as error:
    print(json.dumps({"error": type(error).__name__}))
"""
# Echoes on port 7, counts on port 9 what it is sent and answers with the seconds from the first byte to the last.
SERVER = """
import socket, socketserver, threading, time
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Sink(socketserver.BaseRequestHandler):
    def handle(self):
        data, begun = self.request.recv(65536), time.monotonic()
        while data:
            data = self.request.recv(65536)
        self.request.sendall(str(time.monotonic() - begun).encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
sink = Server(("", 9), Sink)
threading.Thread(target=sink.serve_forever, daemon=True).start()
echo = Server(("", 7), Echo)
print("listens", flush=True)
echo.serve_forever()
"""
SENDER = """
import socket, sys
with socket.create_connection((sys.argv[1], 9), timeout=10) as connection:
    connection.sendall(bytes(int(sys.argv[2])))
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(100).decode())
"""


@contextmanager
def serving(host: Host) -> Iterator[None]:
    """A host with the echo and the sink."""
    with host.popen(["python3", "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"listens\n"
        yield
        server.kill()


@pytest.fixture
def served(lan: Lan) -> Iterator[None]:
    """alpha echoes."""
    with serving(lan.host("alpha")):
        yield


def talk(source: Host, target: Host, trips: int = 1, wait_s: float = 5) -> dict[str, object]:
    said = source.run(["python3", "-c", CLIENT, target.address, "7", str(trips), str(wait_s)])
    answer: dict[str, object] = json.loads(said.stdout)
    return answer


def trips_s(source: Host, target: Host, count: int) -> list[float]:
    said = talk(source, target, count)
    assert "error" not in said, said
    trips = said["trips_s"]
    assert isinstance(trips, list)
    return sorted(trips)


def reaches(source: Host, target: Host) -> bool:
    said = talk(source, target)
    # A cut line refuses nothing: no answer, or (OSError) no neighbour of that address any more.
    assert said.get("error") in (None, "TimeoutError", "OSError"), said
    return "error" not in said


def eventually(true: Callable[[], bool], within_s: float = 10) -> None:
    limit = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.usefixtures("served")
def test_a_partition_cuts_one_host_off_from_all_others_and_no_other(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    assert reaches(lan.operator, alpha)
    assert "frames dropped" in inject(lan, Fault("alpha", "partition"))
    assert not reaches(lan.operator, alpha)
    assert not reaches(beta, alpha)
    ssh = ["ssh", "-F", str(lan.ssh_config), "-o", "ConnectTimeout=1"]
    assert lan.operator.run([*ssh, "alpha", "true"], check=False).returncode == 255
    assert lan.operator.run([*ssh, "beta", "true"]).returncode == 0
    assert alpha.run(["hostname"]).stdout == "alpha\n"  # exec goes past the network
    assert clear(lan, "alpha") == [Fault("alpha", "partition")]
    eventually(lambda: reaches(beta, alpha))


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_partition_one_way_lets_the_other_way_pass(direction: str, lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    sent = ["python3", "-c", "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); "
            "s.sendto(b'x', (sys.argv[1], 9))"]  # fmt: skip
    listens = ["python3", "-c", "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 9)); "
               "s.settimeout(1.5); print('listens', flush=True); print(s.recv(9))"]  # fmt: skip
    for host in (alpha, beta):  # neighbours are known: a one-way cut would also cut the question for them
        peer = beta if host is alpha else alpha
        host.run(["ip", "neigh", "replace", peer.address, "lladdr", peer.mac, "dev", "eth0", "nud", "permanent"])
    inject(lan, Fault("alpha", "partition", direction=direction))
    for source, target, passes in ((beta, alpha, direction == "out"), (alpha, beta, direction == "in")):
        listener = target.popen(listens, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == b"listens\n"
            source.run([*sent, target.address])
            assert listener.stdout.read() == (b"b'x'\n" if passes else b"")
    assert not reaches(beta, alpha)  # TCP needs both ways
    for host in (alpha, beta):
        host.run(["ip", "neigh", "flush", "dev", "eth0", "nud", "permanent"])


@pytest.mark.usefixtures("served")
def test_a_partition_of_a_pair_leaves_both_to_everybody_else(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    inject(lan, Fault("beta", "partition", peer="alpha"))
    assert not reaches(beta, alpha)
    assert reaches(lan.operator, alpha)
    assert lan.operator.run(["ssh", "-F", str(lan.ssh_config), "beta", "hostname"]).stdout == "beta\n"


@pytest.mark.usefixtures("served")
def test_loss_makes_some_round_trips_slow_and_loses_none(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    eventually(lambda: reaches(beta, alpha))  # the fault before may have made them forget each other's address
    assert trips_s(beta, alpha, 100)[50] < 0.1
    inject(lan, Fault("alpha", "loss", percent=10))
    trips = trips_s(beta, alpha, 100)
    assert max(trips) > 0.19  # TCP's shortest retransmission timeout is 0.2 s
    assert trips[50] < 0.1


@pytest.mark.usefixtures("served")
def test_delay_and_jitter_are_what_was_asked_for(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    inject(lan, Fault("alpha", "delay", delay_ms=40, jitter_ms=10))
    trips = trips_s(beta, alpha, 20)
    assert 0.059 < trips[0] < trips[10] < 0.14
    assert trips[-1] - trips[0] > 0.004
    inject(lan, Fault("alpha", "delay", delay_ms=20))  # takes the place of the other
    assert len(lan.faults) == 1
    trips = trips_s(beta, alpha, 20)
    assert trips[0] > 0.039
    assert trips[10] < 0.06
    clear(lan)
    assert trips_s(beta, alpha, 20)[10] < 0.03


@pytest.mark.usefixtures("served")
def test_a_connection_outlives_the_change_of_cables(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    slowly = CLIENT.replace("trips.append", "time.sleep(0.02); trips.append")
    talking = beta.popen(["python3", "-c", slowly, alpha.address, "7", "100", "5"], stdout=subprocess.PIPE)
    with talking:
        assert talking.stdout is not None
        for _ in range(2):
            inject(lan, Fault("alpha", "delay", delay_ms=5))
            clear(lan)
        trips = json.loads(talking.stdout.read())["trips_s"]
    assert len(trips) == 100
    assert max(trips) > 0.009


@pytest.mark.parametrize(("source", "target"), [("beta", "alpha"), ("alpha", "beta")])
def test_bandwidth_bounds_what_a_host_gets_and_sends(source: str, target: str, lan: Lan) -> None:
    said = inject(lan, Fault("alpha", "bandwidth", kbytes_s=800))
    assert "kB/s in" in said
    assert "kB/s out" in said
    with serving(lan.host(target)):
        took_s = float(lan.host(source).run(["python3", "-c", SENDER, lan.host(target).address, "1200000"]).stdout)
    assert 1200 / 800 * 0.9 < took_s < 1200 / 800 * 2


@pytest.mark.usefixtures("served")
def test_a_frozen_host_accepts_and_says_nothing(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    nested = alpha.popen(["unshare", "--pid", "--fork", "sh", "-c", "sleep 61; sleep 62"])
    eventually(lambda: "sleep 61" in alpha.run(["ps", "-eo", "args="]).stdout)
    assert "processes stopped" in inject(lan, Fault("alpha", "freeze"))
    assert talk(beta, alpha, wait_s=1).get("error") == "TimeoutError"
    clear(lan)
    assert reaches(beta, alpha)
    assert "T" not in alpha.run(["ps", "-eo", "stat="]).stdout
    nested.kill()
    nested.wait()


def test_a_full_disk_takes_nothing_more_until_it_is_cleared(lan: Lan) -> None:
    alpha = lan.hosts[0]
    write = ["sh", "-c", "head -c 100000 /dev/zero >/var/log/big; echo $?; wc -c </var/log/big"]
    assert "No space left on device" in inject(lan, Fault("alpha", "disk-full"))
    assert "No space left" in alpha.run(write).stderr
    assert "No space left" in alpha.run(["sh", "-c", "head -c 100000 /dev/zero >/usr/big"], check=False).stderr
    alpha.run(["sh", "-c", "echo x >/run/still-there"])
    assert lan.hosts[1].run(write).stdout.split() == ["0", "100000"]
    clear(lan, kind="disk-full")
    assert alpha.run(write).stdout.split() == ["0", "100000"]
    inject(lan, Fault("alpha", "disk-full", leave_kb=200))
    assert alpha.run(write).stdout.split() == ["0", "100000"]


@pytest.mark.usefixtures("served")
def test_a_killed_host_comes_back_with_its_disk_and_without_its_processes(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    alpha.run(["sh", "-c", "echo kept >/opt/kept; echo lost >/run/lost; echo lost >/tmp/lost; rm -f /usr/bin/wc"])
    inject(lan, Fault("alpha", "delay", delay_ms=5))
    assert inject(lan, Fault("alpha", "kill")) == "no process is left"
    assert not alpha.is_on
    assert "error" in talk(beta, alpha)
    with pytest.raises(LanError, match=r"host alpha is off; turn it on: python -m lab.lan clear"):
        alpha.run(["true"])
    with pytest.raises(LanError, match=r"freeze: host alpha is off"):
        inject(lan, Fault("alpha", "freeze"))
    clear(lan, "alpha", "kill")
    assert alpha.run(["sh", "-c", "cat /opt/kept /run/lost /tmp/lost; ls /usr/bin/wc"], check=False).stdout == "kept\n"
    assert "python3" not in alpha.run(["ps", "-eo", "comm="]).stdout
    ssh = ["ssh", "-F", str(lan.ssh_config), "alpha", "hostname"]
    assert lan.operator.run(ssh).stdout == "alpha\n"  # the same host key
    with serving(alpha):
        assert trips_s(beta, alpha, 5)[0] > 0.0099  # its slow cable is still there
    alpha.run(["cp", "/usr/bin/env", "/usr/bin/wc"])


def test_a_host_that_was_ended_from_inside_is_booted_by_clear(lan: Lan) -> None:
    beta = lan.hosts[1]
    subprocess.run(["kill", "-9", str(beta.pid)], check=True)
    eventually(lambda: not beta.is_on)
    clear(lan)
    assert beta.run(["hostname"]).stdout == "beta\n"


def test_faults_of_several_hosts_hold_at_once_and_are_listed(lan: Lan) -> None:
    inject(lan, Fault("alpha", "loss", percent=20, direction="in"))
    inject(lan, Fault("beta", "delay", delay_ms=10))
    inject(lan, Fault("gamma", "partition"))
    assert [fault["host"] for fault in Lan.load(lan.state).to_json()["faults"]] == ["alpha", "beta", "gamma"]
    clear(lan, kind="delay")
    assert {fault.kind for fault in lan.faults} == {"loss", "partition"}


def test_a_fault_that_is_not_in_force_is_an_error_and_is_taken_back(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_network.switch, "load", lambda lan: None)
    with pytest.raises(LanError, match=r"partition of alpha is not in force: the switch has no rule"):
        inject(lan, Fault("alpha", "partition"))
    monkeypatch.setattr(of_network.cables, "arrange", lambda lan: None)
    with pytest.raises(LanError, match=r"delay 50±0 ms of alpha is not in force: round trips took"):
        inject(lan, Fault("alpha", "delay", delay_ms=50))
    with pytest.raises(LanError, match=r"bandwidth 500 kB/s of alpha is not in force: \d+ kB/s passed in"):
        inject(lan, Fault("alpha", "bandwidth", kbytes_s=500))
    assert lan.faults == Lan.load(lan.state).faults == []


def test_what_a_fault_cannot_be_done_to_is_said(lan: Lan) -> None:
    with pytest.raises(LanError, match="no host 'delta'"):
        inject(lan, Fault("delta", "partition"))
    with pytest.raises(LanError, match="no host 'delta'"):
        inject(lan, Fault("alpha", "partition", peer="delta"))
    with pytest.raises(LanError, match="the operator's place is not a host: it cannot be killed"):
        inject(lan, Fault("operator", "kill"))
    with pytest.raises(LanError, match="the operator's place has this machine's processes and files"):
        inject(lan, Fault("operator", "freeze"))
    assert lan.faults == []
