"""The snapshot: everything that the control process knows, in the shape of `cluster.wire.Snapshot`."""

from time import monotonic, time

from balancer.algorithms import ALGORITHMS
from balancer.algorithms.ladder import estimate
from balancer.monitor import Monitor
from balancer.node_record import NodeRecord
from balancer.scoreboard_layout import (
    N_ATTEMPTS,
    N_BAD_ANSWERS,
    N_ERRORS,
    N_RETRIED,
    S_ABORTED,
    S_BYTES_IN,
    S_BYTES_OUT,
    S_CONNECTIONS,
    S_ERRORS,
    S_GENERATION,
    S_IN_FLIGHT,
    S_PID,
    S_QUEUED,
    S_REJECTED,
    S_REQUESTS,
    S_RETRIES,
)
from cluster import paths
from cluster.config import Node
from cluster.states import State
from cluster.wire import AlgorithmView, NodeView, Snapshot, Totals, WorkerView


def snapshot(monitor: Monitor, *, probes: bool = False, histograms: bool = False) -> Snapshot:
    """The whole picture now; `probes`: with the probes' history; `histograms`: with those of the windows."""
    board, balancer = monitor.board, monitor.balancer
    now = monotonic()
    nodes = [node_view(monitor, record, now, histograms=histograms) for record in board.nodes]
    ready = any(node["ready"] for node in nodes)
    out = Snapshot(
        fleet=monitor.fleet.fleet,
        balancer=balancer.name,
        boot=monitor.events.boot,
        release=paths.release(),
        at=round(time(), 3),
        uptime_s=round(now - monitor.begun, 1),
        last_event=monitor.events.last,
        algorithm=board.algorithm or balancer.algorithm,
        algorithm_in_file=balancer.algorithm,
        algorithms=[_algorithm_view(monitor, key) for key in ALGORITHMS],
        ejection_bypassed=not ready and any(node["state"] == State.EJECTED.word for node in nodes),
        totals=Totals(
            requests=board.total(S_REQUESTS),
            errors=board.total(S_ERRORS),
            rejected=board.total(S_REJECTED),
            aborted=board.total(S_ABORTED),
            retries=board.total(S_RETRIES),
            bytes_in=board.total(S_BYTES_IN),
            bytes_out=board.total(S_BYTES_OUT),
            in_flight=board.total(S_IN_FLIGHT),
            connections=board.total(S_CONNECTIONS),
            queued=board.total(S_QUEUED),
        ),
        window=monitor.total.window(histogram=histograms),
        workers=_workers(monitor),
        nodes=nodes,
    )
    if probes:
        out["probes"] = {name: prober.state.view() for name, prober in monitor.probers.items()}
    return out


def node_view(monitor: Monitor, record: NodeRecord, now: float, *, histograms: bool = False) -> NodeView:
    """One node as this balancer sees it."""
    node: Node = monitor.fleet.nodes[record.index]
    host, port = monitor.fleet.address_of(node)
    newest = record.newest_report()
    state = record.state(now)
    cause = monitor.cause_of(record) if state in (State.DOWN, State.EJECTED) else ""
    return NodeView(
        name=node.name,
        kind=node.kind.value,
        runs=node.runs.value,
        host=node.host,
        address=f"{host}:{port}",
        admin=record.admin.word,
        health=record.health.word,
        state=state.word,
        ready=record.ready(now),
        cause=cause or ("weight 0: picked by nobody" if not record.weight else ""),
        since=round(monitor.since[record.index], 3),
        ejected_for_s=round(max(0.0, record.ejected_until() - now), 1),
        weight=record.weight,
        weight_in_file=node.weight,
        slow_start=round(record.slow_start(now, monitor.fleet.health.slow_start_s), 3),
        slots=node.known_slots,
        in_flight=record.in_flight,
        attempts=record.count(N_ATTEMPTS),
        errors=record.count(N_ERRORS),
        bad_answers=record.count(N_BAD_ANSWERS),
        retried=record.count(N_RETRIED),
        window=monitor.windows[record.index].window(histogram=histograms),
        report=newest[0] if newest else None,
        report_age_s=round(now - newest[1], 2) if newest else None,
        level=estimate(record, now).level,
    )


def _algorithm_view(monitor: Monitor, key: str) -> AlgorithmView:
    algorithm = ALGORITHMS[key]
    return AlgorithmView(
        key=key,
        label=algorithm.label,
        sentence=algorithm.sentence,
        caution=algorithm.caution,
        needs=sorted(need.value for need in algorithm.needs),
        requires=sorted(need.value for need in algorithm.requires),
        disabled=monitor.why_disabled(key),
    )


def _workers(monitor: Monitor) -> list[WorkerView]:
    board = monitor.board
    return [
        WorkerView(
            slot=slot,
            pid=pid,
            algorithm=board.algorithm if board.worker(slot, S_GENERATION) == board.generation else "",
            in_flight=board.worker(slot, S_IN_FLIGHT),
            connections=board.worker(slot, S_CONNECTIONS),
        )
        for slot in range(board.slots)
        if (pid := board.worker(slot, S_PID))
    ]
