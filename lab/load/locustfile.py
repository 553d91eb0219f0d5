"""The same workload from Locust's processes, for when one machine cannot send the load.

    locust -f lab/load/locustfile.py --worker --master-host HERE      on as many machines and CPUs as it takes
    python -m lab.load URL --rate 2000 --locust 4                     here; so does lab.compare_algorithms

Each worker sends every N-th request of one seeded schedule, open loop, with the generator of `lab.load`, and hands its
rows back, so that nothing is rounded and the figures go into the same report. Locust's own statistics see each request
too. Without workers, `locust -f lab/load/locustfile.py --headless -u 1 --host URL --rate 100 -t 30s` sends it alone.
"""

from typing import Any

from locust import User, events, task
from locust.runners import WorkerRunner

from lab.load import locust_messages, workload
from lab.load.generator import Generator, Target
from lab.load.records import OK, Records, to_message
from lab.load.schedule import draw


def share_of(order: locust_messages.Order) -> Records:
    """Send this worker's part of the schedule."""
    schedule = draw(workload.parse(order["workload"]), order["rate"], order["duration_s"], order["seed"],
                    ramp_to=order["ramp_to"])  # fmt: skip
    generator = Generator(Target(order["url"]))
    try:
        return generator.run(schedule.part(order["part"], order["parts"]))
    finally:
        generator.close()


def tell_locust(environment: Any, records: Records) -> None:
    """Every request as Locust counts them; latency from the intended moment here too."""
    for row, latency_ms in zip(records.rows, records.latencies_ms(), strict=True):
        outcome = records.outcomes[row["outcome"]]
        environment.events.request.fire(
            request_type="GET", name=records.kinds[row["kind"]], response_time=float(latency_ms), response_length=0,
            exception=None if outcome == OK else RuntimeError(outcome), context={},
        )  # fmt: skip


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Any, **_: Any) -> None:
    """A worker waits for orders."""
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        return

    def on_order(environment: Any, msg: Any, **_: Any) -> None:
        answer = {"run": msg.data["run"], "part": msg.data["part"]}
        try:
            records = share_of(msg.data)
        except Exception as error:  # said to the person at the master, not only here
            runner.send_message(locust_messages.DONE, answer | {"error": f"{type(error).__name__}: {error}"})
            return
        runner.send_message(locust_messages.DONE, answer | {"records": to_message(records)})
        tell_locust(environment, records)

    runner.register_message(locust_messages.ORDER, on_order, concurrent=True)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def on_parser(parser: Any) -> None:
    """For a run without our master."""
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    parser.add_argument("--workload", default="typed", help="name or JSON file")
    parser.add_argument("--schedule-seed", default="1", help="the same seed sends the same requests")


class OpenLoop(User):  # type: ignore[misc]
    """One user sends the whole schedule; more users would send it more than once."""

    fixed_count = 1

    @task  # type: ignore[untyped-decorator]
    def replay(self) -> None:
        options = self.environment.parsed_options
        seconds = float(options.run_time or 10)
        schedule = draw(workload.load(options.workload), options.rate, seconds, options.schedule_seed)
        generator = Generator(Target(self.host))
        try:
            tell_locust(self.environment, generator.run(schedule))
        finally:
            generator.close()
        self.environment.runner.quit()
