"""GET /metrics: the scoreboard in Prometheus' words. Reads shared memory only; a scrape never touches the data path."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from balancer.monitor import Monitor
from balancer.scoreboard_layout import S_DROPPED_LINES
from balancer.snapshot import snapshot
from cluster.histogram import middle_ms

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATES = ("up", "unknown", "ejected", "down", "draining", "maintenance")


class _Collector:
    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        shot = snapshot(self._monitor)
        for name, text in (
            ("requests", "Requests answered, by whatever status."),
            ("errors", "Requests that the balancer itself had to answer with 502, 503 or 504."),
            ("rejected", "Requests refused as malformed or too large."),
            ("aborted", "Answers cut off because a side broke away."),
            ("retries", "Attempts after the first."),
            ("bytes_in", "Request body bytes."),
            ("bytes_out", "Bytes sent to clients."),
        ):
            yield CounterMetricFamily(f"fairlead_{name}", text, value=shot["totals"][name])  # type: ignore[literal-required]
        dropped = self._monitor.board.total(S_DROPPED_LINES)
        yield CounterMetricFamily("fairlead_dropped_log_lines", "Lines that found no room on the disk.", value=dropped)
        yield GaugeMetricFamily("fairlead_in_flight", "Requests being served.", value=shot["totals"]["in_flight"])
        yield GaugeMetricFamily("fairlead_connections", "Client connections.", value=shot["totals"]["connections"])
        algorithm = GaugeMetricFamily("fairlead_algorithm", "1 for the algorithm in force.", labels=["algorithm"])
        for view in shot["algorithms"]:
            algorithm.add_metric([view["key"]], float(view["key"] == shot["algorithm"]))
        yield algorithm
        yield from self._nodes()

    def _nodes(self) -> Iterator[Metric]:
        views = snapshot(self._monitor)["nodes"]
        for name, text in (
            ("attempts", "Attempts at the node."),
            ("errors", "Failed attempts at the node."),
            ("bad_answers", "Answers of 500 and above that the node gave."),
            ("retried", "Attempts at the node that another node took over."),
        ):
            counter = CounterMetricFamily(f"fairlead_node_{name}", text, labels=["node"])
            for view in views:
                counter.add_metric([view["name"]], view[name])  # type: ignore[literal-required]
            yield counter
        for name, text in (("in_flight", "Requests at the node now."), ("weight", "Weight in force.")):
            gauge = GaugeMetricFamily(f"fairlead_node_{name}", text, labels=["node"])
            for view in views:
                gauge.add_metric([view["name"]], view[name])  # type: ignore[literal-required]
            yield gauge
        state = GaugeMetricFamily("fairlead_node_state", "1 for the state the node is in.", labels=["node", "state"])
        for view in views:
            for word in _STATES:
                state.add_metric([view["name"], word], float(word == view["state"]))
        yield state
        latency = HistogramMetricFamily(
            "fairlead_node_latency_seconds", "From the pick to the end of the node's answer.", labels=["node"]
        )
        for record in self._monitor.board.nodes:
            buckets, total = _cumulative(record.histogram())
            latency.add_metric([record.name], buckets, sum_value=total)
        yield latency


def _cumulative(histogram: list[int]) -> tuple[list[tuple[str, float]], float]:
    """Our fine buckets as Prometheus' few, by each bucket's middle, and their sum in seconds."""
    counts = [0] * (len(BOUNDS_S) + 1)
    total = 0.0
    for index, count in enumerate(histogram):
        if count:
            seconds = middle_ms(index) / 1e3
            total += count * seconds
            counts[next((i for i, bound in enumerate(BOUNDS_S) if seconds <= bound), len(BOUNDS_S))] += count
    out, seen = [], 0
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), counts, strict=True):
        seen += count
        out.append((bound, float(seen)))
    return out, total


class Metrics:
    """The exposition for one balancer."""

    def __init__(self, monitor: Monitor) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(monitor))

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
