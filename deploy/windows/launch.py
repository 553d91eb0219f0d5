"""Starts the keeper of the current release; `fab setup` puts this beside `current`, and the boot task runs it."""

import os
import runpy
import sys
from pathlib import Path

root = Path(__file__).resolve().parent
if (root / "current").is_file():
    folder = root / "releases" / (root / "current").read_text().strip()
    os.environ["FAIRLEAD_STATE"] = str(root / "shared" / "run")
    os.chdir(root / "shared")
    sys.path[:0] = [str(folder), str((folder / (folder / ".venv").read_text()).resolve())]
    log = root / "shared" / "logs" / "keeper.log"
    if log.exists() and log.stat().st_size > 5 << 20:  # looked at each minute, because the boot task tries so often
        log.write_bytes(b"")
    sys.stdout = sys.stderr = log.open("a", buffering=1, encoding="utf-8")
    sys.argv = ["deploy.keeper.deployed", str(root)]
    runpy.run_module("deploy.keeper.deployed", run_name="__main__")
