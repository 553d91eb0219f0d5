"""What fab runs on a host: the wire, what is taken back at its end, the lock, releases on disk."""

import json
import os
import queue
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.agent import lock, releases
from deploy.agent.linux import Linux
from deploy.agent.machine import Machine
from deploy.agent.place import Place, Refused, write
from deploy.agent.session import Session, serve
from deploy.hosts.agent_archive import agent_archive
from deploy.hosts.linux import Linux as LinuxHost


class Wire:
    """Both ends of a connection, without one."""

    def __init__(self) -> None:
        read, write_ = os.pipe()
        self.source, self.sink = os.fdopen(read, "rb"), os.fdopen(write_, "wb", buffering=0)
        self.said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def write(self, data: bytes) -> int:
        self.said.put(json.loads(data))
        return len(data)

    def flush(self) -> None:
        pass

    def ask(self, op: str, **args: Any) -> dict[str, Any]:
        self.sink.write(json.dumps({"id": 1, "op": op, "args": args, "limit_s": 5}).encode() + b"\n")
        return self.said.get(timeout=5)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.sink.close()
    made.source.close()


def served(wire: Wire, operations: dict[str, Callable[..., Any]], root: Path) -> threading.Thread:
    thread = threading.Thread(target=serve, args=(operations, Linux(str(root)), wire.source, wire))
    thread.start()
    return thread


def test_requests_are_answered_and_errors_are_told_with_their_kind(wire: Wire, tmp_path: Path) -> None:
    def refuse(session: Session) -> None:
        session.note("tries")
        raise Refused("gate", "it is not good", ["last line"])

    thread = served(wire, {"add": lambda session, a, b: a + b, "refuse": refuse}, tmp_path)
    assert wire.ask("add", a=1, b=2) == {"id": 1, "ok": 3}
    assert wire.ask("refuse") == {"id": 1, "note": "tries"}
    assert wire.said.get(timeout=5) == {
        "id": 1,
        "error": {"kind": "gate", "text": "it is not good", "log": ["last line"]},
    }
    assert wire.ask("nonsense")["error"]["text"] == "KeyError: 'nonsense'"
    wire.sink.write(b'{"beat": 1}\n')
    assert wire.said.get(timeout=5) == {"beat": 1}
    wire.sink.close()
    thread.join(5)
    assert not thread.is_alive()


def test_what_a_connection_held_is_taken_back_when_it_ends_the_newest_first(wire: Wire, tmp_path: Path) -> None:
    undone: list[str] = []

    def hold(session: Session, key: str) -> None:
        session.hold(key, lambda: undone.append(key))

    def broken(session: Session) -> None:
        session.hold("broken", lambda: 1 / 0)

    thread = served(wire, {"hold": hold, "broken": broken, "free": lambda s, key: s.release(key)}, tmp_path)
    for key in ("lock", "given back", "node"):
        wire.ask("hold", key=key)
    wire.ask("broken")  # what fails keeps none of the others
    wire.ask("free", key="given back")
    wire.sink.close()  # the operator is gone, however
    thread.join(5)
    assert undone == ["node", "lock"]


