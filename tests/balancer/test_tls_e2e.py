"""TLS towards clients, with a certificate of one's own: the same behaviour inside, and no harm from what is not TLS."""

import hashlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from tests.balancer.conftest import SHORT
from tests.fleet import HERE, RunningFleet, fleet_config

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with c.pem and k.pem, for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout k.pem -out c.pem"
    subprocess.run(
        [*command.split(), "-addext", f"subjectAltName=IP:{HERE}"], cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def fleet(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    tls = {"certificate": str(certificate / "c.pem"), "key": str(certificate / "k.pem")}
    config = fleet_config([{"name": "l1"}], workers=1, timeouts=SHORT, tls=tls)
    fleet = RunningFleet(tmp_path_factory.mktemp("tls"), config)
    try:
        fleet.start("node-l1", "balancer-control")
        fleet._spawn("balancer")
        ends = time.monotonic() + 20
        while not any(worker["pid"] for worker in fleet.snapshot()["workers"]):
            assert time.monotonic() < ends, fleet.printed("balancer")
            time.sleep(0.05)
        yield fleet
    finally:
        fleet.close()


@pytest.fixture
def client(fleet: RunningFleet, certificate: Path) -> Iterator[HTTPSConnection]:
    context = ssl.create_default_context(cafile=str(certificate / "c.pem"))
    connection = HTTPSConnection(HERE, fleet.port, timeout=10, context=context)
    yield connection
    connection.close()


def test_requests_go_through_kept_alive_and_the_node_knows_it_was_https(client: HTTPSConnection) -> None:
    """RFC 9110 section 4.2.2."""
    for _ in range(5):
        client.request("GET", "/api?service_ms=0")
        response = client.getresponse()
        seen = json.loads(response.read())
        assert response.status == 200
        assert seen["forwarded"]["x-forwarded-proto"] == "https"
        assert "proto=https" in seen["forwarded"]["forwarded"]


def test_long_bodies_arrive_whole_both_ways(client: HTTPSConnection) -> None:
    body = bytes(range(256)) * 12_000  # 3 MB, many TLS records
    client.request("POST", "/api?service_ms=0", body)
    seen = json.loads(client.getresponse().read())["body"]
    assert seen == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    client.request("GET", "/video/1?service_ms=0")
    response = client.getresponse()
    assert len(response.read()) == int(response.headers["Content-Length"])


def test_plain_http_and_silence_on_the_tls_port_end_in_time(fleet: RunningFleet, client: HTTPSConnection) -> None:
    with socket.create_connection((HERE, fleet.port), 5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in plain.recv(1000)
    with socket.create_connection((HERE, fleet.port), 5) as silent:
        begun = time.monotonic()
        assert silent.recv(1) == b""
        assert time.monotonic() - begun < SHORT["head_s"] + 2
    client.request("GET", "/api?service_ms=0")
    assert client.getresponse().status == 200
    assert "Traceback" not in fleet.printed("balancer")


def test_the_end_is_said_inside_tls(fleet: RunningFleet, certificate: Path) -> None:
    """Without a close notify a client could not tell the end from a cut (RFC 8446 section 6.1)."""
    context = ssl.create_default_context(cafile=str(certificate / "c.pem"))
    with (
        socket.create_connection((HERE, fleet.port), 5) as raw,
        context.wrap_socket(raw, server_hostname=HERE, suppress_ragged_eofs=False) as sock,
    ):
        sock.sendall(b"GET /api?service_ms=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):  # raises SSLEOFError when the end was not announced
            data += piece
    assert data.startswith(b"HTTP/1.1 200")
