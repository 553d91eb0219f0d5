"""Runs a module of ours without what Windows lacks: `python tests/windows/blocked.py balancer.serve traffic`.

What others import is their business: gevent looks for fcntl itself, and does without it on Windows.
"""

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).resolve().parents[2]
NOT_ON_WINDOWS = ("fcntl", "pwd", "grp", "resource", "termios", "gunicorn", "supervisor")


class Blocker(MetaPathFinder):
    """Refuses the imports that only work elsewhere, when a file of this project asks for them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in NOT_ON_WINDOWS and _is_ours(_asking_file()):
            raise ImportError(f"{fullname} does not exist on Windows")
        return None


def _asking_file() -> str:
    frame = sys._getframe(2)
    while "importlib" in frame.f_code.co_filename and frame.f_back:
        frame = frame.f_back
    return frame.f_code.co_filename


def _is_ours(file: str) -> bool:
    path = Path(file)
    return PROJECT in path.parents and "site-packages" not in path.parts and path != Path(__file__).resolve()


if __name__ == "__main__":
    for name in NOT_ON_WINDOWS:  # what was imported already would not be asked for again
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Blocker())
    sys.path[0] = str(PROJECT)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
