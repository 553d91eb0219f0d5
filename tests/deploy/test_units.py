"""systemd's units: what systemd itself says of them, and what must stand in them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy import systemd
from deploy.render import STOP_WAIT_S


@pytest.mark.parametrize("name", [systemd.UNIT, systemd.FIREWALL_UNIT])
def test_systemd_finds_no_fault(tmp_path: Path, name: str) -> None:
    verify = shutil.which("systemd-analyze")
    assert verify, "systemd must be installed"
    (tmp_path / name).write_text(systemd.unit(name, "/tmp", "daemon", 40).replace("/usr/sbin/nft", "/bin/true"))
    done = subprocess.run([verify, "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True)
    # It ends with 0 for a setting that it does not know, too: what it says counts.
    ours = [line for line in done.stderr.splitlines() if name in line]
    assert (done.returncode, ours) == (0, [])


def test_supervisord_is_kept_alive_and_has_the_time_to_stop_its_programs() -> None:
    text = systemd.unit(systemd.UNIT, "/opt/fairlead", "fairlead", max(STOP_WAIT_S.values()))
    lines = text.splitlines()
    assert {"Restart=always", "KillMode=mixed", "User=fairlead", "StartLimitIntervalSec=0"} <= set(lines)
    stop_s = int(next(line for line in lines if line.startswith("TimeoutStopSec=")).partition("=")[2])
    assert stop_s > max(STOP_WAIT_S.values())
