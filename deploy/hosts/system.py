"""A host's operating system, seen from the operator. `linux.Linux` is one, `windows.Windows` the other."""

from typing import ClassVar, Protocol

NO_PYTHON = 97
"""Exit status of the start command when the host has no Python that is new enough."""


class HostSystem(Protocol):
    """What the operator's side must know of a host's operating system. The other half is `agent.machine.Machine`."""

    root: ClassVar[str]
    """Folder of the fleet."""
    account: ClassVar[str]
    """Account that everything runs as and that deploys log in as; made by `fab setup`. "": `user` of config.json."""

    def start_agent(self, size: int, as_root: bool) -> str:
        """The command line that reads `size` bytes of agent archive from standard input and runs it."""

    def preamble(self, size: int) -> bytes:
        """What that command wants to read before the archive."""

    def why_it_ended(self, status: int) -> str:
        """What that command's exit status means and what to do; "" when it says nothing in particular."""

    def upload_path(self, path: str) -> str:
        """A path as the host's SFTP server wants it."""

    def python_in(self, folder: str) -> str:
        """The interpreter of the environment of a release whose folder is given."""
