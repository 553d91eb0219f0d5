#!/usr/bin/env bash
# One node of config.json in the foreground: start_node.sh NAME [--lan] [--port N]. Ctrl-C stops it.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/venv.sh"
exec "$PYTHON" -m deploy.run_node "$@"
