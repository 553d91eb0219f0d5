"""netsh and schtasks of a stand-in host: netsh takes only what Windows documents and keeps what it is told.

Runs on Windows' Python. What is not as documented ends with a traceback, and so with exit code 1. Tasks are the
business of task_scheduler.py.
"""

import json
import re
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import task_scheduler

KEPT = Path("C:/rules.json")
LOG = Path("C:/administration.log")
RULE = re.compile(
    r"name=(?!all$)[^\"]+|dir=in|action=allow|protocol=TCP|localport=\d+"
    r"|remoteip=(LocalSubnet|[\d./]+)(,(LocalSubnet|[\d./]+))*|profile=private,domain"
)


def netsh(words: list[str]) -> int:
    """advfirewall firewall add|delete|show rule name=..."""
    assert words[:2] == ["advfirewall", "firewall"], words
    assert words[3] == "rule", words
    verb, rule = words[2], words[4:]
    assert all(RULE.fullmatch(word) for word in rule), rule
    rules: list[list[str]] = json.loads(KEPT.read_text()) if KEPT.exists() else []
    same = [known for known in rules if known[0] == rule[0]]
    if verb == "add":
        assert {"name", "dir", "action"} <= {word.partition("=")[0] for word in rule}, rule
        KEPT.write_text(json.dumps([*rules, rule]))
        return 0
    assert verb in ("delete", "show"), words
    assert len(rule) == 1, words
    if verb == "delete":
        KEPT.write_text(json.dumps([known for known in rules if known not in same]))
    return 0 if same else 1


if __name__ == "__main__":
    ask = netsh if Path(sys.argv[1]).stem.lower() == "netsh" else task_scheduler.ask
    try:
        sys.exit(ask(sys.argv[2:]))
    except Exception:
        with LOG.open("a") as log:
            print(sys.argv, file=log)
            traceback.print_exc(file=log)
        raise
