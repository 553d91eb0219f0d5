#!/usr/bin/env bash
# Sets everything up and starts the whole fleet of config.json that belongs on this machine. --help lists the options.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/venv.sh"
exec "$PYTHON" -m deploy.local start "$@"
