#!/usr/bin/env bash
# Node l3 of config.json in the foreground. Options: --lan, --host ADDRESS, --port N (or the variable PORT). Ctrl-C stops it.
exec "$(dirname "$(readlink -f "$0")")/start_node.sh" l3 "$@"