def test_a_session_that_ended_leaves_no_watch_that_could_end_the_process(wire: Wire, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    served(wire, {"hold": lambda session: session.hold("x", lambda: None)}, tmp_path)
    wire.ask("hold")
    watching = set(threading.enumerate()) - before
    assert len(watching) == 3  # the loop, the reader, the watch
    wire.sink.close()
    for one in watching:
        one.join(5)
    assert [one for one in watching if one.is_alive()] == []


def test_silence_counts_as_gone(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.agent.session.SILENCE_S", 0.1)
    undone: list[str] = []
    thread = served(wire, {"hold": lambda session: session.hold("x", lambda: undone.append("x"))}, tmp_path)
    wire.ask("hold")
    thread.join(5)
    assert undone == ["x"]
    wire.sink.close()


def session(root: Path) -> Session:
    place = Place(root)
    for folder in (place.releases, place.envs, place.incoming, place.state, place.logs):
        folder.mkdir(parents=True, exist_ok=True)
    return Session(place, cast(Machine, Linux(str(root))), lambda message: None)


def test_the_lock_is_for_one_and_says_who_has_it(tmp_path: Path) -> None:
    mine = session(tmp_path)
    lock.take(mine, {"who": "anna@laptop", "host": "laptop", "pid": 7}, wait_s=0)
    theirs = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; from deploy.agent import lock;"
        "from deploy.agent.session import Session; from deploy.agent.place import Place;"
        "lock.take(Session(Place(Path(sys.argv[1])), None, print), {}, 0)"
    )
    command = [sys.executable, "-c", theirs, str(tmp_path), str(Path.cwd())]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert "Refused: anna@laptop (pid 7 on laptop) has it since" in refused.stderr
    assert "anna@laptop" in lock.holder(mine)
    mine.take_all_back()
    assert lock.holder(mine) == ""
    assert subprocess.run(command, capture_output=True).returncode == 0


def archive(place: Place, name: str, files: dict[str, str], mode: int = 0o644) -> str:
    with tarfile.open(place.incoming / name, "w") as tar:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(text.encode()), mode, 1_234_567_890
            tar.addfile(entry, BytesIO(text.encode()))
    return name


def installed(here: Session, release: str) -> None:
    name = archive(here.place, f"{release}.tar", {"cluster/a.py": "A = 1\n"})
    releases.install(here, release, name, "env1", {}, {"programs.json": "[]"})


def test_a_release_becomes_visible_whole_or_not_at_all(tmp_path: Path) -> None:
    here = session(tmp_path)
    installed(here, "aaa")
    folder = here.place.folder("aaa")
    assert (folder / "cluster/a.py").stat().st_mtime == 1_234_567_890
    assert (folder / "RELEASE").read_text() == "aaa\n"
    assert (folder / ".venv").readlink() == Path("../../envs/env1")
    assert list(here.place.incoming.iterdir()) == []
    bad = archive(here.place, "bad.tar", {"../../etc/passwd": "x"})
    with pytest.raises(Refused, match="no plain file inside it"):
        releases.install(here, "bbb", bad, "env1", {}, {})
    assert here.place.complete() == ["aaa"]
    assert sorted(p.name for p in here.place.releases.iterdir()) == ["aaa"]


def test_what_python_has_compiled_is_kept_for_files_that_are_the_same(tmp_path: Path) -> None:
    here = session(tmp_path)
    installed(here, "aaa")
    Linux(str(tmp_path)).switch(here.place.current, here.place.folder("aaa"))
    cache = here.place.folder("aaa") / "cluster" / "__pycache__"
    cache.mkdir()
    for name in ("a.cpython-311.pyc", "gone.cpython-311.pyc"):
        (cache / name).write_text("compiled")
    installed(here, "bbb")
    assert [p.name for p in here.place.folder("bbb").rglob("*.pyc")] == ["a.cpython-311.pyc"]
    name = archive(here.place, "ccc.tar", {"cluster/a.py": "A = 12\n"})
    releases.install(here, "ccc", name, "env1", {}, {})
    assert not list(here.place.folder("ccc").rglob("*.pyc"))


def test_a_release_that_is_there_only_has_its_hosts_files_renewed(tmp_path: Path) -> None:
    here = session(tmp_path)
    installed(here, "aaa")
    told = releases.install(here, "aaa", "gone.tar", "env1", {}, {"programs.json": "[1]", "new": "x"})
    assert told == {"unpacked": False, "rewritten": ["programs.json", "new"]}


def test_current_is_switched_in_one_step_and_leads_to_a_release(tmp_path: Path) -> None:
    here = session(tmp_path)
    for release in ("aaa", "bbb"):
        installed(here, release)
        here.machine.switch(here.place.current, here.place.folder(release))
        assert here.place.release() == release
    assert here.place.current.readlink() == Path("releases/bbb")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_five_releases_are_kept_and_never_lost_are_current_and_the_one_to_go_back_to(tmp_path: Path) -> None:
    here = session(tmp_path)
    names = [f"r{i}" for i in range(8)]
    for i, name in enumerate(names):
        installed(here, name)
        os.utime(here.place.folder(name) / "host", (i, i))
    here.machine.switch(here.place.current, here.place.folder("r0"))
    here.place.remember(good=["r1", "r0"])
    (here.place.envs / "unused").mkdir()
    assert releases.previous(here) == ["r1"]
    assert releases.prune(here) == ["r2"]
    assert sorted(here.place.complete()) == ["r0", "r1", "r3", "r4", "r5", "r6", "r7"]
    assert not (here.place.envs / "unused").exists()


def test_a_release_that_is_on_trial_is_thrown_away_but_no_other(tmp_path: Path) -> None:
    here = session(tmp_path)
    for name in ("aaa", "bbb", "ccc"):
        installed(here, name)
    here.machine.switch(here.place.current, here.place.folder("aaa"))
    here.place.remember(good=["bbb"])
    assert [releases.discard(here, name) for name in ("aaa", "bbb", "ccc")] == [False, False, True]
    assert sorted(here.place.complete()) == ["aaa", "bbb"]


def test_a_full_disk_is_told_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.agent.releases.room", lambda path: 70 << 20)
    with pytest.raises(Refused, match=r"70 MB are free at .*, 114 MB are needed"):
        releases.make_room(session(tmp_path), 50 << 20)


def test_files_are_replaced_whole_with_their_mode(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(path, "one\n", 0o600)
    write(path, "two\n", 0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two\n", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_the_agent_needs_the_standard_library_alone_and_leaves_no_file(tmp_path: Path) -> None:
    """As on a host: the start command in a shell, the archive and then requests on standard input."""
    archive_ = agent_archive()
    command = LinuxHost().start_agent(len(archive_), as_root=False).replace("/opt/fairlead", str(tmp_path / "none"))
    command = command.replace("-I -c", "-I -S -c")
    asked = [
        {"id": 1, "op": "hello", "args": {"fleet": "x", "who": "me"}, "limit_s": 5},
        {"id": 2, "op": "execute", "args": {"command": "echo out; exit 3"}, "limit_s": 9},
    ]
    lines = b"".join(json.dumps(request).encode() + b"\n" for request in asked)
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", command], input=archive_ + lines, capture_output=True, env=environment, cwd=tmp_path, timeout=20
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0]["ok"]["machine"]["os"] == "linux", done.stderr.decode()
    assert told[0]["ok"]["deployed"]["set_up"] is False
    assert told[1]["ok"] == {"status": 3, "output": "out\n"}
    assert list(tmp_path.iterdir()) == []
