"""A generator whose requests are sent by Locust workers, wherever they run. See `locustfile.py`."""

import os
from collections.abc import Callable
from typing import Any

import gevent
from gevent import Timeout
from gevent.queue import Queue

from cluster.errors import StartError
from lab.load import locust_messages
from lab.load.generator import Progress, Target
from lab.load.records import Records, from_message, merge
from lab.load.schedule import Schedule

PATIENCE_S = 60.0
"""For the workers to come."""
SLACK_S = 20.0
"""For their answers, beyond the schedule and its deadline."""


class LocustGenerator:
    """Like `Generator`, over `workers` Locust workers that connect to `port`. StartError when they do not come."""

    def __init__(self, target: Target, workers: int, port: int, say: Callable[[str], None]) -> None:
        os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")  # Locust's messages are gevent's already
        from locust.env import Environment  # half a second, and only here

        self._target = target
        self._workers = workers
        self._runs = 0
        self._answers: Queue[dict[str, Any]] = Queue()
        try:
            self._runner = Environment(events=None).create_master_runner("*", port)
        except SystemExit:
            raise StartError(f"port {port} is taken: give another with --locust-port") from None
        self._runner.register_message(locust_messages.DONE, self._on_done)
        say(f"waiting for {workers} workers: locust -f lab/load/locustfile.py --worker --master-host THIS-MACHINE"
            f" --master-port {port}")  # fmt: skip
        self._wait_for_workers()

    def _on_done(self, msg: Any, **_: Any) -> None:
        self._answers.put(msg.data)

    def _ready(self) -> list[str]:
        return [client.id for client in self._runner.clients.ready]

    def _wait_for_workers(self) -> None:
        with Timeout(PATIENCE_S, False):  # type: ignore[arg-type]
            while len(self._ready()) < self._workers:
                gevent.sleep(0.1)
        if len(self._ready()) < self._workers:
            raise StartError(f"{len(self._ready())} of {self._workers} Locust workers came within {PATIENCE_S:g} s")

    def run(self, schedule: Schedule, on_progress: Callable[[Progress], None] | None = None) -> Records:
        """Order each worker its part and merge what they bring back. StartError when one fails to."""
        self._wait_for_workers()
        self._runs += 1
        chosen = self._ready()[: self._workers]
        for part, client in enumerate(chosen):
            order = locust_messages.Order(
                run=self._runs, url=self._target.url, workload=schedule.workload.model_dump_json(),
                rate=schedule.drawn_rate, ramp_to=schedule.ramp_to, duration_s=schedule.duration_s, seed=schedule.seed,
                part=part, parts=self._workers,
            )  # fmt: skip
            self._runner.send_message(locust_messages.ORDER, dict(order), client_id=client)
        parts: dict[int, Records] = {}
        within_s = schedule.duration_s + schedule.workload.deadline_s + SLACK_S
        with Timeout(within_s, StartError(f"not all Locust workers answered within {within_s:.0f} s")):
            while len(parts) < self._workers:
                answer = self._answers.get()
                if answer["run"] != self._runs:
                    continue
                if "error" in answer:
                    raise StartError(f"a Locust worker could not send its part: {answer['error']}")
                parts[answer["part"]] = from_message(answer["records"])
        return merge([parts[part] for part in sorted(parts)])

    def close(self) -> None:
        """Let the workers go: they end."""
        self._runner.quit()
