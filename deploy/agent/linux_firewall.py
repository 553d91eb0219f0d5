"""Exactly one firewall manager governs a Linux host; rules go to that one, tagged as ours, and nothing else is touched.

ufw when it is active, else firewalld when it runs, else a table of our own in nftables. Ours in nftables accepts who
may and turns away everybody else on the fleet's ports, and on no other port: SSH cannot be locked out by it. ufw and
firewalld deny by themselves what no rule allows; there we only allow.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from deploy.agent.place import Refused

FOLDER = Path("/etc/fairlead")
"""Root's own: what root loads at boot must not be writable by the fleet's account."""
TAG = "fairlead"
UNIT = Path("/etc/systemd/system/fairlead-firewall.service")


def managers() -> list[str]:
    """Programs that are installed, without asking whether they govern (that needs root)."""
    return [name for name in ("ufw", "firewall-cmd", "nft") if _find(name)]


def manager() -> str:
    """Who governs: ufw, firewalld, nftables or none."""
    if _find("ufw") and "Status: active" in _run("ufw", "status", check=False):
        return "ufw"
    if _find("firewall-cmd") and _run("firewall-cmd", "--state", check=False).strip() == "running":
        return "firewalld"
    return "nftables" if _find("nft") else "none"


def state() -> dict[str, Any]:
    """{"manager", "rules": what is in force of ours, as text lines, "ssh": whether SSH is let in by it}."""
    which = manager()
    rules: list[str] = []
    if which == "nftables":
        rules = _run("nft", "list", "table", "inet", TAG, check=False).splitlines()
    elif which == "ufw":
        rules = [line for line in _run("ufw", "status").splitlines() if f"# {TAG}" in line]
    elif which == "firewalld":
        rules = [line for line in _run("firewall-cmd", "--list-rich-rules").splitlines() if f'prefix="{TAG}' in line]
    return {"manager": which, "rules": rules}


def apply(wanted: dict[str, Any]) -> list[str]:
    """Bring rules in line with what `deploy.firewall.wanted` has rendered for every manager."""
    which = manager()
    if which == "none":
        raise Refused("setup", "no firewall here (no ufw, firewalld or nft): install nftables, or go without")
    said = {"nftables": _nftables, "ufw": _ufw, "firewalld": _firewalld}[which](wanted)
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    (FOLDER / "manager").write_text(which + "\n")
    return [f"{which}: {line}" for line in said]


def remove() -> list[str]:
    """Take ours away, from whichever manager has them."""
    done = []
    if _find("nft") and _run("nft", "list", "table", "inet", TAG, check=False):
        _run("nft", "delete", "table", "inet", TAG)
        done.append("nftables: table removed")
    if manager() == "ufw":
        done += [f"ufw: {line}" for line in _ufw({"ufw": []})]
    if manager() == "firewalld":
        done += [f"firewalld: {line}" for line in _firewalld({"firewalld": []})]
    for path in (UNIT, UNIT.parent / "multi-user.target.wants" / UNIT.name):
        path.unlink(missing_ok=True)
    if FOLDER.is_dir():
        shutil.rmtree(FOLDER)
        done.append(f"folder {FOLDER}")
    return done


def _nftables(wanted: dict[str, Any]) -> list[str]:
    """The whole table is replaced in one transaction, only when it is another."""
    path = FOLDER / "firewall.nft"
    in_force = bool(_run("nft", "list", "table", "inet", TAG, check=False))
    if in_force and path.exists() and path.read_text() == wanted["nftables"]:
        return []
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    fresh = path.with_name(".firewall.nft")
    fresh.write_text(wanted["nftables"])
    _run("nft", "--check", "--file", str(fresh))
    _run("nft", "--file", str(fresh))
    fresh.replace(path)
    if UNIT.parent.is_dir():
        UNIT.write_text(wanted["unit"])
        wants = UNIT.parent / "multi-user.target.wants" / UNIT.name
        wants.parent.mkdir(exist_ok=True)
        if not wants.is_symlink():
            wants.symlink_to(UNIT)
        if Path("/run/systemd/system").is_dir():
            _run("systemctl", "daemon-reload", check=False)
    return [f"table inet {TAG} {'replaced' if in_force else 'made'}"]


def _ufw(wanted: dict[str, Any]) -> list[str]:
    """Rules are told apart by their comment, which holds the whole rule."""
    rules = {" ".join(words): words for words in wanted["ufw"]}
    present = set()
    for line in _run("ufw", "show", "added").splitlines():
        if f"comment '{TAG}" in line:
            present.add(line.removeprefix("ufw ").split(" comment ")[0].replace("allow ", "", 1))
    done = []
    for text, words in rules.items():
        if text not in present:
            _run("ufw", "allow", *words, "comment", TAG)
            done.append(f"allow {text}")
    for text in present - set(rules):
        _run("ufw", "delete", "allow", *text.split())
        done.append(f"no longer allow {text}")
    return done


def _firewalld(wanted: dict[str, Any]) -> list[str]:
    """Rich rules, in force now and kept; told apart by their log prefix."""
    present = {line for line in _run("firewall-cmd", "--list-rich-rules").splitlines() if f'prefix="{TAG}' in line}
    done = []
    for verb, rules in (("add", set(wanted["firewalld"]) - present), ("remove", present - set(wanted["firewalld"]))):
        for rule in sorted(rules):
            _run("firewall-cmd", f"--{verb}-rich-rule={rule}")
            _run("firewall-cmd", "--permanent", f"--{verb}-rich-rule={rule}")
            done.append(f"{verb} {json.dumps(rule)}")
    return done


def _find(name: str) -> str | None:
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin")


def _run(name: str, *arguments: str, check: bool = True) -> str:
    """Standard output. LC_ALL=C: these tools translate what they say."""
    path = _find(name)
    if path is None:
        raise Refused("setup", f"{name} is not installed on this host")
    done = subprocess.run(
        [path, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )  # fmt: skip
    if check and done.returncode:
        raise Refused("failed", f"{name} {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout if done.returncode == 0 or check else ""
