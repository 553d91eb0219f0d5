#!/usr/bin/env bash
# Lets the LAN reach balancer and dashboard of this machine (start_all.sh --lan). --show, --remove, --lan NETWORK. As root.
set -euo pipefail
SET_UP=no NOT_SET_UP=1
. "$(dirname "$(readlink -f "$0")")/venv.sh"
exec "$PYTHON" -m deploy.firewall_here "$@"
