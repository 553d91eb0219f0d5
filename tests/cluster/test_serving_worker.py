"""PromptWorker under a real gunicorn whose every other reason to end is an hour away."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cluster.paths import PROJECT
from cluster.serving.worker import SILENT_LOOKS

pytestmark = pytest.mark.e2e

SETTINGS = """
import cluster.serving.worker
cluster.serving.worker.BEAT_S = timeout = graceful_timeout = keepalive = 3600
control_socket_disable = True

class worker_class(cluster.serving.worker.PromptWorker):
    def notify(self):
        super().notify()
        self.alive or print("looks", flush=True)
"""
APPLICATION = """
def application(environ, start_response):
    print("in hand", flush=True)
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Served:
    """A gunicorn with one PromptWorker; answers with the body that it was sent."""

    def __init__(self, folder: Path) -> None:
        (folder / "settings.py").write_text(SETTINGS)
        (folder / "application.py").write_text(APPLICATION)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port: int = listening.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "settings.py", "-b", f"fd://{listening.fileno()}",
                 "application:application"],
                cwd=folder, env={"PYTHONPATH": str(PROJECT)}, pass_fds=[listening.fileno()], stdout=subprocess.PIPE,
            )  # fmt: skip

    def connect(self) -> http.client.HTTPConnection:
        """A kept-alive connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def until_it_says(self, line: bytes) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == line + b"\n"

    def tell_to_end(self) -> None:
        """Its worker is told again and again: a signal in the instant before its event loop falls asleep is seen at the
        next event, which is a beat in earnest and an hour away here."""
        self.process.terminate()
        threading.Thread(target=self._tell_worker, daemon=True).start()

    def _tell_worker(self) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):  # it has ended
            while True:
                for pid in children.read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGTERM)
                time.sleep(0.1)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.process.kill()
    served.process.communicate()


def test_a_signal_to_stop_wakes_it_and_a_connection_that_is_only_kept_does_not_hold_it(served: Served) -> None:
    with closing(served.connect()) as kept:
        kept.request("POST", "/", b"first")
        assert kept.getresponse().read() == b"first"
        served.tell_to_end()
        assert served.process.wait(60) == 0
        assert kept.sock.recv(100) == b""  # closed, and nothing was answered that nobody has asked


def test_a_request_in_hand_is_answered_before_it_ends(served: Served) -> None:
    with closing(served.connect()) as client:
        client.putrequest("POST", "/")
        client.putheader("Content-Length", "2")
        client.endheaders(b"1")
        served.until_it_says(b"in hand")
        served.tell_to_end()
        for _ in range(2 * SILENT_LOOKS):  # far more than it grants who is silent
            served.until_it_says(b"looks")
        client.send(b"2")
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"12")
    assert served.process.wait(60) == 0
