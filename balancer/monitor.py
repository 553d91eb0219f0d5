"""What the control process knows and does: it probes, samples the scoreboard, notices changes, carries out orders.

Twice a second it reads the counters; whatever changed since becomes an event. It writes health and orders, and nothing
else, so that it can die at any moment without a worker noticing.
"""

import itertools
import os
from random import Random
from time import monotonic, time

import gevent

from balancer.algorithms import ALGORITHMS, Need
from balancer.ejector import CAUSES
from balancer.events import EventLog
from balancer.health import Prober
from balancer.node_record import NodeRecord
from balancer.orders import Orders
from balancer.scoreboard import Scoreboard
from balancer.scoreboard_layout import (
    N_ATTEMPTS,
    N_BAD_ANSWERS,
    N_CAUSE,
    N_EJECTED_UNTIL,
    N_ERRORS,
    S_ERRORS,
    S_PID,
    S_REQUESTS,
)
from balancer.stream import Waits
from balancer.upstream import NodePool
from balancer.windows import Rolling
from cluster import paths
from cluster.config import Balancer, Fleet, Timeouts
from cluster.states import Admin, Health, State, admin_from
from cluster.wire import ORCA_HEADER, NodeReport

SAMPLE_S = 0.5
SAVE_BEATS = 10  # a copy of the scoreboard is saved at each so manieth sample


