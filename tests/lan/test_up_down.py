"""A LAN comes up, and nothing of it is left: after `down`, after its maker was killed, beside another LAN."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.paths import PROJECT
from lab.lan import namespaces, sshd
from lab.lan.errors import LanError
from lab.lan.faults import Fault, inject
from lab.lan.lan import Lan

MAKER = """
import sys, time
from pathlib import Path
from lab.lan.lan import Lan
print("begins", flush=True)
lan = Lan.up(3, state=Path(sys.argv[1]))
print("up", flush=True)
time.sleep(60)
"""


def processes(state: Path) -> list[str]:
    """The command lines, on the machine, of what belongs to the LAN in this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
        except OSError:  # no process, or it has ended
            continue
        if int(entry.name) != os.getpid() and (str(state) in line or f"FAIRLEAD_LAN={state}" in environment):
            found.append(line)
    return found


def mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()


def interfaces() -> list[str]:
    return sorted(os.listdir("/sys/class/net"))


def eventually(true: Callable[[], bool], within_s: float = 10) -> None:
    limit = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.e2e
def test_down_leaves_nothing(tmp_path: Path) -> None:
    before = mounts(), interfaces()
    state = tmp_path / "lan"
    lan = Lan.up(3, state=state)
    # All that a LAN can have: a running program in a host and at the operator's place, a cable, an orphan, a fault.
    held = lan.hosts[0].popen(["sh", "-c", "sleep 77 & sleep 78"])
    shell = lan.operator.popen(["sh", "-c", "sleep 79 & exec sleep 80"])
    inject(lan, Fault("host1", "delay", delay_ms=5))
    assert (mounts(), interfaces()) == before  # it has mounts and interfaces, but none of the machine's
    assert len(processes(state)) > 10
    lan.down()
    assert held.wait(5) != 0
    assert shell.wait(5) == -signal.SIGKILL
    eventually(lambda: processes(state) == [])
    assert (mounts(), interfaces()) == before
    assert not state.exists()
    lan.down()  # again: nothing to do


@pytest.mark.e2e
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, None])
def test_a_maker_killed_at_any_moment_takes_its_lan_along(after_s: float | None, tmp_path: Path) -> None:
    before = mounts(), interfaces()
    state = tmp_path / "lan"
    maker = subprocess.Popen([sys.executable, "-c", MAKER, str(state)], cwd=PROJECT, stdout=subprocess.PIPE)
    assert maker.stdout is not None
    with maker.stdout:
        assert maker.stdout.readline() == b"begins\n"
        if after_s is None:
            assert maker.stdout.readline() == b"up\n"
        else:
            time.sleep(after_s)
        maker.kill()
        maker.wait()
    eventually(lambda: processes(state) == [])
    assert (mounts(), interfaces()) == before
    # What it wrote does not stand in the way.
    with Lan.up(1, state=state) as lan:
        assert lan.hosts[0].run(["hostname"]).stdout == "host1\n"
    assert not state.exists()


@pytest.mark.e2e
def test_several_lans_do_not_see_each_other(tmp_path: Path) -> None:
    with Lan.up(1, state=tmp_path / "one") as one, Lan.up(1, state=tmp_path / "two") as two:
        assert one.hosts[0].address == two.hosts[0].address
        one.hosts[0].run(["touch", "/srv/mark"])
        assert two.hosts[0].run(["ls", "/srv"]).stdout == ""
        one.down()
        assert two.operator.run(["ssh", "-F", str(two.ssh_config), "host1", "hostname"]).stdout == "host1\n"


@pytest.mark.e2e
def test_one_folder_has_one_lan_and_a_later_one_is_not_swept_away(tmp_path: Path) -> None:
    first = Lan.up(1, state=tmp_path)
    with pytest.raises(LanError, match=f"a LAN is up in {tmp_path}: .* down, or another --state"):
        Lan.up(1, state=tmp_path)
    Lan.load(tmp_path).down()  # as another process would
    assert not first.is_up
    with Lan.up(1, state=tmp_path) as second:
        first.down()
        assert second.is_up
        assert second.ssh_config.exists()


@pytest.mark.e2e
def test_a_folder_may_hold_other_things(tmp_path: Path) -> None:
    (tmp_path / "mine.log").write_text("keep me\n")
    Lan.up(1, state=tmp_path).down()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.log"]


@pytest.mark.e2e
def test_a_host_that_does_not_boot_is_named_with_its_reason_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mounts()
    state = tmp_path / "lan"
    monkeypatch.setattr(sshd, "SSHD_CONFIG", "Nonsense yes\n")
    with pytest.raises(LanError, match=r"host host1 did not come up: .*Bad configuration option: Nonsense"):
        Lan.up(2, state=state, stays=True)
    eventually(lambda: processes(state) == [])
    assert mounts() == before
    assert not state.exists()


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"hosts": 0}, "0 hosts: a LAN has 1 to 200"),
        ({"names": ["a", "b", "a"]}, "host name a is given twice"),
        ({"names": ["Node_1"]}, "host name 'Node_1': say a-z, 0-9 and '-'"),
        ({"names": ["operator"]}, "host name 'operator'"),
        ({"names": ["a"], "shells": {"b": "/bin/sh"}}, "shell for b: no such host in a"),
        ({"names": ["a"], "shells": {"a": "x\nUsePAM yes"}}, "say one program and its arguments, on one line"),
        ({"names": ["a"], "share": [Path("/not/there")]}, "share /not/there: no such folder"),
    ],
)
def test_what_cannot_be_set_up_is_refused_before_anything_is_made(
    how: dict[str, object], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.lan.lan.check_machine", lambda: None)
    with pytest.raises(LanError, match=complaint):
        Lan.up(state=tmp_path / "lan", **how)  # type: ignore[arg-type]
    assert not (tmp_path / "lan").exists()


def test_without_root_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LanError, match=r"needs root.*sudo .venv/bin/python -m lab.lan"):
        Lan.up(1, state=tmp_path / "lan")


def test_missing_programs_are_named_as_debian_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespaces, "SYSTEM_PATH", str(tmp_path))
    everything = " ".join(sorted(set(namespaces.PACKAGE_OF.values())))
    with pytest.raises(LanError, match=f"sudo apt install {everything}"):
        Lan.up(1, state=tmp_path / "lan")
