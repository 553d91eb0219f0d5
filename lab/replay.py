"""Makes every decision of a balancer again: `python -m lab.replay logs/decisions.jsonl`.

A balancer with `"decision_log": true` in config.json writes what went into each decision and what came out
(balancer/algorithms/record.py). Here the same classes get the same input, and each record is written anew: the same
decision gives the same line, byte for byte. Rotated files (`decisions.jsonl.1` and so on) are read first.

Ends with 0 when all that could be replayed is identical, 1 when a decision differs, 2 when there was nothing to replay.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from balancer.algorithms import ALGORITHMS
from balancer.algorithms.record import Replay

MOST_SHOWN = 3


class Result:
    """What a replay came to, in decisions by algorithm."""

    def __init__(self) -> None:
        self.decisions: Counter[str] = Counter()
        self.identical: Counter[str] = Counter()
        self.beginning_lost = 0  # the algorithm's life began in a file that is gone
        self.unreadable = 0
        self.different: list[tuple[str, str]] = []  # line in the log, line of the replay

    def as_json(self) -> dict[str, Any]:
        return {
            "algorithms": {
                key: {"decisions": count, "identical": self.identical[key]} for key, count in self.decisions.items()
            },
            "different": len(self.different),
            "beginning_lost": self.beginning_lost,
            "unreadable": self.unreadable,
        }


def replay(lines: Iterable[str], out: TextIO | None = None) -> Result:
    """Make each line of a decision log again; `out` gets what came of it."""
    result, lives = Result(), dict[tuple[Any, Any], Replay]()
    for line in lines:
        line = line.rstrip("\n")
        try:
            record = json.loads(line)
            made = lives.setdefault((record["worker"], record["life"]), Replay(ALGORITHMS)).again(record)
        except (ValueError, KeyError, TypeError):
            result.unreadable += 1
            continue
        if made is None:
            result.beginning_lost += record["do"] == "pick"
            continue
        again = json.dumps(made, separators=(",", ":"), ensure_ascii=False)
        if record["do"] == "pick":
            result.decisions[record["algorithm"]] += 1
            result.identical[record["algorithm"]] += again == line
        if again != line:
            result.different.append((line, again))
        if out is not None:
            out.write(again + "\n")
    return result


def lines_of(path: Path) -> Iterator[str]:
    """All lines of a rotated log, oldest first. OSError when there is no such file."""
    older = sorted(path.parent.glob(path.name + ".[0-9]*"), key=lambda file: -int(file.name.rpartition(".")[2]))
    for file in (*older, path):
        with file.open(encoding="utf-8") as text:
            yield from text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.replay", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("log", type=Path, help="decisions.jsonl of a balancer")
    parser.add_argument("--out", type=Path, help="write the replayed lines here, to be compared with the log")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    given = parser.parse_args(arguments)
    try:
        with given.out.open("w", encoding="utf-8") if given.out else nullcontext() as out:
            result = replay(lines_of(given.log), out)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}; set decision_log in config.json and send requests", file=sys.stderr)
        return 2
    print(json.dumps(result.as_json()) if given.json else "\n".join(table(result)))
    return 1 if result.different else 0 if result.decisions else 2


def table(result: Result) -> Iterator[str]:
    """For people."""
    yield f"{'algorithm':<28}{'decisions':>10}{'identical':>11}"
    for key, count in result.decisions.items():
        yield f"{key:<28}{count:>10}{result.identical[key]:>11}"
    if result.beginning_lost:
        yield f"{result.beginning_lost} decisions not replayed: what the algorithm knew then is in a file that is gone"
    if result.unreadable:
        yield f"{result.unreadable} lines are no records"
    for logged, again in result.different[:MOST_SHOWN]:
        yield f"logged   {logged}\nreplayed {again}"
    if not result.decisions:
        yield "nothing to replay"


if __name__ == "__main__":
    sys.exit(main())
