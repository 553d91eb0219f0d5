"""Faults of the balancer's own processes and files."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.bench.processes import Command
from lab.bench.run import get
from lab.faults.rows import Record

if TYPE_CHECKING:
    from lab.faults.stage import Stage

AFTER_S = 2.5
SMALL_DISK = "8m"
FEW_FILES = 256


def worker_kill(stage: "Stage") -> None:
    """kill -9 of the busier worker (HAProxy has only one, with a thread for each of the others' workers)."""
    stage.breaks("l1", "l2", "l3")
    stage.is_whole()
    os.kill(stage.busiest_worker(), signal.SIGKILL)
    stage.wait(4)


def master_kill(stage: "Stage") -> None:
    """kill -9 of the process that keeps the workers; it is started again at once."""
    stage.breaks("l1", "l2", "l3")
    stage.is_whole()
    os.kill(stage.traffic_pid, signal.SIGKILL)
    stage.wait(6)


def everything_kill(stage: "Stage") -> None:
    """kill -9 of all its processes in the same instant, and of who holds the socket; all are started again at once."""
    _kill_everything(stage, lambda: None)


def everything_kill_board_corrupt(stage: "Stage") -> None:
    """The same, and the scoreboard's files hold nonsense when they are started again."""

    def overwrite() -> None:
        for file in (stage.folder / "state").glob("b1.scoreboard*"):
            _overwrite(file)

    _kill_everything(stage, overwrite)


def _kill_everything(stage: "Stage", meanwhile: Callable[[], None]) -> None:
    if stage.ours:
        stage.control("/algorithm", "POST", algorithm="least_connections")
        stage.control("/nodes/l3", "PATCH", admin="draining")
        stage.wait(0.3)
    stage.breaks("l1", "l2")
    stage.is_whole()
    stage.kill_everything(meanwhile)
    stage.wait(6)
    stage.measured["orders_lost"] = 0.0
    if stage.ours:
        shot = stage.control("/snapshot")
        admin = {node["name"]: node["admin"] for node in shot["nodes"]}
        kept = shot["algorithm"] == "least_connections" and admin["l3"] == "draining"
        stage.measured["orders_lost"] = float(not kept)


def worker_stop(stage: "Stage") -> None:
    """SIGSTOP of the busier worker for four seconds."""
    worker = stage.busiest_worker()
    stage.breaks()
    os.kill(worker, signal.SIGSTOP)
    stage.wait(4)
    os.kill(worker, signal.SIGCONT)
    stage.wait(AFTER_S)


def control_kill(stage: "Stage") -> None:
    """kill -9 of control, dead for three seconds; a node dies and an order is in force meanwhile."""
    stage.control("/algorithm", "POST", algorithm="least_connections")
    stage.control("/nodes/l3", "PATCH", admin="draining")
    stage.wait(0.3)
    stage.breaks("l2")
    stage.kill_control()
    stage.wait(1)
    stage.kill_nodes("l2")
    stage.wait(2)
    stage.start_nodes("l2")
    stage.start_control()
    stage.is_whole()
    stage.wait(3)
    shot = stage.control("/snapshot")
    admin = {node["name"]: node["admin"] for node in shot["nodes"]}
    health = [node["name"] for node in shot["nodes"] if node["health"] != "up"]
    kept = shot["algorithm"] == "least_connections" and admin["l3"] == "draining"
    stage.measured |= {"orders_lost": float(not kept), "not_up": float(len(health))}


def _board(stage: "Stage", act: Callable[[Path], None]) -> None:
    """Do it to every file of the scoreboard; afterwards a new worker and an order must still find the others."""
    stage.control("/nodes/l3", "PATCH", admin="draining")
    stage.wait(0.3)
    stage.breaks()
    for file in (stage.folder / "state").glob("b1.scoreboard*"):
        act(file)
    stage.wait(2)
    stage.reload()
    stage.wait(2)
    stage.control("/nodes/l1", "PATCH", admin="draining")
    stage.wait(0.3)
    stage.is_whole()
    stage.wait(2)


def disobeyed(records: list[Record], stage: "Stage") -> dict[str, float]:
    """Requests that a drained node got: l3 from the beginning, l1 since the order after the fault."""
    assert stage.whole_at is not None
    l3 = sum(r.node == "l3" and r.at > stage.broken_at for r in records)
    l1 = sum(r.node == "l1" and r.at > stage.whole_at for r in records)
    return {"to_drained": float(l3 + l1)}


def board_deleted(stage: "Stage") -> None:
    """The scoreboard's files are deleted; then a reload brings new workers."""
    _board(stage, Path.unlink)


def board_truncated(stage: "Stage") -> None:
    """The scoreboard's files are cut to nothing while they are in use; then a reload."""
    _board(stage, lambda board: os.truncate(board, 0))


def board_corrupt(stage: "Stage") -> None:
    """Every byte of the scoreboard's files is overwritten while they are in use; then a reload."""
    _board(stage, _overwrite)


def _overwrite(board: Path) -> None:
    with board.open("r+b") as file:
        file.write(os.urandom(board.stat().st_size))


def on_small_disk(command: Command, logs: Path) -> Command:
    """All that it logs and prints goes to a disk of 8 MB, which only it sees and which ends with it."""
    own = "-m" if os.geteuid() == 0 else "-rm"
    script = f'mount -t tmpfs -o size={SMALL_DISK} faults "$0" && exec "$@" >>"$0/out" 2>&1'
    return replace(command, argv=["unshare", own, "sh", "-c", script, str(logs), *command.argv])


def log_disk_full(stage: "Stage") -> None:
    """The disk that the logs are on has no room left for three seconds."""
    logs = Path(f"/proc/{stage.traffic_pid}/root") / (stage.folder / "logs").relative_to("/")
    filler = logs / "filler"
    stage.breaks()
    with suppress(OSError), filler.open("wb", 0) as file:
        while file.write(b"x" * 4096):
            pass
    stage.wait(3)
    filler.unlink()
    stage.is_whole()
    before = _bytes_of(logs)
    stage.wait(2)
    stage.measured["log_goes_on"] = float(_bytes_of(logs) > before)
    stage.measured["not_logged_again"] = 1 - stage.measured["log_goes_on"]


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def with_few_files(command: Command, logs: Path) -> Command:
    """Each of its processes may have 256 descriptors at once."""
    return replace(command, argv=["prlimit", f"--nofile={FEW_FILES}:{FEW_FILES}", *command.argv])


def files_exhausted(stage: "Stage") -> None:
    """Every process may have 256 descriptors; 800 clients connect and stay, without a word, for four seconds."""
    stage.breaks()
    with ExitStack() as held:
        for _ in range(800):
            sock = held.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", stage.port))
        stage.wait(4)
    stage.is_whole()
    begun = time.monotonic()
    status = get(stage.port, "/w/new")[0]
    stage.measured["new_client_after_s"] = round(time.monotonic() - begun, 2) if status == 200 else 99.0
    stage.wait(AFTER_S)


def reload_twice(stage: "Stage") -> None:
    """The signal that makes it read its configuration again, twice."""
    stage.breaks()
    for _ in range(2):
        stage.reload()
        stage.wait(3)


def restart(stage: "Stage") -> None:
    """Stop in good order, then start."""
    stage.breaks()
    stage.restart()
    stage.wait(4)
