"""A virtual LAN on one Linux machine: hosts with a network, a file system and an sshd of their own.

    from lab.lan.lan import Lan

    with Lan.up(names=["balancer", "node1"], state=tmp_path / "lan") as lan:
        host = lan.host("node1")                      # .name .address .user .port .key .known_hosts
        host.run(["cat", "/etc/hostname"]).stdout     # past sshd: works when its network is cut
        lan.operator.run(["ssh", "-F", str(lan.ssh_config), "node1", "id"])   # from a sixth host, over the LAN

Read `lan.py` first (up, load, down), then `keeper.sh` and `boot.sh`, which are what a LAN and a host are made of.
`docs/virtual-lan.md` is the page for people; `python -m lab.lan --help` the command.
"""
