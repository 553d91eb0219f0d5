"""Slow cables: put in between a host and the switch while a fault wants one, taken out after it.

The host's own end stays as it is (its eth0, its hardware address, its connections). At the switch the port leaves lan0
for a small bridge of its own; a TAP of that bridge and one of lan0 are the two ends that `cable.py` carries frames
between. (TAPs, not a packet socket on the port: the kernel finishes checksums and splits large frames before a TAP.)
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from lab.lan.fault import Fault
from lab.lan.host import Host
from lab.lan.lan import Lan
from lab.lan.namespaces import entering, started
from lab.lan.starting import Starting
from lab.lan.switch import far_end

PROGRAM = Path(__file__).resolve().with_name("cable.py")


def settings(faults: list[Fault], host: str) -> dict[str, dict[str, float]] | None:
    """How long and how wide this host's cable is, each way; None for one that is not to be noticed. Pure."""
    ways: dict[str, dict[str, float]] = {"in": {}, "out": {}}
    for fault in faults:
        values = {name: getattr(fault, name) for name in ("delay_ms", "jitter_ms", "kbytes_s")}
        said = {name: value for name, value in values.items() if value is not None}
        if fault.host == host and said:
            for way in ("in", "out") if fault.direction == "both" else (fault.direction,):
                ways[way] |= said
    return ways if ways["in"] or ways["out"] else None


def arrange(lan: Lan) -> None:
    """Give every host that is on the cable that the LAN's faults say."""
    links = lan.at_switch(["ip", "-brief", "link", "show"]).split()
    for host in [*lan.hosts, lan.operator]:
        if host.is_on:
            _arrange(lan, host, settings(lan.faults, host.name), links)


def _arrange(lan: Lan, host: Host, wanted: dict[str, dict[str, float]] | None, links: list[str]) -> None:
    note = lan.state / "cables" / f"{host.name}.json"
    there = json.loads(note.read_text()) if note.exists() else None
    # A host that was off and on again hangs directly on the switch.
    if there and there["settings"] == wanted and there["host_started"] == host.started and _alive(there):
        return
    if there:
        _end(there)
        note.unlink()
    near, far = host.port_name.replace("port", "near"), far_end(host.port_name)
    own = host.port_name.replace("port", "bridge")
    if wanted is None:
        if own in links:
            straight = [
                f"link set {host.port_name} master lan0",
                f"link del {near}",
                f"link del {far}",
                f"link del {own}",
            ]
            lan.at_switch(["ip", "-batch", "-"], input="\n".join(straight) + "\n")
        return
    if own not in links:
        parts = [f"link add {own} type bridge", f"tuntap add {near} mode tap", f"tuntap add {far} mode tap"]
        parts += [f"link set {near} master {own} up", f"link set {far} master lan0 up", f"link set {own} up"]
        lan.at_switch(["ip", "-batch", "-"], input="\n".join(parts) + "\n")
    argv = ["setsid", "--fork", sys.executable, "-I", str(PROGRAM), near, far, json.dumps(wanted)]
    inside = entering(lan.keeper_pid, ["net", "pid"], argv)
    cable = Starting(inside, f"the cable of {host.name}", lan.state / "logs" / f"{host.name}.cable.log")
    pid = int(cable.line(time.monotonic() + 10))
    cable.leave()
    note.write_text(json.dumps({"pid": pid, "started": started(pid), "settings": wanted, "host_started": host.started}))
    lan.at_switch(["ip", "link", "set", host.port_name, "master", own])


def _alive(cable: dict[str, int]) -> bool:
    return started(cable["pid"]) == cable["started"]


def _end(cable: dict[str, int]) -> None:
    if not _alive(cable):
        return
    handle = os.pidfd_open(cable["pid"])
    with os.fdopen(handle):
        if _alive(cable):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], 5)
