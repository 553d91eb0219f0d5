"""All faults: what is done, which balancers it is done to, and what is promised. A new one is one entry here.

The promises are the last column of the fault tables that the project set itself; `always` in rows.py adds those that
hold for every fault: nothing executed twice, nothing in flight at the end, no client stuck, no foreign or garbled
answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.bench.processes import Command
from lab.faults import of_balancer, of_clients, of_nodes
from lab.faults.load import CLIENTS
from lab.faults.rows import Promise, Record, at_most, gets, posts

if TYPE_CHECKING:
    from lab.faults.stage import Stage

EVERYONE = ("fairlead", "haproxy", "nginx")
OURS = ("fairlead",)
NONE_FAILS = (gets(0), posts(0))
UNDISTURBED_MS = 100.0  # on a machine whose two CPUs carry the load and the nodes as well


def _as_is(command: Command, logs: Path) -> Command:
    return command


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break something."""

    key: str
    run: Callable[["Stage"], None]
    """Breaks it, waits, takes it back. Its docstring says what happens."""
    promises: Sequence[Promise]
    target: str
    """The promises in words."""
    balancers: tuple[str, ...] = EVERYONE
    """Those that it can be done to."""
    quick: bool = False
    """Part of --quick."""
    algorithm: str = "round_robin"
    """Of ours; `dynamic` is least connections for the others."""
    wrap: Callable[[Command, Path], Command] = _as_is
    """Changes how the traffic's program is started; takes the folder of the logs."""
    measure: Callable[[list[Record], "Stage"], dict[str, float]] | None = None
    """More figures, from all records."""


