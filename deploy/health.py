"""Asking a program whether it is well: over HTTP, as its users would."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass

from cluster.programs import Program, Role


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking."""

    well: bool
    text: str
    """`200 OK`, `nothing listens`, `no answer within 2 s`; for people."""
    ready: tuple[str, ...] | None = None
    """A balancer's nodes that are ready; None when it does not say."""


def _connection(program: Program, address: str, port: int, timeout_s: float) -> http.client.HTTPConnection:
    if program.scheme == "http":
        return http.client.HTTPConnection(address, port, timeout=timeout_s)
    # The question is whether our own process answers, by its loopback address, which no certificate names.
    unchecked = ssl._create_unverified_context()
    return http.client.HTTPSConnection(address, port, timeout=timeout_s, context=unchecked)


def ask(program: Program, timeout_s: float = 2.0, address: str = "127.0.0.1") -> Answer:
    """GET the program's health path; where it has none, an open port must do. Never raises."""
    if program.port is None:
        return Answer(True, "")
    try:
        if program.health_path is None:
            with socket.create_connection((address, program.port), timeout_s):
                return Answer(True, "port open")
        connection = _connection(program, address, program.port, timeout_s)
        try:
            connection.request("GET", program.health_path, headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read(65536)
        finally:
            connection.close()
    except ConnectionRefusedError:
        return Answer(False, "nothing listens")
    except TimeoutError:
        return Answer(False, f"no answer within {timeout_s:g} s")
    except (OSError, http.client.HTTPException) as error:
        strerror = getattr(error, "strerror", None)
        return Answer(False, strerror.lower() if strerror else f"{type(error).__name__}: {error}".rstrip(": "))
    redirected = program.role is Role.NODE and 300 <= response.status < 400  # as the probes see it
    said = f"{response.status} {response.reason}"
    if response.status // 100 == 2 or redirected:
        return Answer(True, said, _ready(body) if program.role is Role.BALANCER else None)
    return Answer(False, f"{said} at {program.health_path}")


def _ready(body: bytes) -> tuple[str, ...] | None:
    try:
        return tuple(json.loads(body)["ready"])
    except (ValueError, KeyError, TypeError):
        return None