class Monitor:
    """One balancer's control, without its HTTP API."""

    def __init__(self, fleet: Fleet, balancer: Balancer, board: Scoreboard, events: EventLog) -> None:
        self.fleet = fleet
        self.balancer = balancer
        self.board = board
        self.events = events
        self.begun = monotonic()
        self.total = Rolling()
        self.windows = [Rolling() for _ in fleet.nodes]
        self.probers: dict[str, Prober] = {}
        self.since = [time()] * len(fleet.nodes)
        self._orders = Orders(paths.orders_file(balancer.name))
        self._states: list[State] = []
        self._ejected: list[float] = [node.ejected_until() for node in board.nodes]
        self._workers: set[int] = set()

    # -- start -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring the scoreboard in line with orders and configuration, then watch."""
        self._apply_orders()
        settings = self.fleet.health.probe
        waits = Waits()
        for record, node in zip(self.board.nodes, self.fleet.nodes, strict=True):
            path = node.probe_path if settings.enabled else None
            if path is None:
                record.order(health=Health.UNKNOWN)
                continue
            timeouts = Timeouts(connect_s=settings.timeout_s)
            pool = NodePool(node.name, *self.fleet.address_of(node), timeouts, self.balancer.limits, waits)
            self.probers[node.name] = self._prober(pool, path, record)
            gevent.spawn(self.probers[node.name].run)
        self._states = [node.state(monotonic()) for node in self.board.nodes]
        self._workers = self._worker_pids()
        self.events.add("start", f"control of balancer {self.balancer.name} started", who="control")
        if self._orders.damaged:
            self.events.add("start", self._orders.damaged, who="control")
        gevent.spawn(self._watch)

    def _apply_orders(self) -> None:
        algorithm = self._orders.algorithm or self.balancer.algorithm
        if algorithm not in ALGORITHMS:
            algorithm = self.balancer.algorithm
        if self.board.algorithm != algorithm:
            self.board.order_algorithm(algorithm)
        for record, node in zip(self.board.nodes, self.fleet.nodes, strict=True):
            orders = self._orders.nodes.get(node.name, {})
            admin = admin_from(orders.get("admin", "enabled"))
            weight = orders.get("weight", node.weight)
            if (record.admin, record.weight) != (admin, weight):
                record.order(admin=admin, weight=weight)

    def _prober(self, pool: NodePool, path: str, record: NodeRecord) -> Prober:
        def tell(health: Health, report: NodeReport | None) -> None:
            now, before = monotonic(), record.health
            if report is not None:
                record.report_probed(report, now)
            if health is before:
                return
            slow_from = now if before is Health.DOWN else 0.0
            if slow_from and health is Health.UP:
                record.pardon(now)  # probes passed since: they know more than the failures before (as Envoy has it)
            record.order(health=health, slow_from=slow_from)
            state = prober.state
            if health is Health.UP:
                text = f"{record.name} is up" + (f" again ({state.passes} probes passed)" if slow_from else "")
            else:
                text = f"{record.name} is down: {state.fails} probes failed, the last: {state.cause}"
            self.events.add("health", text, node=record.name, who="probe")

        prober = Prober(pool, path, self.fleet.health.probe, Random(), lambda: record.health, tell)
        return prober

    # -- orders ------------------------------------------------------------------------------------------------------

    def why_disabled(self, key: str) -> str:
        """Why an algorithm cannot be switched to now; "" when it can. KeyError when there is none of that key."""
        if Need.REPORT not in ALGORITHMS[key].requires or any(node.newest_report() for node in self.board.nodes):
            return ""
        return f"no node has reported its load yet (response header {ORCA_HEADER})"

    def order_algorithm(self, key: str, who: str) -> int:
        """Switch the algorithm; returns the event's number. KeyError when there is none of that key."""
        label = ALGORITHMS[key].label
        before = self.board.algorithm
        self._orders.set_algorithm(key)
        self.board.order_algorithm(key)
        note = "" if before != key else " (it was already)"
        return self.events.add("algorithm", f"algorithm is now {label}{note}", who=who)

    def order_node(self, name: str, admin: Admin | None, weight: int | None, who: str) -> NodeRecord:
        """Carry out an operator's order. KeyError when there is no such node."""
        record = {node.name: node for node in self.board.nodes}[name]
        self._orders.set_node(name, admin, weight)
        if admin is not None:
            now = monotonic()
            changed, pardoned = admin is not record.admin, admin is Admin.ENABLED and record.ejected_until() > now
            if pardoned:
                record.pardon(now)
            if changed:
                record.order(admin=admin)
                if admin is Admin.ENABLED and record.health is not Health.UP and name in self.probers:
                    self.probers[name].hurry()
            if changed or pardoned:
                what = ": its ejection is over" if pardoned else ""
                self.events.add("admin", f"{name} is {admin.word}{what}", node=name, who=who)
        if weight is not None and weight != record.weight:
            before = record.weight
            record.order(weight=weight)
            self.events.add("weight", f"weight of {name}: {before} -> {weight}", node=name, who=who)
        return record

    # -- watching ----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        for beat in itertools.count(1):
            self.sample(monotonic())
            if not self.board.is_current():
                self.events.add("start", "the scoreboard was made anew; control starts again", who="control")
                os._exit(1)  # Supervisor starts us again, on the scoreboard that the workers use
            if not beat % SAVE_BEATS:
                self.board.save()
            gevent.sleep(SAMPLE_S)

    def sample(self, now: float) -> None:
        """Read the counters, and make events of what changed."""
        board = self.board
        board.reap()
        board.refresh_live()
        bad = [node.count(N_BAD_ANSWERS) for node in board.nodes]
        _sample(self.total, now, board.total(S_REQUESTS), board.total(S_ERRORS) + sum(bad), board)
        for node, rolling in zip(board.nodes, self.windows, strict=True):
            _sample(rolling, now, node.count(N_ATTEMPTS), node.count(N_ERRORS) + bad[node.index], node)
            self._notice_ejection(node, now)
            self._notice_state(node, now)
        self._notice_workers()

    def _notice_state(self, node: NodeRecord, now: float) -> None:
        state = node.state(now)
        if state is not self._states[node.index]:
            if self._states[node.index] is State.EJECTED and state in (State.UP, State.UNKNOWN):
                self.events.add("eject", f"{node.name} is back after its ejection", node=node.name, who="worker")
            self._states[node.index] = state
            self.since[node.index] = time()

    def _notice_ejection(self, node: NodeRecord, now: float) -> None:
        until = node.ejected_until()
        if until <= self._ejected[node.index]:
            return
        self._ejected[node.index] = until
        if until > now:
            text = f"{node.name} is ejected for {until - now:.0f} s: attempts failed in a row ({self.cause_of(node)})"
            self.events.add("eject", text, node=node.name, who="worker")

    def _notice_workers(self) -> None:
        pids = self._worker_pids()
        for pid in sorted(self._workers - pids):
            self.events.add("worker", f"balancer worker {pid} is gone", who="control")
        for pid in sorted(pids - self._workers):
            self.events.add("worker", f"balancer worker {pid} serves", who="control")
        self._workers = pids

    def _worker_pids(self) -> set[int]:
        return {pid for slot in range(self.board.slots) if (pid := self.board.worker(slot, S_PID))}

    def cause_of(self, node: NodeRecord) -> str:
        """Why a node is as it is: the last probe's cause, or the last failure that a worker saw."""
        prober = self.probers.get(node.name)
        if node.health is Health.DOWN and prober is not None:
            return prober.state.cause
        worker = max(node.own_words(), key=lambda at: self.board.d[at + N_EJECTED_UNTIL])
        code = self.board.q[worker + N_CAUSE]
        return CAUSES[code].replace("_", " ") if 0 <= code < len(CAUSES) else ""


def _sample(rolling: Rolling, now: float, count: int, errors: int, source: Scoreboard | NodeRecord) -> None:
    rolling.sample(now, count, errors, None if rolling.unchanged(count, errors) else source.histogram())
