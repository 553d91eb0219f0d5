"""A host of a LAN is a machine of its own, and cannot do to the machine what only the machine may."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from lab.lan.errors import LanError
from lab.lan.host import Host
from lab.lan.lan import Lan
from lab.lan.namespaces import DROPPED

# linux/capability.h
NUMBER = {"sys_module": 16, "sys_rawio": 17, "sys_boot": 22, "sys_time": 25}


def ssh(lan: Lan, host: str, command: str, **how: object) -> "subprocess.CompletedProcess[str]":
    return lan.operator.run(["ssh", "-F", str(lan.ssh_config), host, command], **how)  # type: ignore[arg-type]


def capabilities(status: str) -> dict[str, int]:
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return {name: int(lines[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


@pytest.mark.parametrize("way", ["exec", "ssh", "boot", "sshd", "operator", "keeper"])
def test_the_machines_clock_modules_and_switch_are_out_of_reach(lan: Lan, way: str) -> None:
    own = capabilities(Path("/proc/self/status").read_text())
    look = ["cat", "/proc/self/status"]
    status = {
        "exec": lambda: lan.hosts[0].run(look).stdout,
        "ssh": lambda: ssh(lan, "alpha", " ".join(look)).stdout,
        "boot": lambda: lan.hosts[0].run(["cat", "/proc/1/status"]).stdout,
        "sshd": lambda: lan.hosts[0].run(["sh", "-c", "cat /proc/$(cat /run/sshd.pid)/status"]).stdout,
        "operator": lambda: lan.operator.run(look).stdout,
        "keeper": lambda: Path(f"/proc/{lan.keeper_pid}/status").read_text(),
    }[way]()
    assert set(NUMBER) == set(DROPPED)
    for kind, held in capabilities(status).items():
        for name in DROPPED:
            assert not held >> NUMBER[name] & 1, f"{name} in {kind} by {way}"
    lost = sum(1 << number for number in NUMBER.values())
    assert capabilities(status)["CapEff"] == own["CapEff"] & ~lost, "nothing else is missing"


def test_the_kernels_switches_are_read_only_and_the_network_settings_its_own(lan: Lan) -> None:
    host = lan.hosts[0]
    for path in ("/proc/sys/kernel/panic", "/proc/sys/vm/swappiness", "/sys/kernel/mm/transparent_hugepage/enabled"):
        done = host.run(["sh", "-c", f"cat {path} > {path}"], check=False)
        assert "Read-only file system" in done.stderr
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    host.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_ssh_reaches_every_host_by_name_and_address_with_its_known_key(lan: Lan) -> None:
    for host in lan.hosts[:2]:
        for name in (host.name, host.address):
            assert ssh(lan, name, "hostname").stdout == f"{host.name}\n"


def test_a_wrong_host_key_is_refused(lan: Lan, tmp_path: Path) -> None:
    alpha, beta = lan.hosts[:2]
    keys = {line.split(",")[0]: line.split(" ", 1)[1] for line in alpha.known_hosts.read_text().splitlines()}
    assert keys["alpha"].split()[:2] != keys["beta"].split()[:2]
    swapped = tmp_path / "known_hosts"
    swapped.write_text(f"{beta.address} {keys['alpha']}\n")
    done = lan.operator.run(
        ["ssh", "-F", str(lan.ssh_config), "-o", f"UserKnownHostsFile={swapped}", beta.address, "hostname"], check=False
    )
    assert done.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_a_host_sees_its_own_files_processes_and_network_only(lan: Lan) -> None:
    alpha, beta = lan.hosts[:2]
    for folder in ("/opt", "/etc", "/home", "/var/lib", "/run", "/root", "/srv", "/tmp", "/usr/local/bin"):
        alpha.run(["touch", f"{folder}/mark"])
        assert beta.run(["ls", f"{folder}/mark"], check=False).returncode != 0
        assert not Path(f"{folder}/mark").exists()
    for folder in ("/opt", "/home", "/root", "/srv"):
        assert not set(alpha.run(["ls", "-A", folder]).stdout.split()) & set(os.listdir(folder))
    commands = alpha.run(["ps", "-eo", "comm="]).stdout.split()
    assert commands.count("sshd") == 1
    assert len(commands) < 6
    assert set(alpha.run(["ls", "/sys/class/net"]).stdout.split()) == {"lo", "eth0"}
    assert "default" not in alpha.run(["ip", "route"]).stdout  # no way out


def test_a_shared_folder_is_read_only_in_the_hosts(lan: Lan) -> None:
    folder = lan.share[0]
    assert lan.hosts[0].run(["cat", f"{folder}/note"]).stdout == "from the machine\n"
    refused = lan.hosts[0].run(["touch", f"{folder}/x"], check=False)
    assert "Read-only file system" in refused.stderr


def test_sshd_hands_commands_to_the_program_given(lan: Lan) -> None:
    done = ssh(lan, "gamma", 'ver & "C:\\x y"', check=False)
    assert (done.returncode, done.stdout) == (3, 'asked for: ver & "C:\\x y"\n')


def test_orphans_are_reaped_and_sshd_comes_back(lan: Lan) -> None:
    host = lan.hosts[1]
    host.run(["sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.01 &) ; done"])
    first = host.run(["cat", "/run/sshd.pid"]).stdout
    host.run(["sh", "-c", "kill -9 $(cat /run/sshd.pid)"])
    limit = time.monotonic() + 10
    while ssh(lan, "beta", "true", check=False).returncode != 0:
        assert time.monotonic() < limit
    assert host.run(["cat", "/run/sshd.pid"]).stdout != first
    assert "Z" not in host.run(["ps", "-eo", "stat="]).stdout


def test_a_host_runs_what_a_fleet_needs(lan: Lan) -> None:
    host = lan.hosts[0]
    host.run(["python3", "-m", "venv", "--without-pip", "/opt/venv"])
    assert host.run(["/opt/venv/bin/python", "-c", "import sys; print(sys.prefix)"]).stdout == "/opt/venv\n"
    assert host.run(["python3", "-c", "import ensurepip"]).returncode == 0
    # A firewall of its own.
    host.run(
        ["nft", "-f", "-"],
        input="table inet own { chain in { type filter hook input priority 0; tcp dport 9 drop; }; }",
    )
    assert "dport 9 drop" in host.run(["nft", "list", "ruleset"]).stdout
    assert lan.hosts[1].run(["nft", "list", "ruleset"]).stdout == ""
    host.run(["nft", "flush", "ruleset"])
    # Users, terminals, shared memory.
    host.run(["useradd", "--system", "fleet"])
    assert "fleet" not in Path("/etc/passwd").read_text()
    assert ssh(lan, "alpha", "python3 -c 'import multiprocessing as m; m.Lock(); print(1)'").stdout == "1\n"
    pty = lan.operator.run(["ssh", "-F", str(lan.ssh_config), "-tt", "alpha", "tty"])
    assert pty.stdout.strip() == "/dev/pts/0"


def test_run_says_what_failed_and_ends_what_takes_too_long(lan: Lan) -> None:
    host = lan.hosts[0]
    with pytest.raises(LanError, match=r"alpha: sh -c echo no >&2; exit 4 ended with 4: no"):
        host.run(["sh", "-c", "echo no >&2; exit 4"])
    with pytest.raises(LanError, match=r"alpha: sleep 99 took longer than 0.2 s"):
        host.run(["sleep", "99"], timeout_s=0.2)
    limit = time.monotonic() + 5
    while "sleep 99" in host.run(["ps", "-eo", "args="]).stdout:
        assert time.monotonic() < limit
    assert host.run(["cat"], input="in and out\n").stdout == "in and out\n"
    assert host.run(["sh", "-c", "pwd; echo $WORD"], cwd="/srv", env={"WORD": "x y"}).stdout == "/srv\nx y\n"
    with pytest.raises(LanError, match="no host 'delta' in this LAN; there are alpha, beta, gamma, operator"):
        lan.host("delta")


def test_a_host_starts_with_nothing_of_the_callers_environment(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_SECRET", "x")
    assert "FAIRLEAD_SECRET" not in lan.hosts[0].run(["env"]).stdout
    assert "FAIRLEAD_SECRET=x" in lan.operator.run(["env"]).stdout


def test_the_operator_has_the_machines_files_and_processes_on_the_lan(lan: Lan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine\n")
    assert lan.operator.run(["cat", "file"], cwd=tmp_path).stdout == "mine\n"
    assert lan.operator.run(["hostname"]).stdout == "operator\n"
    assert set(lan.operator.run(["ip", "-brief", "link"]).stdout.split()) & {"lo", "eth0@if2"}
    process = lan.operator.popen(["sleep", "60"])
    limit = time.monotonic() + 5
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\n":  # so a signal reaches the program itself
        assert time.monotonic() < limit
    process.terminate()
    assert process.wait(5) == -15


def test_what_is_saved_is_what_others_need(lan: Lan) -> None:
    again = Lan.load(lan.state)
    assert again.to_json() == lan.to_json()
    host: Host = again.hosts[0]
    assert (host.name, host.address, host.user, host.port) == ("alpha", "10.77.0.11", "root", 22)
    assert host.key.read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert host.key.stat().st_mode & 0o777 == 0o600
    assert os.stat(lan.state).st_mode & 0o777 == 0o700
