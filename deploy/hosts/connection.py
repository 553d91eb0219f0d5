"""One host, connected: SSH by Fabric, and at its other end the agent, which carries out one request after the other."""

import contextlib
import itertools
import json
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import fabric
import paramiko

from cluster.config import Host
from cluster.errors import FairleadError
from deploy.hosts import SYSTEMS, host_keys
from deploy.hosts.agent_archive import agent_archive

CONNECT_S = 5.0
TRIES = 3
BEAT_S = 2.0
CLOSE_S = 20.0
"""How long a host may take things back before the line is cut; it goes on with it all the same."""
SILENT_S = 10.0
"""A host that has not answered a heartbeat for so long is gone."""


INTERRUPTED = threading.Event()
"""Ctrl-C was pressed: whoever waits for a host gives up."""


class Unreachable(FairleadError):
    """No connection, or none any more."""


class HostRefused(FairleadError):
    """The host answered that it cannot: `kind` as in `agent.place.Refused`, `log`: last lines of whoever failed."""

    def __init__(self, kind: str, text: str, log: list[str]) -> None:
        super().__init__(text)
        self.kind = kind
        self.log = log


@dataclass(frozen=True)
class Access:
    """How all hosts are reached."""

    config: fabric.Config
    pins: Path
    fleet: str
    who: str
    confirm: host_keys.Confirm | None = None


