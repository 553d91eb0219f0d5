"""Probes below all firewalls: ARP requests (RFC 826) from one host to another, answered by the other's kernel.

They pass the switch and the cables as every frame does, and no host's firewall, frozen process or full connection table
stands in their way. So what they meet is the network's doing alone. They carry no number: cables keep the order.
"""

import select
import socket
import struct
import time
from typing import NamedTuple

from lab.lan.host import Host
from lab.lan.namespaces import socket_in

ETH_P_ARP = 0x0806
REQUEST, REPLY = 1, 2
ARP = struct.Struct("!HHBBH6s4s6s4s")
LEAST_BYTES, MOST_BYTES = 60, 1514


class Burst(NamedTuple):
    """What came of probes sent one after the other."""

    sent: int
    answered: int
    bytes_s: float
    """Bytes of the probes answered after the first, over the time from first to last answer; 0 for less than two."""


def round_trips(source: Host, target: Host, *, count: int, wait_s: float) -> list[float]:
    """Seconds that each of `count` probes took, one at a time. One that is not answered within `wait_s` is left out."""
    found = []
    with _wire(source) as wire:
        for _ in range(count):
            begun = time.monotonic()
            wire.send(_request(source, target, LEAST_BYTES))
            while (left_s := begun + wait_s - time.monotonic()) > 0:
                if select.select([wire], [], [], left_s)[0] and _answers(wire.recv(2048), target):
                    found.append(time.monotonic() - begun)
                    break
    return found


def burst(source: Host, target: Host, *, count: int, every_s: float, wait_s: float, size: int = LEAST_BYTES) -> Burst:
    """Send `count` probes of `size` bytes, one every `every_s`; listen until `wait_s` passed without an answer."""
    request = _request(source, target, size)
    sent, answered_at = 0, list[float]()
    with _wire(source) as wire:
        begun = time.monotonic()
        while True:
            now = time.monotonic()
            if sent < count and now >= begun + sent * every_s:
                wire.send(request)
                sent += 1
            until = begun + sent * every_s if sent < count else max([now, *answered_at[-1:]]) + wait_s
            if select.select([wire], [], [], max(0.0, until - now))[0]:
                if _answers(wire.recv(2048), target):
                    answered_at.append(time.monotonic())
            elif sent == count:
                break
            if len(answered_at) == count:
                break
    took_s = answered_at[-1] - answered_at[0] if len(answered_at) > 1 else 0.0
    return Burst(sent, len(answered_at), (len(answered_at) - 1) * size / took_s if took_s else 0.0)


def _wire(source: Host) -> socket.socket:
    wire = socket_in(source.pid, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    wire.bind(("eth0", ETH_P_ARP))
    return wire


def _request(source: Host, target: Host, size: int) -> bytes:
    own, to = (bytes.fromhex(host.mac.replace(":", "")) for host in (source, target))
    sender, asked = (socket.inet_aton(host.address) for host in (source, target))
    body = ARP.pack(1, 0x0800, 6, 4, REQUEST, own, sender, bytes(6), asked)
    return (to + own + struct.pack("!H", ETH_P_ARP) + body).ljust(size, b"\0")


def _answers(frame: bytes, target: Host) -> bool:
    if len(frame) < 14 + ARP.size:
        return False
    _, _, _, _, operation, _, sender, _, _ = ARP.unpack_from(frame, 14)
    return bool(operation == REPLY and sender == socket.inet_aton(target.address))
