"""Clients as there are in the world, all at once, against a balancer: what they get must be whole, right and theirs.

Under pytest against a fleet of its own; by hand against any address, where it prints what can be seen from outside:

    python tests/test_client.py http://192.168.1.20:8080 [--clients 8] [--rounds 20]

Exit code 0: every answer was whole and right; 1: not; 2: nobody answers there.
"""

import argparse
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # by hand, only this folder is on the path

from tests.clients import Tally, Visitor, browse, call, crowd, fetch, give_up, part_of_film, watch

if TYPE_CHECKING:
    from tests.fleet import RunningFleet

EVERYONE: dict[str, Callable[[Visitor], None]] = {
    "browsers: pages, and images over four connections at once": browse,
    "programs: JSON posted and read back": call,
    "viewers: ranges of a video": watch,
    "impatient: break off before, in the middle, in an upload": give_up,
}


def all_at_once(url: str, clients: int, rounds: int) -> dict[str, Tally]:
    """Every kind of client at the same time; tallies by kind."""
    tallies: dict[str, Tally] = {}

    def run(kind: str, number: int) -> None:
        tallies[kind] = crowd(url, EVERYONE[kind], clients, rounds, seed=number)

    threads = [threading.Thread(target=run, args=(kind, number)) for number, kind in enumerate(EVERYONE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {kind: tallies[kind] for kind in EVERYONE}


def test_everyone_at_once(whole_fleet: "RunningFleet") -> None:
    before = whole_fleet.idle()
    tallies = all_at_once(whole_fleet.url, clients=5, rounds=12)
    whole_fleet.idle(within_s=10)
    after = whole_fleet.until(lambda shot: shot["totals"]["connections"] == 0, within_s=2)
    for kind, tally in tallies.items():
        assert not tally.errors, (kind, tally.errors)
        assert (tally.lost, tally.unchecked) == (0, 0), kind
    programs = tallies["programs: JSON posted and read back"]
    assert len(programs.posted) == programs.ok == 60

    # Nothing is lost, nothing is counted twice: what clients know and what the balancer counted is the same.
    totals = {key: after["totals"][key] - before["totals"][key] for key in after["totals"]}
    answered = sum(tally.ok for tally in tallies.values())
    given_up = tallies["impatient: break off before, in the middle, in an upload"].given_up
    assert answered <= totals["requests"] <= answered + given_up
    assert totals["errors"] == totals["rejected"] == 0
    assert 0 < totals["aborted"] <= given_up
    assert after["totals"]["in_flight"] == 0
    assert all(node["state"] == "up" for node in after["nodes"]), "no node is blamed for its clients"

    executed = [whole_fleet.node_stats(name)["executions"] for name in ("l1", "l2", "l3")]
    times = [sum(node.get(identity, 0) for node in executed) for identity in programs.posted]
    assert times == [1] * 60, "each POST was worked on once"


def test_the_nodes_own_load_is_back_to_zero_after_clients_gave_up(whole_fleet: "RunningFleet") -> None:
    tally = crowd(whole_fleet.url, give_up, clients=10, rounds=5)
    assert not tally.errors
    whole_fleet.idle(within_s=5)
    whole_fleet.until(lambda shot: all(node["report"]["rif"] == 0 for node in shot["nodes"]), within_s=5)
    for name in ("l1", "l2", "l3"):
        stats = whole_fleet.node_stats(name)
        assert (stats["working"], stats["waiting"]) == (0, 0)


def test_wrong_content_is_noticed(whole_fleet: "RunningFleet") -> None:
    """The clients of these tests must not be blind."""
    visitor = Visitor(whole_fleet.url, random.Random(1))
    got = visitor.ask("/video/film-0?bytes=300000&service_ms=1", headers={"Range": "bytes=0-9"})
    assert got is not None
    got.body = b"x" + got.body[1:]
    visitor.check(got, lambda got: part_of_film(got, "/video/film-0", 0, 10))
    assert visitor.tally.errors == {"content: other bytes than belong there": 1}
    visitor.leave()


def main() -> int:
    """By hand: a report, and whether all was well."""
    parser = argparse.ArgumentParser(description="Real-world-like clients against a balancer, with what they got.")
    parser.add_argument("url", help="such as http://127.0.0.1:8080")
    parser.add_argument("--clients", type=int, default=8, help="of each kind (default 8)")
    parser.add_argument("--rounds", type=int, default=20, help="for each client (default 20)")
    options = parser.parse_args()
    first = crowd(options.url, fetch, 1, 1)
    if first.times_ms == []:
        print(f"{options.url} does not answer: {', '.join(first.errors)}", file=sys.stderr)
        return 2
    well = True
    for kind, tally in all_at_once(options.url, options.clients, options.rounds).items():
        well = well and not tally.errors and not tally.lost
        print(kind)
        for line in tally.lines():
            print("  " + line)
    print("all whole and right" if well else "NOT all whole and right")
    return 0 if well else 1


if __name__ == "__main__":
    raise SystemExit(main())
