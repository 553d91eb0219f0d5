"""`python -m lab.lan`, as a person uses it: each command a process of its own."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.paths import PROJECT
from lab.lan.lan import Lan

pytestmark = pytest.mark.e2e


def lan_command(*words: str, **how: object) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "lab.lan", *words]
    return subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60, **how)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder of a LAN that the command set up: web and db."""
    folder = str(tmp_path_factory.mktemp("command") / "lan")
    done = lan_command("up", "--names", "web", "db", "--state", folder)
    assert done.returncode == 0, done.stderr
    assert "2 hosts are up after" in done.stderr
    assert "web" in done.stdout
    yield folder
    done = lan_command("down", "--state", folder)
    assert (done.returncode, done.stderr, Path(folder).exists()) == (0, "", False)


def test_the_lan_outlives_the_command_and_is_listed(state: str) -> None:
    said = json.loads(lan_command("list", "--json", "--state", state).stdout)
    assert said["up"] is True
    assert [(host["name"], host["address"], host["user"], host["on"]) for host in said["hosts"]] == [
        ("web", "10.77.0.11", "root", True),
        ("db", "10.77.0.12", "root", True),
    ]
    for host in said["hosts"]:
        assert Path(host["key"]).exists()
        assert host["name"] in Path(host["known_hosts"]).read_text()
    assert said["operator"]["address"] == "10.77.0.2"


def test_exec_and_shell_end_as_their_program_does(state: str) -> None:
    done = lan_command("exec", "web", "--state", state, "--", "sh", "-c", "hostname; cat; exit 7", input="in\n")
    assert (done.returncode, done.stdout) == (7, "web\nin\n")
    killed = lan_command("exec", "web", "--state", state, "--", "sh", "-c", "kill -9 $$")
    assert killed.returncode == 137
    ssh = ["ssh", "-F", f"{state}/ssh_config", "db", "hostname"]
    assert lan_command("shell", "--state", state, "--", *ssh).stdout == "db\n"
    assert lan_command("exec", "web", "--state", state).stderr == (
        "lab.lan: no command: python -m lab.lan exec HOST -- COMMAND ...\n"
    )


def test_a_shell_has_the_terminal_and_the_folder_it_was_called_in(state: str) -> None:
    outer, inner = pty.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-m", "lab.lan", "shell", "--state", state],
        cwd=PROJECT, stdin=inner, stdout=inner, stderr=inner, env=os.environ | {"SHELL": "/bin/sh", "PS1": "lan> "},
        start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    said = b""
    os.write(outer, b"hostname; pwd; exit 5\n")
    while True:
        try:
            data = os.read(outer, 4096)
        except OSError:  # the terminal's other end is closed
            break
        if not data:
            break
        said += data
    os.close(outer)
    assert shell.wait(10) == 5
    assert b"operator\r\n" + str(PROJECT).encode() in said


def test_fault_says_what_proves_it_list_shows_it_and_clear_ends_it(state: str) -> None:
    done = lan_command("fault", "web", "partition", "--peer", "db", "--state", state)
    assert (done.returncode, "frames dropped" in done.stdout) == (0, True)
    assert "partition with db" in lan_command("list", "--state", state).stdout
    assert lan_command("clear", "--state", state).stdout == "web: partition with db is over\n"
    wrong = lan_command("fault", "web", "loss", "--state", state)
    assert (wrong.returncode, wrong.stderr) == (1, "lab.lan: loss needs percent\n")
    assert lan_command("fault", "web", "fire", "--state", state).returncode == 2


def test_forward_brings_a_port_to_this_machines_loopback_until_it_ends(state: str) -> None:
    lan = Lan.load(Path(state))
    lan.host("web").run(["sh", "-c", "mkdir -p /srv/www; echo hello from web >/srv/www/page"])
    with lan.host("web").popen(["python3", "-m", "http.server", "80", "--directory", "/srv/www"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # fmt: skip
        argv = [sys.executable, "-m", "lab.lan", "forward", "web", "80", "--listen", "0", "--state", state]
        with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as forward:
            assert forward.stdout is not None
            url = forward.stdout.readline().split()[0]
            assert url.startswith("http://127.0.0.1:")
            limit = time.monotonic() + 10
            while True:
                try:
                    with urllib.request.urlopen(f"{url}page", timeout=10) as answer:
                        assert answer.read() == b"hello from web\n"
                    break
                except OSError:  # the page's server is starting
                    assert time.monotonic() < limit
            port = int(url.rstrip("/").rpartition(":")[2])
            taken = lan_command("forward", "web", "80", "--listen", str(port), "--state", state)
            assert taken.returncode == 1
            assert f"port {port} of this machine" in taken.stderr
            assert "--listen" in taken.stderr
            none = lan_command("forward", "web", "99999", "--state", state)
            assert (none.returncode, "'99999' is not a port: say 0 to 65535" in none.stderr) == (2, True)
            # On the loopback only.
            listening = Path("/proc/net/tcp").read_text()
            assert f" 0100007F:{port:04X} " in listening
            assert f" 00000000:{port:04X} " not in listening
            forward.send_signal(signal.SIGINT)
            assert forward.wait(10) == 130
        server.kill()


def test_forward_ends_with_its_lan(tmp_path: Path) -> None:
    folder = str(tmp_path / "lan")
    with Lan.up(1, state=Path(folder)) as lan:
        argv = [sys.executable, "-m", "lab.lan", "forward", "host1", "22", "--listen", "0", "--state", folder]
        with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE) as forward:
            assert forward.stdout is not None
            assert forward.stdout.readline().startswith(b"http://127.0.0.1:")
            lan.down()
            assert forward.wait(10) == 0


def test_down_does_not_saw_off_its_own_branch(state: str) -> None:
    again = [sys.executable, "-m", "lab.lan", "down", "--state", state]
    done = lan_command("shell", "--state", state, "--", *again)
    assert done.returncode == 1
    assert "this is inside the LAN, which cannot end itself: leave the shell first" in done.stderr


def test_without_a_lan_it_says_how_to_get_one(tmp_path: Path) -> None:
    for words in (["down"], ["fault", "a", "freeze"]):
        done = lan_command(*words, "--state", str(tmp_path / "none"))
        assert (done.returncode, "no LAN in" in done.stderr, "python -m lab.lan up" in done.stderr) == (1, True, True)


def test_a_lan_whose_keeper_died_is_said_to_have_ended_and_is_cleared_away(tmp_path: Path) -> None:
    folder = str(tmp_path / "lan")
    assert lan_command("up", "--hosts", "1", "--state", folder).returncode == 0
    lan = Lan.load(Path(folder))
    held = lan.operator.popen(["sleep", "60"])
    os.kill(lan.keeper_pid, signal.SIGKILL)
    limit = time.monotonic() + 10
    while lan.is_up or lan.hosts[0].is_on:
        assert time.monotonic() < limit
        time.sleep(0.02)
    done = lan_command("list", "--state", folder)
    assert done.returncode == 1
    assert "has ended" in done.stderr
    assert lan_command("down", "--state", folder).returncode == 0
    assert not Path(folder).exists()
    held.kill()
    held.wait()
