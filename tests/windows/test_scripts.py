"""The .bat files as text, and what they have netsh and schtasks do, against their documented syntax."""

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path, PureWindowsPath

import pytest

from cluster.config import Fleet
from cluster.load import parse
from cluster.programs import programs_of
from deploy.windows import boot_task, firewall, set_up

PROJECT = Path(__file__).parents[2]
SCRIPTS = sorted((PROJECT / "scripts" / "windows").glob("*.bat"))
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
NETSH_ADD = re.compile(
    r"name=(?!all$)[^\"]+|dir=in|action=allow|protocol=TCP|localport=\d+|remoteip=(LocalSubnet|[\d.]+(,[\d.]+)*)"
    r"|profile=private,domain"
)


def fleet() -> Fleet:
    raw = {
        "fleet": "mixed",
        "hosts": {
            "win": {"address": "192.168.7.10", "os": "windows", "connection": "local"},
            "lin": {"address": "192.168.7.20", "connection": "ssh"},
        },
        "balancers": [{"name": "b1", "host": "lin"}, {"name": "b2", "host": "win", "port": 8082, "control_port": 8083}],
        "nodes": [{"name": "l1", "host": "win", "port": 5001}],
        "dashboard": {"host": "lin"},
    }
    return parse(json.dumps(raw))


