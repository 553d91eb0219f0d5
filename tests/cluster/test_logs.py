"""Line logs: bounded, shared, and never in the way of serving."""

import fcntl
import json
import multiprocessing
import os
import random
import threading
from pathlib import Path

import pytest

from cluster.logs import FLUSH_BYTES, LineLog


def lines_of(folder: Path) -> list[str]:
    """Every line of every generation."""
    return [line for p in folder.glob("log*") if p.suffix != ".lock" for line in p.read_text().splitlines()]


def test_nothing_is_written_before_a_flush_and_everything_after(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "deep" / "log")
    log.write("one")
    log.write_json({"two": "zwei ü", "n": 2})
    assert not log.path.exists()
    log.flush()
    assert log.path.read_text(encoding="utf-8") == 'one\n{"two":"zwei ü","n":2}\n'
    log.flush()
    assert len(log.path.read_text().splitlines()) == 2


def test_a_full_buffer_flushes_itself_and_close_flushes_the_rest(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log")
    log.write("x" * (FLUSH_BYTES + 1))
    assert log.path.stat().st_size == FLUSH_BYTES + 2
    log.write("last")
    log.close()
    assert log.path.read_text().endswith("\nlast\n")
    log.close()


def test_a_log_takes_part_in_what_another_wrote_before(tmp_path: Path) -> None:
    for text in ("a", "b"):
        log = LineLog(tmp_path / "log")
        log.write(text)
        log.close()
    assert (tmp_path / "log").read_text() == "a\nb\n"


def test_it_keeps_so_many_generations_of_so_many_bytes(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log", max_bytes=1000, keep=2)
    for i in range(200):
        log.write(f"{i:04d}" + "." * 95)
        log.flush()
    log.close()
    files = sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock")
    assert files == ["log", "log.1", "log.2"]
    assert all((tmp_path / name).stat().st_size <= 1100 for name in files)
    kept = [int(line[:4]) for name in ("log.2", "log.1", "log") for line in (tmp_path / name).read_text().splitlines()]
    assert kept == list(range(kept[0], 200))  # the newest, none missing, in order
    assert len(kept) > 20


def test_a_file_that_was_moved_away_or_deleted_is_made_anew(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log")
    log.write("a")
    log.flush()
    (tmp_path / "log").rename(tmp_path / "moved")
    log.write("b")
    log.flush()
    (tmp_path / "log").unlink()
    log.write("c")
    log.close()
    assert ((tmp_path / "moved").read_text(), (tmp_path / "log").read_text()) == ("a\n", "c\n")


def _write_many(path: Path, writer: int, lines: int) -> None:
    log = LineLog(path, max_bytes=20_000, keep=400)
    sizes = random.Random(writer)
    for i in range(lines):
        log.write_json({"writer": writer, "i": i, "pad": "x" * sizes.randrange(200)})
        if sizes.random() < 0.2:
            log.flush()
    log.close()


def test_two_processes_that_rotate_one_file_lose_and_mix_no_line(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_many, args=(tmp_path / "log", writer, 3000)) for writer in range(2)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
    assert [process.exitcode for process in writers] == [0, 0]
    seen = sorted((record["writer"], record["i"]) for record in map(json.loads, lines_of(tmp_path)))
    assert seen == [(writer, i) for writer in range(2) for i in range(3000)]
    generations = [p for p in tmp_path.glob("log*") if p.suffix != ".lock"]
    assert len(generations) > 20
    # A flush is one write, of at most a buffer; a file may pass its bound by the flushes of both.
    assert max(p.stat().st_size for p in generations) < 20_000 + 2 * 20_000


def test_only_the_first_who_finds_a_file_full_rotates_it(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log", max_bytes=10)
    log.write("0123456789")
    log.flush()
    full = (tmp_path / "log").stat().st_ino
    log.write("new")
    log.flush()  # rotates
    log._rotate(full)  # another process, which had seen the same full file
    assert ((tmp_path / "log").read_text(), (tmp_path / "log.1").read_text()) == ("new\n", "0123456789\n")
    assert not (tmp_path / "log.2").exists()
    log.close()


def test_while_one_rotates_the_others_wait(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log", max_bytes=1)
    log.write("a")
    log.flush()
    with open(tmp_path / "log.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log.write("b")
        flushing = threading.Thread(target=log.flush)
        flushing.start()
        flushing.join(0.2)
        assert flushing.is_alive()
        assert not (tmp_path / "log.1").exists()
    flushing.join(10)
    assert (tmp_path / "log.1").read_text() == "a\n"
    log.close()


def test_a_full_disk_is_counted_and_never_raised() -> None:
    log = LineLog(Path("/dev/full"))
    log.write("a")
    log.write("b")
    log.flush()
    log.write("c")
    log.flush()
    assert log.dropped == 3
    log.close()


@pytest.mark.parametrize("room", [0, 1, 33, 35, 36])  # 35: exactly at the end of a line
def test_a_disk_that_fills_up_in_mid_line_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    log = LineLog(tmp_path / "log")
    log.write("first")
    log.flush()
    real_write = os.write

    def short(fd: int, data: bytes) -> int:
        return real_write(fd, data[:room] if len(data) > 1 else data)

    monkeypatch.setattr(os, "write", short)
    for i in range(10):
        log.write(f"line {i}")
    log.flush()
    monkeypatch.undo()
    log.write("after")
    log.close()
    kept = (tmp_path / "log").read_text().splitlines()
    assert kept[0] == "first"
    assert kept[-1] == "after"
    whole = [line for line in kept[1:-1] if line in {f"line {i}" for i in range(10)}]
    assert len(whole) + log.dropped == 10


def test_a_folder_that_cannot_be_made_does_not_stop_serving(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = LineLog(tmp_path / "file" / "log")
    log.write("lost")
    log.flush()
    assert log.dropped == 1


def test_what_is_not_utf_8_is_escaped_and_does_not_break_the_line(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log")
    log.write("bad \udcff byte")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"bad \\udcff byte\n"


def test_children_of_a_process_do_not_inherit_the_file(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log")
    log.write("a")
    log.flush()
    open_fds = {fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
    mine = [int(fd) for fd in open_fds if os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "log")]
    assert mine
    assert not any(os.get_inheritable(fd) for fd in mine)
    log.close()