FAULTS = {
    fault.key: fault
    for fault in (
        Fault(
            "node-kill", of_nodes.node_kill,
            (gets(0), posts(CLIENTS, "502"), at_most("hit_for_s", 1.5, "seconds hit")),
            "no GET fails; POSTs in flight there get 502", quick=True,
        ),
        Fault(
            "node-stop", of_nodes.node_stop,
            (gets(0), posts(CLIENTS, "504", "502"), at_most("slow", CLIENTS, "slow"),
             at_most("hit_for_s", 2.0, "seconds until it is out")),
            "no GET fails; at most 16 slow; out within 2 s",
        ),
        Fault(
            "node-partition", of_nodes.node_partition,
            (gets(0), posts(CLIENTS, "504", "502"), at_most("max_ms", 4200, "longest, ms"),
             at_most("hit_for_s", 2.0, "seconds until it is out")),
            "no GET fails, each within 4 s; out within 3 checks",
        ),
        Fault(
            "node-slow", of_nodes.node_slow,
            (*NONE_FAILS, at_most("slow_share_pct", 40, "its share of an equal share while slow, %"),
             at_most("starved", 0, "starved")),
            "its share goes down to 40 % of an equal one, but not to 0",
            algorithm="dynamic", measure=of_nodes.shares_of_slow,
        ),
        Fault(
            "node-garbage", of_nodes.node_garbage,
            (gets(0), posts(200, "502"), at_most("hit_for_s", 2.0, "seconds until it is out")),
            "no GET fails; POSTs get 502 until it is out within 2 s; nothing raw reaches a client",
        ),
        Fault(
            "node-cuts-length", of_nodes.node_cuts_length,
            (gets(0), posts(60, "cut short")),
            "no GET fails, short answers are held until they are whole; POSTs look cut; ejected after 5 in a row",
        ),
        Fault(
            "node-cuts-chunked", of_nodes.node_cuts_chunked,
            (gets(60, "cut short"), posts(60, "cut short")),
            "cut answers look cut; it is ejected after 5 in a row",
        ),
        Fault(
            "node-endless-head", of_nodes.node_endless_head,
            (gets(0), posts(200, "502"), at_most("hit_for_s", 2.0, "seconds until it is out")),
            "no GET fails; POSTs get 502 until it is out within 2 s",
        ),
        Fault(
            "node-resets", of_nodes.node_resets,
            (gets(0), posts(60, "502"), at_most("hit_for_s", 2.0, "seconds until it is out")),
            "no GET fails; POSTs get 502 until it is ejected after 5 in a row",
        ),
        Fault(
            "node-flaps", of_nodes.node_flaps,
            (gets(0), posts(CLIENTS, "502")),
            "no GET fails; of the POSTs those in flight there",
        ),
        Fault(
            "nodes-hang-up", of_nodes.nodes_hang_up, NONE_FAILS,
            "nothing fails, no node is blamed",
        ),
        Fault(
            "all-down", of_nodes.all_down,
            (gets(1000, "503"), posts(1000, "502", "503"), at_most("max_ms", 2300, "longest, ms"),
             at_most("back_after_s", 1.0, "seconds until the first answer after they are back")),
            "held up to 2 s, then 503 with Retry-After, never 502 for a GET; whole within 1 s", quick=True,
        ),
        Fault(
            "worker-kill", of_balancer.worker_kill,
            (gets(CLIENTS, "cut", "cut short"), posts(CLIENTS, "cut", "cut short"),
             at_most("hit_for_s", 2.0, "seconds hit")),
            "only what that worker had in its hands is lost", quick=True,
        ),
        Fault(
            "worker-stop", of_balancer.worker_stop,
            (*NONE_FAILS, at_most("slow", CLIENTS, "slow")),
            "nothing fails, the other worker's clients notice nothing",
        ),
        Fault(
            "master-kill", of_balancer.master_kill,
            (*NONE_FAILS, at_most("idle_cut", 0, "kept connections cut"), at_most("max_ms", 500, "longest, ms")),
            "nothing fails: its workers finish, who stands by takes new connections",
        ),
        Fault(
            "everything-kill", of_balancer.everything_kill,
            (at_most("hit_for_s", 4.0, "seconds until it is whole"), at_most("orders_lost", 0, "orders lost")),
            "all connections are lost; whole within 4 s, orders are kept",
        ),
        Fault(
            "everything-kill-board", of_balancer.everything_kill_board_corrupt,
            (at_most("hit_for_s", 4.0, "seconds until it is whole"), at_most("orders_lost", 0, "orders lost")),
            "the same; the scoreboard is made anew", balancers=OURS,
        ),
        Fault(
            "control-kill", of_balancer.control_kill,
            (gets(0), posts(CLIENTS, "502"), at_most("orders_lost", 0, "orders lost"),
             at_most("not_up", 0, "nodes not up 3 s after its restart")),
            "nothing fails that a dead node alone would not fail; orders are kept; probes resume within 3 s",
            balancers=OURS,
        ),
        Fault(
            "board-deleted", of_balancer.board_deleted,
            (*NONE_FAILS, at_most("to_drained", 0, "requests to drained nodes")),
            "nothing fails, orders hold and reach every worker",
            balancers=OURS, measure=of_balancer.disobeyed,
        ),
        Fault(
            "board-truncated", of_balancer.board_truncated,
            (*NONE_FAILS, at_most("to_drained", 0, "requests to drained nodes")),
            "nothing fails, no SIGBUS, orders hold and reach every worker",
            balancers=OURS, measure=of_balancer.disobeyed,
        ),
        Fault(
            "board-corrupt", of_balancer.board_corrupt,
            (*NONE_FAILS, at_most("to_drained", 0, "requests to drained nodes")),
            "nothing fails, orders hold and reach every worker",
            balancers=OURS, measure=of_balancer.disobeyed,
        ),
        Fault(
            "log-disk-full", of_balancer.log_disk_full,
            (*NONE_FAILS, at_most("not_logged_again", 0, "no log afterwards")),
            "nothing fails; logging goes on when there is room", wrap=of_balancer.on_small_disk,
        ),
        Fault(
            "slow-heads", of_clients.slow_heads,
            (*NONE_FAILS, at_most("left", 0, "slow heads left"), at_most("last_gone_s", 12.0, "seconds until gone"),
             at_most("p99_ms", UNDISTURBED_MS, "p99, ms")),
            "5,000 of them gone 10 s after they began; nobody else notices",
        ),
        Fault(
            "big-download", of_clients.big_download,
            (*NONE_FAILS, at_most("missing_mib", 0, "MiB missing"), at_most("grew_mb", 6.3, "memory growth, MB")),
            "256 KiB for each of 20 stalled streams and 1 MB for the long one: 6.3 MB",
        ),
        Fault(
            "big-upload", of_clients.big_upload,
            (*NONE_FAILS, at_most("missing_mib", 0, "MiB missing"), at_most("grew_mb", 4.0, "memory growth, MB")),
            "it passes through: a few MB at most",
        ),
        Fault(
            "refused-uploads", of_clients.refused_uploads,
            (*NONE_FAILS, at_most("not_told", 0, "clients not told"), at_most("told_after_ms", 500, "ms until told")),
            "each client is told at once, and the connection is not used again",
        ),
        Fault(
            "client-aborts", of_clients.aborts,
            (*NONE_FAILS, at_most("node_never_told", 0, "nodes never told"),
             at_most("node_told_after_ms", 150, "ms until a node is told")),
            "the node sees the end within 0.1 s and is not blamed", quick=True,
        ),
        Fault(
            "flood", of_clients.flood,
            (*NONE_FAILS, at_most("p99_ms", UNDISTURBED_MS, "p99, ms")),
            "3,000 connects in 2 s; nobody else notices",
        ),
        Fault(
            "files-exhausted", of_balancer.files_exhausted,
            (*NONE_FAILS, at_most("new_client_after_s", 2.0, "seconds until a new client is served")),
            "who is connected is served; others wait; no crash, no node blamed", wrap=of_balancer.with_few_files,
        ),
        Fault(
            "reload", of_balancer.reload_twice,
            (*NONE_FAILS, at_most("idle_cut", 0, "kept connections cut"), at_most("max_ms", 500, "longest, ms")),
            "nothing fails, no kept connection is cut, nobody waits", quick=True,
        ),
        Fault(
            "restart", of_balancer.restart,
            (*NONE_FAILS, at_most("idle_cut", 0, "kept connections cut"), at_most("max_ms", 500, "longest, ms")),
            "nothing fails, no kept connection is cut, nobody waits", quick=True,
        ),
    )
}  # fmt: skip
