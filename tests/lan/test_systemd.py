"""A host whose first process is systemd: its units start, restart and are logged, and its cgroups go with the LAN."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lan import cgroups
from lab.lan.errors import LanError
from lab.lan.fault import Fault
from lab.lan.faults import clear, inject
from lab.lan.host import Host
from lab.lan.lan import Lan

UNIT = """
[Service]
ExecStart=/bin/sh -c 'echo it begins; exec sleep 1000'
Restart=always
RestartSec=100ms
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    """One host with systemd, one without."""
    state = tmp_path_factory.mktemp("systemd") / "lan"
    with Lan.up(names=["unit", "plain"], systemd=["unit"], state=state) as lan:
        yield lan
    assert not (cgroups.place(state) or state).exists()


def shown(host: Host, unit: str, value: str) -> str:
    return host.run(["systemctl", "show", "-p", value, "--value", unit]).stdout.strip()


@pytest.mark.e2e
def test_a_unit_starts_restarts_is_logged_and_comes_back_after_a_power_cut(booted: Lan) -> None:
    host = booted.host("unit")
    assert host.run(["cat", "/proc/1/comm"]).stdout == "systemd\n"
    assert host.run(["systemctl", "is-system-running", "--wait"], check=False).stdout in ("running\n", "degraded\n")
    host.run(["sh", "-c", "cat >/etc/systemd/system/sleeper.service"], input=UNIT)
    # Over ssh, as a deploy tool does it.
    booted.operator.run(["ssh", "-F", str(booted.ssh_config), "unit", "systemctl enable --now sleeper"])
    first = shown(host, "sleeper", "MainPID")
    host.run(["kill", "-9", first])
    limit = time.monotonic() + 10
    while shown(host, "sleeper", "NRestarts") != "1" or shown(host, "sleeper", "ActiveState") != "active":
        assert time.monotonic() < limit
    assert shown(host, "sleeper", "MainPID") != first
    assert host.run(["journalctl", "-u", "sleeper", "--no-pager"]).stdout.count("it begins") == 2
    inject(booted, Fault("unit", "kill"))
    clear(booted)
    limit = time.monotonic() + 10
    while shown(host, "sleeper", "ActiveState") != "active":
        assert time.monotonic() < limit
    assert shown(host, "sleeper", "NRestarts") == "0"


@pytest.mark.e2e
def test_no_service_of_the_machine_runs_in_it(booted: Lan) -> None:
    running = booted.host("unit").run(["systemctl", "list-units", "--type=service", "--state=running", "--plain", "-q"])
    names = {line.split()[0].removesuffix(".service") for line in running.stdout.splitlines()}
    assert "lan-sshd" in names
    assert names <= {"lan-sshd", "dbus", "sleeper", "systemd-journald", "systemd-logind", "user@0"}


@pytest.mark.e2e
def test_the_clock_stays_out_of_reach_of_systemd_and_what_it_starts(booted: Lan) -> None:
    status = booted.host("unit").run(
        ["sh", "-c", "cat /proc/1/status /proc/$(systemctl show -p MainPID --value lan-sshd)/status"]
    )
    held = [int(line.split()[1], 16) for line in status.stdout.splitlines() if line.startswith("CapBnd")]
    assert len(held) == 2
    assert not any(bits >> number & 1 for bits in held for number in (16, 17, 22, 25))


@pytest.mark.e2e
def test_cgroups_of_a_lan_whose_keeper_was_killed_go_with_down(tmp_path: Path) -> None:
    lan = Lan.up(names=["unit"], systemd=["unit"], state=tmp_path / "lan", stays=True)
    place = cgroups.place(lan.state)
    assert place is not None
    assert (place / "unit").is_dir()
    os.kill(lan.keeper_pid, signal.SIGKILL)
    lan.down()
    assert not place.exists()


def test_a_machine_where_it_cannot_work_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.lan.lan.check_machine", lambda: None)
    monkeypatch.setattr(cgroups, "SYSTEMD", tmp_path / "systemd")
    with pytest.raises(LanError, match="sudo apt install systemd dbus"):
        Lan.up(1, systemd=["host1"], state=tmp_path / "lan")
    (tmp_path / "systemd").touch()
    monkeypatch.setattr(cgroups, "place", lambda state: None)
    with pytest.raises(LanError, match="systemd needs a cgroup2 file system that can be written"):
        Lan.up(1, systemd=["host1"], state=tmp_path / "lan")
    with pytest.raises(LanError, match="systemd for host2: no such host in host1"):
        Lan.up(1, systemd=["host2"], state=tmp_path / "lan")
