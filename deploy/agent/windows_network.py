"""Addresses of a Windows host, and its memory, asked of the system itself: its programs translate what they print."""

import ctypes
import ipaddress
import os
import socket
import struct
import sys
from typing import Any


def facts() -> dict[str, Any]:
    """As linux_network.facts."""
    client, _, here, port = ([*os.environ.get("SSH_CONNECTION", "").split(), "", "", "", ""])[:4]
    return {"address": here, "operator": client, "lan": network_of(here), "ssh_port": int(port or 22)}


def network_of(address: str) -> str:
    """The network of the interface that has this IPv4 address; "" when none has it."""
    if sys.platform == "win32":
        size = ctypes.c_ulong(0)
        ask = ctypes.windll.iphlpapi.GetIpAddrTable
        ask(None, ctypes.byref(size), 0)
        table = ctypes.create_string_buffer(size.value)
        if ask(table, ctypes.byref(size), 0) == 0:
            (rows,) = struct.unpack_from("<I", table)
            for row in range(rows):  # MIB_IPADDRROW: 24 bytes; address, index, mask first
                own, _, mask = struct.unpack_from("<4sI4s", table, 4 + 24 * row)
                if socket.inet_ntoa(own) == address:
                    return str(ipaddress.ip_network(f"{address}/{socket.inet_ntoa(mask)}", strict=False))
    return ""


def memory_bytes() -> int:
    """Of the machine; 0 when it cannot be told."""
    if sys.platform == "win32":
        status = ctypes.create_string_buffer(64)  # MEMORYSTATUSEX
        struct.pack_into("<I", status, 0, 64)
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(status):
            return int(struct.unpack_from("<Q", status, 8)[0])
    return 0
