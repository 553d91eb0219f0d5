"""What goes wrong with a virtual LAN, said to people."""

from cluster.errors import FairleadError


class LanError(FairleadError):
    """A LAN, a host or a fault could not be had; the message says what to do."""
