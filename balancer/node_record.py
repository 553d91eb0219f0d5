"""One node on the scoreboard: what algorithms look at, what workers count, what the control process orders."""

from typing import TYPE_CHECKING

from balancer.scoreboard_layout import (
    HEADER,
    N_ATTEMPTS,
    N_EJECTED_UNTIL,
    N_FAILURES,
    N_LATENCY_AT,
    N_LATENCY_MS,
    N_OWN_SERVICE_AT,
    N_OWN_SERVICE_COUNT,
    N_OWN_SERVICE_MS,
    N_REPORT_AT,
    N_RIF,
    N_SENT_AT_REPORT,
    N_SERVICE_MS,
    N_SLOTS,
    NODE,
    NODE_HEAD,
    O_ADMIN,
    O_CLEARED_AT,
    O_HEALTH,
    O_REPORT_AT,
    O_RIF,
    O_SERVICE_MS,
    O_SLOTS,
    O_SLOW_FROM,
    O_WEIGHT,
    ORDER,
    SLOT_HEAD,
)
from cluster.service_time import typical_ms
from cluster.states import READY, STATE, Admin, Health, State
from cluster.wire import NodeReport

if TYPE_CHECKING:
    from balancer.scoreboard import Scoreboard

EWMA = 0.05  # share of a new sample of latency


