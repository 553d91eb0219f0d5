"""netsh and schtasks of a stand-in host: take only what Windows documents, keep what they are told, start tasks.

Runs on Windows' Python. What is not as documented ends with a traceback, and so with exit code 1.
"""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

KEPT = Path("C:/administration.json")
RULE = re.compile(
    r"name=(?!all$)[^\"]+|dir=in|action=allow|protocol=TCP|localport=\d+"
    r"|remoteip=(LocalSubnet|[\d./]+)(,(LocalSubnet|[\d./]+))*|profile=private,domain"
)
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
DETACHED = 8 | 512


def netsh(words: list[str], rules: list[list[str]]) -> int:
    """advfirewall firewall add|delete|show rule name=..."""
    assert words[:2] == ["advfirewall", "firewall"], words
    assert words[3] == "rule", words
    verb, rule = words[2], words[4:]
    assert all(RULE.fullmatch(word) for word in rule), rule
    same = [known for known in rules if known[0] == rule[0]]
    if verb == "add":
        assert {"name", "dir", "action"} <= {word.partition("=")[0] for word in rule}, rule
        rules.append(rule)
        return 0
    assert verb in ("delete", "show"), words
    assert len(rule) == 1, words
    if verb == "delete":
        rules[:] = [known for known in rules if known not in same]
    return 0 if same else 1


def schtasks(words: list[str], tasks: dict[str, str]) -> int:
    """/create /tn NAME /xml FILE /f, /delete /tn NAME /f, /run /tn NAME, /query /tn NAME."""
    verb, tn, name, *more = words
    assert tn == "/tn", words
    if verb == "/create":
        assert (more[0], more[2:]) == ("/xml", ["/f"]), words
        text = Path(more[1]).read_text("utf-16")
        ET.fromstring(text.encode("utf-16"))
        tasks[name] = text
        return 0
    assert more == (["/f"] if verb == "/delete" else []), words
    if name not in tasks:
        return 1
    if verb == "/delete":
        del tasks[name]
    elif verb == "/run":
        action = ET.fromstring(tasks[name].encode("utf-16")).find(f"{TASK}Actions/{TASK}Exec")
        assert action is not None
        line = f'"{action.findtext(TASK + "Command")}" {action.findtext(TASK + "Arguments")}'
        nothing = subprocess.DEVNULL
        subprocess.Popen(line, stdin=nothing, stdout=nothing, stderr=nothing, creationflags=DETACHED)
    else:
        assert verb == "/query", words
    return 0


if __name__ == "__main__":
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"rules": [], "tasks": {}}
    if Path(sys.argv[1]).stem.lower() == "netsh":
        code = netsh(sys.argv[2:], kept["rules"])
    else:
        code = schtasks(sys.argv[2:], kept["tasks"])
    KEPT.write_text(json.dumps(kept))
    sys.exit(code)