def test_every_script_is_there() -> None:
    wanted = "start_all stop_all status start_l1 start_l2 start_l3 setup_firewall install_boot_task fairlead set_up"
    assert {path.stem for path in SCRIPTS} == set(wanted.split())


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_has_crlf_quotes_its_paths_and_hands_its_exit_code_on(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 3
    assert content.isascii()  # cmd.exe reads it in whatever code page it has
    text = content.decode()
    assert text.startswith("@echo off\r\nrem ")
    assert text.rstrip().splitlines()[-1].startswith("exit /b ")
    for variable in ("%PYTHON%", "%ROOT%", "%~dp0", "%BASE%"):
        for line in text.splitlines():
            for found in re.finditer(re.escape(variable), line):
                assert line[: found.start()].count('"') % 2 == 1, f"{line}: a path may hold spaces"


def test_git_keeps_the_line_endings() -> None:
    names = [str(path.relative_to(PROJECT)) for path in SCRIPTS]
    said = subprocess.run(["git", "check-attr", "eol", *names], cwd=PROJECT, capture_output=True, text=True).stdout
    assert [line.rpartition(": ")[2] for line in said.splitlines()] == ["crlf"] * len(names)


def test_what_windows_needs_beside_the_lock_is_not_in_it() -> None:
    def names(file: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+)==", (PROJECT / file).read_text(), re.M))

    assert names("requirements-windows.lock") == {"cffi", "colorama", "pycparser"}
    assert not names("requirements-windows.lock") & names("requirements.lock")


def test_a_set_up_is_good_for_the_lock_files_of_its_time(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    for name in set_up.LOCKS:
        (tmp_path / name).write_text("a==1\n")
    assert set_up.main([], tmp_path) == 1
    assert set_up.main(["--done"], tmp_path) == set_up.main([], tmp_path) == 0
    (tmp_path / set_up.LOCKS[0]).write_text("a==2\n")
    assert set_up.main([], tmp_path) == 1


class Netsh:
    """Keeps rules as netsh does: `add` never replaces, `delete` takes all of a name and fails when there is none."""

    def __init__(self) -> None:
        self.rules: list[tuple[str, ...]] = []

    def __call__(self, command: list[str]) -> int:
        assert command[:3] == ["netsh", "advfirewall", "firewall"]
        assert command[4] == "rule"
        words = command[5:]
        keys = [word.partition("=")[0] for word in words]
        assert len(keys) == len(set(keys))
        if command[3] == "add":
            assert all(NETSH_ADD.fullmatch(word) for word in words), words
            assert {"name", "dir", "action"} <= set(keys)  # required ones
            self.rules.append(tuple(words))
            return 0
        assert command[3] == "delete"
        assert keys == ["name"]
        kept = [rule for rule in self.rules if rule[0] != words[0]]
        code = int(kept == self.rules)
        self.rules = kept
        return code


def test_rules_are_made_once_and_taken_away(tmp_path: Path) -> None:
    netsh, described, made = Netsh(), fleet(), tmp_path / "rules.json"
    programs = programs_of(described, ("win",))
    stranger = ("name=Somebody else", "dir=in", "action=allow")
    netsh.rules.append(stranger)
    for _ in range(2):
        assert firewall.apply(described, programs, False, made, netsh) == []
        assert {rule[0]: rule[4:] for rule in netsh.rules[1:]} == {
            "name=Fairlead node-l1": (
                "localport=5001",
                "remoteip=192.168.7.20,192.168.7.10",
                "profile=private,domain",
            ),
            "name=Fairlead balancer-control": ("localport=8083", "remoteip=192.168.7.20", "profile=private,domain"),
            "name=Fairlead balancer": ("localport=8082", "remoteip=LocalSubnet", "profile=private,domain"),
        }
        assert len(netsh.rules) == 4
    fewer = [program for program in programs if program.name != "node-l1"]  # it is gone from config.json
    firewall.apply(described, fewer, False, made, netsh)
    assert {rule[0] for rule in netsh.rules[1:]} == {"name=Fairlead balancer-control", "name=Fairlead balancer"}
    firewall.apply(described, [], True, made, netsh)
    assert netsh.rules == [stranger]


def test_a_rule_that_netsh_refuses_is_told(tmp_path: Path) -> None:
    described, made = fleet(), tmp_path / "rules.json"
    failed = firewall.apply(described, programs_of(described, ("win",)), False, made, lambda command: 1)
    assert failed[0] == "Fairlead node-l1: netsh did not take the rule for port 5001"
    assert len(failed) == 3


def test_the_task_never_ends_by_itself_and_comes_back() -> None:
    text = boot_task.task_xml(
        PureWindowsPath(r"C:\Users\A & B\kit\.venv\Scripts\python.exe"), PureWindowsPath(r"C:\Users\A & B\kit"),
        PureWindowsPath(r"C:\Users\A & B\kit\config.json"), True, r"CLASS\a & b",
    )  # fmt: skip
    task = ET.fromstring(text.encode("utf-16"))

    def value(path: str) -> str | None:
        return task.findtext("/".join(TASK + step for step in path.split("/")))

    assert task.tag == TASK + "Task"
    assert value("Settings/ExecutionTimeLimit") == "PT0S"
    assert value("Settings/DisallowStartIfOnBatteries") == value("Settings/StopIfGoingOnBatteries") == "false"
    assert value("Settings/MultipleInstancesPolicy") == "IgnoreNew"
    assert value("Settings/Priority") == "4"  # normal; without, it is 7: below normal
    assert value("Triggers/BootTrigger/Enabled") == "true"
    assert value("Triggers/TimeTrigger/Repetition/Interval") == "PT1M"
    assert task.find(f"{TASK}Triggers/{TASK}TimeTrigger/{TASK}Repetition/{TASK}Duration") is None  # for ever
    assert value("Principals/Principal/LogonType") == "S4U"
    assert value("Principals/Principal/UserId") == r"CLASS\a & b"
    assert value("Actions/Exec/Command") == r"C:\Users\A & B\kit\.venv\Scripts\python.exe"
    config = r'--config "C:\Users\A & B\kit\config.json"'
    assert value("Actions/Exec/Arguments") == f"-m deploy.keeper run --unless-stopped {config} --lan"
    assert value("Actions/Exec/WorkingDirectory") == r"C:\Users\A & B\kit"
    assert boot_task.create(Path("x.xml")) == ["schtasks", "/create", "/tn", "Fairlead", "/xml", "x.xml", "/f"]
