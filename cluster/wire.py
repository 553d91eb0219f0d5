"""The shapes that travel: snapshot, event, node report, process state.

JSON keys are these names. A reader must not fail on a key it does not know. Times called `at` are seconds since the
epoch (for people); durations carry their unit.
"""

from typing import NotRequired, TypedDict

ORCA_HEADER = "endpoint-load-metrics"
"""Response header that carries a node's own load report (ORCA text form)."""

NODE_HEADER = "X-Fairlead-Node"
"""Names the node that answered."""

REQUEST_ID_HEADER = "X-Request-Id"

SEED_HEADER = "X-Fairlead-Seed"
"""A simulated node draws this request's service time from the seed in it, so that a comparison replays equal work."""


class NodeReport(TypedDict):
    """What a node says of itself: `GET /-/load`, and the ORCA header on each answer."""

    rif: int  # requests in flight in the node, waiting ones included
    slots: int
    service_ms: float  # typical pure service time, no waiting in it (cluster/service_time.py)
    request_ms: NotRequired[float]  # with an answer: pure service time of that very request


class Window(TypedDict):
    """Figures over the last `seconds`; percentiles are None without an answer in it."""

    seconds: float
    rps: float
    errors_per_s: float  # failed attempts (of the whole: answers that the balancer made), and answers of 500 and above
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    histogram: NotRequired[list[int]]  # what the percentiles are from (cluster/histogram.py, packed); ?histograms=1


class ProbeView(TypedDict):
    """What the active probes saw."""

    path: str | None  # None: not probed
    interval_s: float
    passes: int  # in a row
    fails: int  # in a row
    last_ok: bool | None
    last_ms: float | None
    last_at: float | None
    cause: str  # of the last fail, "" when there was none
    history: list[int]  # last 40: 1 pass, 0 fail


class NodeView(TypedDict):
    """One node as a balancer sees it. Counters only grow, for as long as the scoreboard lives."""

    name: str
    kind: str
    runs: str
    host: str
    address: str  # host:port
    admin: str  # enabled, draining, maintenance
    health: str  # unknown, up, down
    state: str  # the one word: up, unknown, ejected, down, draining, maintenance
    ready: bool
    cause: str  # why it is in this state, "" when there is nothing to say
    since: float  # `at` of the last change of state
    ejected_for_s: float  # 0 when not ejected
    weight: int
    weight_in_file: int
    slow_start: float  # share of its weight that it gets now: 0.1 to 1.0
    slots: int | None
    in_flight: int
    attempts: int
    errors: int  # failed attempts
    bad_answers: int  # of 500 and above, passed on to the client
    retried: int  # attempts that another node took over
    window: Window
    report: NodeReport | None
    report_age_s: float | None
    level: str  # what `dynamic` knows of this node: L0 to L4


class AlgorithmView(TypedDict):
    """An algorithm that can be chosen."""

    key: str
    label: str
    sentence: str  # what it looks at
    caution: str  # when not to use it, "" when there is nothing to say
    needs: list[str]  # what it looks at, of: weight, latency, report, client_key, kind
    requires: list[str]  # of those, what it cannot do without
    disabled: str  # why it cannot be switched to now, "" when it can


class WorkerView(TypedDict):
    """One balancer worker."""

    slot: int
    pid: int
    algorithm: str  # the one it uses now; "" while it has not yet followed the newest order
    in_flight: int
    connections: int


class Totals(TypedDict):
    """Whole balancer, counted since the scoreboard was made."""

    requests: int
    errors: int  # answers that the balancer itself had to make: 502, 503, 504
    rejected: int  # client's fault: 400 and its kin
    aborted: int  # the client went away
    retries: int
    bytes_in: int
    bytes_out: int
    in_flight: int
    connections: int
    queued: int  # of those in flight, waiting in the balancer for a node that has room


class Snapshot(TypedDict):
    """Everything: `GET /snapshot`."""

    fleet: str
    balancer: str
    boot: str  # changes whenever the control process starts anew
    release: str
    at: float
    uptime_s: float
    last_event: int  # `seq` of the newest event
    algorithm: str
    algorithm_in_file: str
    algorithms: list[AlgorithmView]
    ejection_bypassed: bool  # all ready nodes were ejected, so they are used after all
    totals: Totals
    window: Window
    workers: list[WorkerView]
    nodes: list[NodeView]
    probes: NotRequired[dict[str, ProbeView]]  # by node name; with ?probes=1


class Event(TypedDict):
    """Something happened. `seq` grows by one within a `boot`."""

    seq: int
    at: float
    kind: str  # algorithm, admin, weight, health, eject, worker, process, start, fault, deploy
    node: str | None
    who: str  # operator's name, or the part that saw it: probe, worker, supervisor
    text: str  # one sentence for people, with the cause


class Events(TypedDict):
    """`GET /events?after=SEQ&wait_s=20`: those newer than `after`; waits for one when there is none."""

    boot: str
    events: list[Event]


class ProcessView(TypedDict):
    """One supervised process, as Supervisor says."""

    name: str
    state: str  # STOPPED STARTING RUNNING BACKOFF STOPPING EXITED FATAL UNKNOWN
    pid: int
    since: float  # `at` of the last change
    restarts: int  # since the listener started
    description: str


class ProcessReport(TypedDict):
    """What a host's event listener posts to the dashboard: `POST /processes`, at each change and every 5 s."""

    host: str
    at: float
    processes: list[ProcessView]
    events: list[Event]


def report_to_orca(report: NodeReport) -> str:
    """The value of the ORCA header, text form (cncf/xds orca_load_report.proto names)."""
    request_ms = report.get("request_ms")
    return (
        f"TEXT named_metrics.rif={report['rif']},named_metrics.slots={report['slots']},"
        f"named_metrics.service_ms={report['service_ms']:.3f}"
        + ("" if request_ms is None else f",named_metrics.request_ms={request_ms:.3f}")
    )


def orca_to_report(value: str) -> NodeReport | None:
    """The report in an ORCA header's value; None when it is not in text form or lacks rif.

    A node without `slots` or `service_ms` reports 0 for it: "not said".
    """
    if not value.startswith("TEXT "):
        return None
    fields: dict[str, float] = {}
    for pair in value[5:].split(","):
        key, _, number = pair.strip().partition("=")
        try:
            fields[key.removeprefix("named_metrics.")] = float(number)
        except ValueError:
            return None
    rif, slots, service_ms = fields.get("rif"), fields.get("slots", 0.0), fields.get("service_ms", 0.0)
    if rif is None or not (0 <= rif < 1e9 and 0 <= slots < 1e9 and 0 <= service_ms < 1e9):
        return None
    report = NodeReport(rif=int(rif), slots=int(slots), service_ms=service_ms)
    if 0 < fields.get("request_ms", 0.0) < 1e9:
        report["request_ms"] = fields["request_ms"]
    return report