class NodeRecord:
    """One node. Properties read the shared memory; nothing is cached."""

    def __init__(self, board: "Scoreboard", index: int, name: str) -> None:
        self.index = index
        self.name = name
        self.slots: int | None = None  # as configured
        self.max_in_flight: int | None = None  # as configured
        self._board = board
        self._q = board.q
        self._d = board.d
        self._order = HEADER + index * ORDER
        self._live: tuple[int, ...] = ()
        self._all = tuple(
            board.slot_at(s) + SLOT_HEAD + index * NODE for s in range(board.slots)
        )  # where each slot's record of this node begins
        self.own = self._all[0]  # where my worker's record begins, in words: `q[own + N_...]`
        self.refresh()

    def refresh(self) -> None:
        """Follow a change of live workers."""
        self._live = tuple(self._all[s] for s in self._board.live)

    @property
    def in_flight(self) -> int:
        """Requests that this balancer has at the node now, over its workers."""
        q = self._q
        return sum([q[at] for at in self._live])  # N_IN_FLIGHT is word 0

    @property
    def has_room(self) -> bool:
        """Whether it has less in flight than it may."""
        return self.max_in_flight is None or self.in_flight < self.max_in_flight

    @property
    def weight(self) -> int:
        """Relative share wanted."""
        return self._q[self._order + O_WEIGHT]

    def count(self, counter: int) -> int:
        """A counter (N_...) over all workers, dead ones included."""
        return sum([self._q[at + counter] for at in self._all])

    def histogram(self) -> list[int]:
        """Attempts over all workers, by time to the end of the answer."""
        return self._board.add_up([at + NODE_HEAD for at in self._all])

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def admin(self) -> Admin:
        return Admin(self._q[self._order + O_ADMIN])

    @property
    def health(self) -> Health:
        return Health(self._q[self._order + O_HEALTH])

    def ejected_until(self) -> float:
        """Monotonic time until which some worker ejected it; ejections before the last pardon do not count."""
        until = max([self._d[at + N_EJECTED_UNTIL] for at in self._all])
        return until if until > self._d[self._order + O_CLEARED_AT] else 0.0

    def state(self, now: float) -> State:
        """The one word."""
        return STATE[self.admin, self.health, self.ejected_until() > now]

    def ready(self, now: float) -> bool:
        """Whether it may be picked."""
        return self.state(now) in READY and self.weight > 0

    def slow_start(self, now: float, seconds: float) -> float:
        """Share of the traffic that it gets while it warms up: 0.1 growing to 1.0 over `seconds`."""
        begun = self._d[self._order + O_SLOW_FROM]
        if not begun or seconds <= 0 or now >= begun + seconds:
            return 1.0
        return max(0.1, (now - begun) / seconds)

    # -- orders, written by the control process ------------------------------------------------------------------------

    def order(
        self,
        *,
        admin: Admin | None = None,
        health: Health | None = None,
        weight: int | None = None,
        slow_from: float | None = None,
    ) -> None:
        """Write orders; the workers see them at their next pick."""
        q, at = self._q, self._order
        if admin is not None:
            q[at + O_ADMIN] = admin
        if health is not None:
            q[at + O_HEALTH] = health
        if weight is not None:
            q[at + O_WEIGHT] = weight
        if slow_from is not None:
            self._d[at + O_SLOW_FROM] = slow_from
        self._board.changed()

    def pardon(self, now: float) -> None:
        """End its ejections (an operator enabled it)."""
        self._d[self._order + O_CLEARED_AT] = max(now, *[self._d[at + N_EJECTED_UNTIL] for at in self._all])
        self._board.changed()

    def report_probed(self, report: NodeReport, now: float) -> None:
        """A report that a probe brought."""
        d, at = self._d, self._order
        d[at + O_RIF], d[at + O_SLOTS], d[at + O_SERVICE_MS] = report["rif"], report["slots"], report["service_ms"]
        d[at + O_REPORT_AT] = now

    # -- outcomes, written by a worker ---------------------------------------------------------------------------------

    def start(self) -> None:
        """One more in flight. Nothing may yield between the pick and this."""
        q, at = self._q, self.own
        q[at] += 1
        q[at + N_ATTEMPTS] += 1

    def end(self) -> None:
        """One less in flight, however it ended."""
        self._q[self.own] -= 1

    def answered(self, latency_ms: float, bucket: int, sample: bool, unqueued: bool, now: float) -> None:
        """A whole answer came. `sample`: its time says how fast the node is; that of an error does not. `unqueued`: it
        met a free slot, so its latency is a sample of pure service time."""
        q, d, at = self._q, self._d, self.own
        q[at + NODE_HEAD + bucket] += 1
        q[at + N_FAILURES] = 0
        if not sample:
            return
        old = d[at + N_LATENCY_MS]
        d[at + N_LATENCY_MS] = latency_ms if old == 0.0 else old + EWMA * (latency_ms - old)
        d[at + N_LATENCY_AT] = now
        if unqueued:
            q[at + N_OWN_SERVICE_COUNT] += 1
            own_ms = typical_ms(d[at + N_OWN_SERVICE_MS], latency_ms, q[at + N_OWN_SERVICE_COUNT])
            d[at + N_OWN_SERVICE_MS], d[at + N_OWN_SERVICE_AT] = own_ms, now

    def reported(self, report: NodeReport, now: float) -> None:
        """A report that an answer brought."""
        d, at = self._d, self.own
        d[at + N_RIF], d[at + N_SLOTS], d[at + N_SERVICE_MS] = report["rif"], report["slots"], report["service_ms"]
        d[at + N_REPORT_AT] = now
        self._q[at + N_SENT_AT_REPORT] = self.count(N_ATTEMPTS)

    # -- what is known of its load -------------------------------------------------------------------------------------

    def newest_report(self) -> tuple[NodeReport, float, int] | None:
        """The newest report, when it came, and how many requests were sent since; None: it never reported."""
        d = self._d
        at = max(self._all, key=lambda a: d[a + N_REPORT_AT])
        heard, probed = d[at + N_REPORT_AT], d[self._order + O_REPORT_AT]
        if not heard and not probed:
            return None
        if heard >= probed:
            sent = self.count(N_ATTEMPTS) - self._q[at + N_SENT_AT_REPORT]
            return (
                NodeReport(rif=int(d[at + N_RIF]), slots=int(d[at + N_SLOTS]), service_ms=d[at + N_SERVICE_MS]),
                heard,
                sent,
            )
        o = self._order
        report = NodeReport(rif=int(d[o + O_RIF]), slots=int(d[o + O_SLOTS]), service_ms=d[o + O_SERVICE_MS])
        return report, probed, 0

    def own_service_ms(self) -> tuple[float, float]:
        """Pure service time that the workers saw, and when last; (0, 0) without a sample."""
        return self._newest(N_OWN_SERVICE_MS, N_OWN_SERVICE_AT)

    def latency_ms(self) -> tuple[float, float]:
        """Moving average of latency that the workers saw, and when last; (0, 0) without a sample."""
        return self._newest(N_LATENCY_MS, N_LATENCY_AT)

    def _newest(self, value: int, stamp: int) -> tuple[float, float]:
        at = max(self._all, key=lambda a: self._d[a + stamp])
        return self._d[at + value], self._d[at + stamp]

    def own_words(self) -> tuple[int, ...]:
        """Where each worker's record of this node begins, in words."""
        return self._all

    def forget_times(self) -> None:
        """Drop every monotonic time: the machine was rebooted."""
        for at in self._all:
            for word in (N_EJECTED_UNTIL, N_REPORT_AT, N_LATENCY_AT, N_OWN_SERVICE_AT):
                self._d[at + word] = 0.0
        for word in (O_SLOW_FROM, O_REPORT_AT, O_CLEARED_AT):
            self._d[self._order + word] = 0.0
        self.order(health=Health.UNKNOWN)
