"""Addresses of a Linux host: which one the operator reached, and the network around it."""

import contextlib
import fcntl
import ipaddress
import os
import socket
import struct
from typing import Any

_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B  # linux/sockios.h


def facts() -> dict[str, Any]:
    """address (this host's, as the operator reached it), operator (its address as seen from here), lan (network)."""
    client, _, here, port = ([*os.environ.get("SSH_CONNECTION", "").split(), "", "", "", ""])[:4]
    return {"address": here, "operator": client, "lan": network_of(here), "ssh_port": int(port or 22)}


def network_of(address: str) -> str:
    """The network of the interface that has this IPv4 address, such as 192.168.1.0/24; "" when none has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):
                own = socket.inet_ntoa(fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)[20:24])
                mask = socket.inet_ntoa(fcntl.ioctl(probe.fileno(), _SIOCGIFNETMASK, request)[20:24])
                if own == address:
                    return str(ipaddress.ip_network(f"{own}/{mask}", strict=False))
    return ""
