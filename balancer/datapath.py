"""What all connections of one worker share: configuration, scoreboard, picker, pools, log.

Nothing here knows of gunicorn: `worker.py` makes one inside a gunicorn worker, tests and other servers make their own.
"""

import itertools
import secrets
from collections import Counter
from json.encoder import encode_basestring_ascii as quoted
from random import Random
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import gevent

from balancer.algorithms import Algorithm
from balancer.algorithms.record import Recorder
from balancer.ejector import Ejector
from balancer.load_probes import LoadProbes
from balancer.picker import Picker
from balancer.request_queue import RequestQueue
from balancer.retry import RetryBudget
from balancer.routes import Routes
from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import S_DROPPED_LINES
from balancer.sticky import StickyCookie
from balancer.stream import Waits
from balancer.upstream import NodePool
from cluster import paths
from cluster.auth import read_token
from cluster.config import Balancer, Fleet
from cluster.logs import LineLog
from cluster.states import Admin
from cluster.wire import NodeReport

if TYPE_CHECKING:
    from balancer.connection import ClientConnection

HOUSEKEEPING_S = 0.1


def open_scoreboard(fleet: Fleet, balancer: Balancer) -> Scoreboard:
    """The scoreboard that a balancer's workers and its control process share."""
    # At a reload or a handover old and new workers live side by side, at both in a row three sets of them.
    slots = 3 * balancer.workers + 2
    board = Scoreboard.open(paths.scoreboard_file(balancer.name), [n.name for n in fleet.nodes], slots)
    for record, node in zip(board.nodes, fleet.nodes, strict=True):
        record.slots = node.known_slots
        record.max_in_flight = node.max_in_flight
    return board


class DataPath:
    """One worker's share of the balancer."""

    def __init__(self, fleet: Fleet, balancer: Balancer, board: Scoreboard, access: LineLog) -> None:
        self.fleet = fleet
        self.balancer = balancer
        self.timeouts = balancer.timeouts
        self.limits = balancer.limits
        self.retries = balancer.retries
        self.retry_budget = RetryBudget(balancer.retries.budget, monotonic())
        self.board = board
        self.access = access
        self.waits = Waits()
        self.rng = Random()
        self.routes = Routes(balancer, fleet.nodes)
        self._lives = itertools.count()  # of algorithms' objects, for the log: an old one still hears of its last ends
        self._decisions = LineLog(paths.log_dir() / "decisions.jsonl") if balancer.decision_log else None
        self.picker = Picker(
            board,
            balancer.algorithm,
            fleet.health.slow_start_s,
            self.rng,
            self.routes.groups,
            balancers=len(fleet.balancers),
            record=self._record if balancer.decision_log else None,
        )
        self.queue = RequestQueue(balancer.queue)
        self.sticky = StickyCookie(balancer.sticky, read_token()) if balancer.sticky else None
        self.connections_of: Counter[str] = Counter()  # by client address
        self.ejector = Ejector(board, fleet.health.ejection)
        self.connections: set[ClientConnection] = set()
        self.draining = False
        self.release = paths.release()
        self.pools = [
            NodePool(node.name, *fleet.address_of(node), self.timeouts, self.limits, self.waits) for node in fleet.nodes
        ]
        self.report_seen: list[float] = [0.0] * len(fleet.nodes)
        self._id_prefix = f"{secrets.token_hex(4)}-".encode()
        self._ids = itertools.count(1)
        self.picker.on_probe = LoadProbes(self.pools, fleet.nodes, self.heard).send
        self.picker.refresh(monotonic())
        self._housekeeper = gevent.spawn(self._housekeep)

    def new_id(self) -> bytes:
        """A request id that no other worker makes."""
        return b"%s%x" % (self._id_prefix, next(self._ids))

    def _record(self, algorithm: Algorithm) -> Recorder:
        """Decision logging is on: write down each call to `algorithm`."""
        decisions, slot, life = self._decisions, self.board.slot, next(self._lives)
        assert decisions is not None

        def write(record: dict[str, Any]) -> None:
            decisions.write_json({"at": time(), "worker": slot, "life": life, **record})

        return Recorder(algorithm, Random(), write, lambda request: str(request.id, "latin-1"))

    def log_access(self, **fields: Any) -> None:
        """One line a request. Values are str, int, float or None."""
        parts = [
            f'"{key}":{quoted(value) if isinstance(value, str) else "null" if value is None else value}'
            for key, value in fields.items()
        ]
        self.access.write("{" + ",".join(parts) + "}")

    def heard(self, index: int, report: NodeReport, now: float) -> None:
        """A node's own load report came with an answer."""
        self.report_seen[index] = now
        node = self.board.nodes[index]
        node.reported(report, now)
        if self.picker.tell_report is not None:
            self.picker.tell_report(node, report, now)

    def close_idle(self) -> None:
        """Close every kept connection to a node."""
        for pool in self.pools:
            pool.close_idle(monotonic() + 1)

    def close(self) -> None:
        """Write what is buffered and let go."""
        self._housekeeper.kill()
        self.board.save()
        self.close_idle()
        self.access.close()
        if self._decisions is not None:
            self._decisions.close()
        self.waits.close()

    def _housekeep(self) -> None:
        """Ten times a second: follow the scoreboard, close old connections, write the log."""
        for beat in itertools.count():
            gevent.sleep(HOUSEKEEPING_S)
            now = monotonic()
            self.board.refresh_live()
            self.picker.refresh(now)
            if beat % 3 == 0:
                self.access.flush()
                self.board.q[self.board.own + S_DROPPED_LINES] = self.access.dropped
                if self._decisions is not None:
                    self._decisions.flush()
            for pool, node in zip(self.pools, self.board.nodes, strict=True):
                if node.admin is not Admin.ENABLED:  # it may be about to stop, and would wait for them
                    pool.close_idle(now)
            if beat % 10 == 0:
                for pool in self.pools:
                    pool.close_idle(now - self.timeouts.node_keep_alive_s)
