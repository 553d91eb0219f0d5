#!/usr/bin/env bash
# Says what runs and what answers; --json for programs. Exit code 0: all is well, 3: not running or not well.
set -euo pipefail
SET_UP=no
. "$(dirname "$(readlink -f "$0")")/venv.sh"
exec "$PYTHON" -m deploy.local status "$@"
