"""The firewall of this machine: `python -m deploy.firewall_here`. scripts/linux/setup_firewall.sh calls it, as root.

The same rules as `fab firewall` makes for hosts: who is on the LAN may use balancer and dashboard, nodes and control
are for those who need them. Exit codes: 0 done, 1 it could not be done, 2 usage or config.json.
"""

import argparse
import os
import sys
from pathlib import Path

from cluster import paths
from cluster.errors import FairleadError, StartError
from cluster.load import load
from cluster.programs import local_hosts
from deploy import firewall
from deploy.addresses import lan_address
from deploy.agent import linux_firewall, linux_network
from deploy.agent.place import Refused
from deploy.hosts.linux import Linux


def main(argv: list[str] | None = None) -> int:
    """Apply, show or remove; the exit code."""
    parser = argparse.ArgumentParser(prog="setup_firewall.sh", description="Open this machine's firewall to the LAN.")
    parser.add_argument("--config", type=Path, default=paths.config_file(), metavar="FILE", help="default: config.json")
    parser.add_argument("--lan", metavar="NETWORK", help="who may connect (default: the network this machine is on)")
    parser.add_argument("--show", action="store_true", help="only show the rules")
    parser.add_argument("--remove", action="store_true", help="take our rules away, and only ours")
    args = parser.parse_args(argv)
    try:
        done = linux_firewall.remove() if args.remove and not args.show else _apply(args.config, args.lan, args.show)
    except (FairleadError, Refused) as error:
        print(error, file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print("\n".join(done) if done else "nothing to change")
    return 0


def _apply(config: Path, lan: str | None, show: bool) -> list[str]:
    fleet = load(config)
    address = lan_address() or ""
    network = lan or linux_network.network_of(address)
    why = firewall.refused_network(network)
    if why:
        raise StartError(f"the LAN cannot be told ({why}); give it: --lan 192.168.1.0/24")
    addresses = firewall.lan_addresses(fleet, dict.fromkeys(local_hosts(fleet), address))
    found = [rule for host in local_hosts(fleet) for rule in firewall.rules(fleet, host, network, "", addresses)]
    rendered = firewall.wanted(found, Linux())
    if show:
        return [rendered["nftables"].rstrip()]
    if os.geteuid() != 0:
        raise StartError("rules need root: sudo scripts/linux/setup_firewall.sh (--show needs nothing)")
    return linux_firewall.apply(rendered)


if __name__ == "__main__":
    sys.exit(main())