class Connection:
    """A connected host. One request at a time; threads wait for each other."""

    def __init__(self, key: str, host: Host, access: Access, on_note: Callable[[str, str], None]) -> None:
        self.key = key
        self.host = host
        self.system = SYSTEMS[host.os]
        self.lost = ""  # why the connection is no more
        self._access = access
        self._on_note = on_note
        self._heard_at = time.monotonic()
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._ids = itertools.count(1)
        self._busy = threading.Lock()
        self._writing = threading.Lock()
        self._closed = threading.Event()
        self._fabric: fabric.Connection | None = None
        self._channel: paramiko.Channel | None = None

    # -- opening and closing -----------------------------------------------------------------------------------------

    def open(self, as_root: bool = False) -> dict[str, Any]:
        """Connect and start the agent; its first answer, machine and deployed. Unreachable, HostRefused.

        `as_root`: as the host's administrator (`user` of config.json), else as the fleet's account.
        """
        user = self.host.user if as_root else self.system.account or self.host.user
        self._fabric = self._connect(user)
        transport = self._fabric.transport
        try:
            self._channel = channel = transport.open_session(timeout=CONNECT_S)
            archive = agent_archive()
            channel.exec_command(self.system.start_agent(len(archive), as_root))
            channel.sendall(self.system.preamble(len(archive)) + archive)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise Unreachable(f"no session: {error}") from None
        threading.Thread(target=self._read, args=(channel,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()
        hello: dict[str, Any] = self.call("hello", fleet=self._access.fleet, who=self._access.who, limit_s=15)
        hello["machine"]["ahead_s"] = hello["machine"]["now"] - time.time()  # now: others may be slow to connect
        return hello

    def _connect(self, user: str | None) -> fabric.Connection:
        for left in range(TRIES - 1, -1, -1):
            connection = fabric.Connection(
                self.host.address, user=user, config=self._access.config, connect_timeout=CONNECT_S,
                connect_kwargs={"banner_timeout": CONNECT_S, "auth_timeout": CONNECT_S},
            )  # fmt: skip
            ssh = self._access.config.base_ssh_config.lookup(self.host.address)
            own = ssh.get("userknownhostsfile", "~/.ssh/known_hosts").split()
            known = [Path(name).expanduser() for name in own]
            host_keys.prepare(connection.client, self._access.pins, known, self._access.confirm)
            try:
                connection.open()
                return connection
            except paramiko.BadHostKeyException as error:
                raise Unreachable(
                    f"its key is another than the known one ({host_keys.fingerprint(error.key)}): somebody else"
                    f" answers at {self.host.address}, or it was set up anew; then remove its line from"
                    f" {self._access.pins}"
                ) from None
            except host_keys.UnknownHost as error:
                raise Unreachable(str(error)) from None
            except paramiko.AuthenticationException as error:
                if "timeout" in str(error).lower():  # paramiko has no other mark of it
                    raise Unreachable(f"it did not decide within {CONNECT_S:g} s whether to let us in") from None
                hint = "" if user == self.host.user else "; `fab setup` makes that account"
                raise Unreachable(f"it does not let {connection.user} in by key{hint}") from None
            except paramiko.ssh_exception.NoValidConnectionsError:
                raise Unreachable(f"no SSH server at {self.host.address}:{connection.port}") from None
            except TimeoutError:
                raise Unreachable(f"no answer from {self.host.address} within {CONNECT_S:g} s") from None
            except (OSError, EOFError, paramiko.SSHException) as error:
                if not left or isinstance(error, OSError):
                    raise Unreachable(f"{getattr(error, 'strerror', None) or error}") from None
                time.sleep(random.uniform(0.2, 1.0))  # too many logins at once are dropped by chance (MaxStartups)
        raise AssertionError

    def close(self) -> None:
        """End the connection; what it held is taken back by the agent."""
        self._closed.set()
        if self._channel is not None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                self._channel.shutdown_write()
        if self._fabric is not None:
            transport = self._fabric.transport
            if transport is not None and not self.lost and self._channel is not None:
                self._channel.status_event.wait(CLOSE_S)  # let it take things back before the line is cut
            with contextlib.suppress(Exception):
                self._fabric.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    def call(self, operation: str, *, limit_s: float = 30.0, **arguments: Any) -> Any:
        """One operation of `agent.__main__.OPERATIONS`. HostRefused, Unreachable (also when the host falls silent)."""
        with self._busy:
            number = next(self._ids)
            self._send({"id": number, "op": operation, "args": arguments, "limit_s": limit_s})
            until = time.monotonic() + limit_s + 20
            while True:
                try:
                    answer = self._answers.get(timeout=0.2)
                except queue.Empty:
                    if self.lost:
                        raise Unreachable(self.lost) from None
                    if INTERRUPTED.is_set():
                        raise Unreachable("interrupted") from None
                    silent_s = time.monotonic() - self._heard_at
                    if silent_s > SILENT_S:
                        self._lose(f"it has been silent for {silent_s:.0f} s")
                    elif time.monotonic() > until:
                        self._lose(f"{operation} took longer than {limit_s:g} s")
                    continue
                if answer.get("id") != number:
                    if "lost" in answer:
                        raise Unreachable(self.lost)
                    continue
                if "note" in answer:
                    self._on_note(self.key, answer["note"])
                elif "error" in answer:
                    raise HostRefused(answer["error"]["kind"], answer["error"]["text"], answer["error"]["log"])
                else:
                    return answer["ok"]

    def upload(self, source: BinaryIO, name: str, size: int) -> float:
        """Put a file into the host's folder for uploads (`make_room` first). Returns the seconds it took."""
        assert self._fabric is not None
        began = time.monotonic()
        path = self.system.upload_path(f"{self.system.root}/incoming/{name}")
        try:
            with self._fabric.client.open_sftp() as sftp:
                sftp.get_channel().settimeout(SILENT_S)
                sftp.putfo(source, path, size, confirm=True)
        except TimeoutError:
            self._lose("it stopped taking data")
            raise Unreachable(self.lost) from None
        except (EOFError, paramiko.SSHException) as error:
            raise Unreachable(f"the upload broke off: {error}") from None
        except OSError as error:
            raise HostRefused("room", f"{path} cannot be written: {error}", []) from None
        return time.monotonic() - began

    def _send(self, message: dict[str, Any]) -> None:
        if self.lost or self._channel is None:
            raise Unreachable(self.lost or "not connected")
        try:
            with self._writing:
                self._channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            self._lose(f"the connection broke off: {error}")
            raise Unreachable(self.lost) from None

    def _read(self, channel: paramiko.Channel) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in channel.makefile("rb", -1):
                self._heard_at = time.monotonic()
                message = json.loads(line)
                if "id" in message:
                    self._answers.put(message)
        if not self._closed.is_set():
            self._lose(self._why_it_ended(channel))

    def _why_it_ended(self, channel: paramiko.Channel) -> str:
        channel.status_event.wait(1.0)
        if why := self.system.why_it_ended(channel.exit_status):
            return why
        said = b""
        with contextlib.suppress(OSError):
            channel.settimeout(0.5)
            said = channel.recv_stderr(4000)
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["the connection broke off"]
        return last[0]

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_S) and not self.lost:
            with contextlib.suppress(Unreachable):
                self._send({"beat": 1})

    def _lose(self, why: str) -> None:
        self.lost = self.lost or why
        self._answers.put({"lost": True})
        if self._fabric is not None and self._fabric.transport is not None:
            threading.Thread(target=self._fabric.transport.close, daemon=True).start()
