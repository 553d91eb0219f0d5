"""Who holds a port, and which processes a dead supervisord left behind."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import procfs


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_that_somebody_listens_on_cannot_be_had_and_the_holder_is_named(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    for address in ("127.0.0.1", "0.0.0.0"):
        error = procfs.bind_error(address, port)
        assert error is not None
        assert error.errno == errno.EADDRINUSE
    holder = procfs.holder(port)
    assert holder is not None
    assert holder.pid == os.getpid()
    assert procfs.why(error, port) == f"is used by pid {os.getpid()} ({holder.program})"


def test_a_listener_on_ipv6_alone_is_found_too() -> None:
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        server.listen()
        holder = procfs.holder(server.getsockname()[1])
    assert holder is not None
    assert holder.pid == os.getpid()


def test_a_free_port_can_be_had_also_right_after_it_was_used(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    served, _ = listening.accept()
    served.close()  # the server's side closes first: TIME_WAIT stays on its port
    client.close()
    listening.close()
    assert procfs.bind_error("127.0.0.1", port) is None
    assert procfs.holder(port) is None


def test_other_reasons_have_their_own_words() -> None:
    assert "below 1024" in procfs.why(PermissionError(errno.EACCES, "Permission denied"), 80)
    assert "ss -ltnp" in procfs.why(OSError(errno.EADDRINUSE, "in use"), 1)
    assert (
        procfs.why(OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), 1)
        == "Cannot assign requested address"
    )
    assert procfs.bind_error("203.0.113.1", 0) is not None


def test_only_processes_of_this_state_folders_supervisor_are_found(tmp_path: Path) -> None:
    def child(**env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "60"], env={**os.environ, **env})

    ours = child(SUPERVISOR_ENABLED="1", FAIRLEAD_STATE=str(tmp_path))
    others = [
        child(FAIRLEAD_STATE=str(tmp_path)),  # a person's shell with the variable set
        child(SUPERVISOR_ENABLED="1"),
        child(SUPERVISOR_ENABLED="1", FAIRLEAD_STATE=str(tmp_path) + "2"),
    ]
    try:
        assert procfs.supervised(tmp_path) == [ours.pid]
        assert procfs.alive(ours.pid)
        ours.kill()
        os.waitid(os.P_PID, ours.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
        assert procfs.supervised(tmp_path) == []
        assert not procfs.alive(ours.pid)
    finally:
        for process in (ours, *others):
            process.kill()
            process.wait()
    assert not procfs.alive(ours.pid)


def test_a_command_line_is_shortened_and_never_fails() -> None:
    command = [sys.executable, "-c", "print(flush=True); input()", "x" * 200]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        line = procfs.command_line(process.pid, width=40)
        process.communicate(b"\n")
    assert len(line) == 40
    assert line.endswith("…")
    assert procfs.command_line(2**22 + 1) == "?"
    assert procfs.environment(2**22 + 1) == {}
