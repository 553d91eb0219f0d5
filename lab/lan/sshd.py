"""Keys and settings: what the hosts' sshds and the operator's ssh need, so that no key is ever taken unseen."""

import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.lan.host import OPERATOR, Host
from lab.lan.namespaces import SYSTEM_PATH

# UsePAM no: PAM wants a login manager and an audit socket. MaxStartups: a deploy tool opens many sessions at once.
SSHD_CONFIG = """\
Port {port}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/lan_authorized_keys .ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
MaxSessions 100
SetEnv PATH={path} LANG=C.UTF-8
Subsystem sftp internal-sftp
PidFile /run/sshd.pid
"""
UNIT = """\
[Unit]
Description=SSH server of the virtual LAN
After=network.target
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -f /etc/ssh/sshd_lan_config
KillMode=process
Restart=always
"""
SSH_CONFIG = """\
Host {name} {address}
    HostName {address}
    Port {port}
    User {user}
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    ConnectTimeout 5
"""


def write_files(state: Path, hosts: Sequence[Host], operator: Host) -> None:
    """What a LAN has in its folder before it is up: the user's key, each host's key and settings, ssh_config."""
    keygen = [_make_key(state / "id_ed25519", "operator")]
    names = "127.0.0.1 localhost\n" + "".join(f"{host.address} {host.name}\n" for host in [*hosts, operator])
    for host in [*hosts, operator]:
        etc = host.files / "etc"
        (etc / "ssh").mkdir(parents=True)
        (etc / "hosts").write_text(names)
        if host.name == OPERATOR:
            continue
        (etc / "hostname").write_text(host.name + "\n")
        (etc / "resolv.conf").write_text("# no uplink\n")
        (etc / "machine-id").write_text(secrets.token_hex(16) + "\n")
        config = SSHD_CONFIG.format(port=host.port, path=SYSTEM_PATH)
        if host.shell:
            config += f"ForceCommand {host.shell}\n"
        (etc / "ssh" / "sshd_lan_config").write_text(config)
        if host.init == "systemd":
            units = etc / "systemd" / "system"
            (units / "multi-user.target.wants").mkdir(parents=True)
            (units / "lan-sshd.service").write_text(UNIT)
            (units / "multi-user.target.wants" / "lan-sshd.service").symlink_to("../lan-sshd.service")
        keygen.append(_make_key(etc / "ssh" / "ssh_host_ed25519_key", host.name))
    for process in keygen:
        if process.wait(timeout=30) != 0:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    own = (state / "id_ed25519.pub").read_text()
    known, config = "", ""
    for host in hosts:
        ssh = host.files / "etc" / "ssh"
        (ssh / "lan_authorized_keys").write_text(own)
        known += f"{host.name},{host.address} {(ssh / 'ssh_host_ed25519_key.pub').read_text()}"
        config += SSH_CONFIG.format(
            name=host.name,
            address=host.address,
            port=host.port,
            user=host.user,
            key=host.key,
            known_hosts=host.known_hosts,
        )
    (state / "known_hosts").write_text(known)
    (state / "ssh_config").write_text(config)


def _make_key(path: Path, comment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], stdin=subprocess.DEVNULL
    )
