#!/usr/bin/env bash
# Stops everything that start_all.sh started.
set -euo pipefail
SET_UP=no NOT_SET_UP=0
. "$(dirname "$(readlink -f "$0")")/venv.sh"
exec "$PYTHON" -m deploy.local stop "$@"
