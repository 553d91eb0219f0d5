"""Windows, seen from the operator: an OpenSSH server whose shell is cmd.exe, so as little as possible is said to it."""

from typing import ClassVar

from deploy.hosts.system import NO_PYTHON

NO_SUCH_COMMAND = 9009
"""Exit status of cmd.exe."""

# cmd.exe cannot be trusted with quotes, so the line that it sees is fixed; this follows on standard input, and then the
# agent's archive, which is imported from memory: nothing is left on the host's disk.
_LOADER = """
import importlib.abc, importlib.util, io, sys, zipfile
if sys.version_info < (3, 11):
    sys.exit({no_python})
archive = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read({size})))
names = set(archive.namelist())
class FromArchive(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        stem = name.replace(".", "/")
        for file in (stem + "/__init__.py", stem + ".py"):
            if file in names:
                package = file.endswith("/__init__.py")
                return importlib.util.spec_from_loader(name, self, origin=file, is_package=package)
        return None
    def is_package(self, name):
        return name.replace(".", "/") + "/__init__.py" in names
    def get_source(self, name):
        return archive.read(importlib.util.find_spec(name).origin).decode()
    def exec_module(self, module):
        exec(compile(archive.read(module.__spec__.origin), module.__spec__.origin, "exec"), module.__dict__)
sys.meta_path.insert(0, FromArchive())
from deploy.agent.__main__ import main
main({root!r})
"""


class Windows:
    """See system.HostSystem."""

    root: ClassVar[str] = "C:/fairlead"
    account: ClassVar[str] = ""
    """None is made: an account of Windows needs a password. Deploys log in as `user` of config.json."""

    def start_agent(self, size: int, as_root: bool) -> str:
        """See HostSystem. The same for an administrator: Windows decides at the login who is one."""
        return f'python -I -X utf8 -c "import sys;exec(sys.stdin.buffer.read({len(self.preamble(size))}))"'

    def preamble(self, size: int) -> bytes:
        """See HostSystem."""
        return _LOADER.format(no_python=NO_PYTHON, size=size, root=self.root).encode()

    def why_it_ended(self, status: int) -> str:
        """See HostSystem."""
        hint = "it has no Python 3.11 or newer as `python`; python.org's, for all users and added to PATH, is one"
        return hint if status in (NO_PYTHON, NO_SUCH_COMMAND) else ""

    def upload_path(self, path: str) -> str:
        """See HostSystem. SFTP has no drives: C:/x is /C:/x there."""
        return f"/{path}"

    def python_in(self, folder: str) -> str:
        """See HostSystem. Packages lie in a folder of their own, for the host's own interpreter, which it fills in."""
        return "{python}"
