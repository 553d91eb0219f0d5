"""The shell scripts: thin, and clear about what a machine lacks."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPTS = sorted(p for p in (PROJECT / "scripts" / "linux").iterdir() if p.is_file())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_each_is_valid_short_and_executable(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert len(script.read_text().splitlines()) <= 60
    if script.name != "venv.sh":  # sourced
        assert os.access(script, os.X_OK)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A project without .venv, of which only the scripts are there."""
    shutil.copytree(PROJECT / "scripts", tmp_path / "clone" / "scripts")
    (tmp_path / "clone" / "requirements.lock").write_text("")
    return tmp_path / "clone"


def fake_python(tmp_path: Path, body: str) -> str:
    path = tmp_path / "fake-python"
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def run(clone: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(clone / "scripts" / "linux" / script)]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, cwd="/")


def test_a_python_that_is_too_old_is_named_with_the_way_out(clone: Path, tmp_path: Path) -> None:
    old = fake_python(tmp_path, 'test "$1" = --version && echo "Python 3.9.2" && exit 0\nexit 1\n')
    done = run(clone, "start_all.sh", FAIRLEAD_PYTHON=old)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "is Python 3.9.2." in done.stderr
    assert "sudo apt install python3 python3-venv" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_missing_venv_module_is_named_with_the_apt_line(clone: Path, tmp_path: Path) -> None:
    # As on Debian without python3-venv: everything works but ensurepip.
    bare = fake_python(
        tmp_path, 'case "$*" in *ensurepip*) exit 1;; *version_info\\[:2\\]*) echo python3.12-venv;; esac\nexit 0\n'
    )
    done = run(clone, "start_all.sh", FAIRLEAD_PYTHON=bare)
    assert done.returncode == 1
    assert "has no venv module" in done.stderr
    assert "sudo apt install python3-venv    (or python3.12-venv)" in done.stderr


def test_packages_that_cannot_be_installed_leave_no_stamp(clone: Path) -> None:
    (clone / "requirements.lock").write_text("nothing-of-this-name-exists-here==1.0 --hash=sha256:" + "0" * 64 + "\n")
    done = run(clone, "start_all.sh", PIP_NO_INDEX="1")
    assert done.returncode == 1
    assert "could not be installed; pip's reason stands above" in done.stderr
    assert not (clone / ".venv" / ".requirements.lock").exists()


def test_a_second_time_nothing_is_installed_until_the_lock_changes(clone: Path) -> None:
    (clone / "scripts" / "linux" / "noop.sh").write_text(
        '#!/bin/bash\n. "$(dirname "$0")/venv.sh"; "$PYTHON" -c "print(1)"\n'
    )
    (clone / "scripts" / "linux" / "noop.sh").chmod(0o755)
    said = [run(clone, "noop.sh") for _ in range(2)]
    assert [done.stdout for done in said] == ["1\n", "1\n"]
    assert ["Setting up" in done.stderr for done in said] == [True, False]
    (clone / "requirements.lock").write_text("# changed\n")
    assert "Setting up" in run(clone, "noop.sh").stderr
    assert (clone / ".venv" / "bin" / "fairlead").resolve() == clone / "scripts" / "linux" / "fairlead"
    # A venv whose interpreter is gone (a new Python, a moved folder) is made anew.
    (clone / ".venv" / "bin" / "python").unlink()
    assert "Setting up" in run(clone, "noop.sh").stderr
    assert run(clone, "noop.sh").stderr == ""


@pytest.mark.parametrize(("script", "code"), [("stop_all.sh", 0), ("status.sh", 3), ("fairlead", 1)])
def test_before_the_first_start_the_others_install_nothing(clone: Path, script: str, code: int) -> None:
    done = run(clone, script)
    assert done.returncode == code
    assert "start_all.sh does both" in done.stderr
    assert not (clone / ".venv").exists()
