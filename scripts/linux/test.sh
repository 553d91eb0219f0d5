#!/usr/bin/env bash
# Sets up what the tests need, then runs them all. Arguments go to pytest: test.sh -k health, test.sh -m 'not e2e'.
set -euo pipefail
LOCK=requirements-dev.lock
. "$(dirname "$(readlink -f "$0")")/venv.sh"
cd "$ROOT"

# Real programs that the tests drive: a browser, other servers to compare with, a load generator, what a virtual LAN is made of,
# and what Windows' programs run under.
declare -A PACKAGE_OF=([chromium]=chromium [nginx]=nginx-light [haproxy]=haproxy [wrk]=wrk [jq]=jq [openssl]=openssl
    [ip]=iproute2 [nft]=nftables [systemd-analyze]=systemd [sshd]=openssh-server [ssh]=openssh-client
    [wine]=wine [wineserver]=wine64 [x86_64-w64-mingw32-gcc]=gcc-mingw-w64-x86-64-win32)
# Of these, the services that must run neither now nor after the next boot: the tests use the programs, on ports of their own.
declare -A SERVICE_OF=([nginx-light]=nginx [haproxy]=haproxy [openssh-server]=ssh)

install() { # PACKAGE...
    local policy=/usr/sbin/policy-rc.d package
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy" # what a package asks before it starts its service: no
        chmod 755 "$policy"
    fi
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" || return
    for package in "$@"; do
        [ -z "${SERVICE_OF[$package]:-}" ] || ! command -v systemctl >/dev/null ||
            systemctl --quiet disable "${SERVICE_OF[$package]}"
    done
}

missing=()
for program in "${!PACKAGE_OF[@]}"; do
    PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$program" >/dev/null || missing+=("${PACKAGE_OF[$program]}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "The tests need these Debian packages:" "  sudo apt install ${missing[*]}"
    fi
    echo "Installing ${missing[*]}" >&2
    # A shell of its own: its EXIT gives back what it changed.
    (install "${missing[@]}") </dev/null >&2 || fail "apt could not install: ${missing[*]}"
fi

"$PYTHON" tests/browser/install_axe.py >&2
# All checks are run, whatever the first ones say; pytest is last, so that its summary is the last line.
failed=0
for check in "ruff check ." "ruff format --check ." mypy; do
    "$PYTHON" -m $check || { failed=1 && echo "FAILED: $check" >&2; }
done
# Most of the tests that start processes wait most of the time, so two files go on beside each other. One can starve the
# other past a time limit: at most three that failed are run once more, alone, and both runs shown (docs/decisions/0013).
FAILED=.pytest_cache/v/cache/lastfailed tests=0
rm -f "$FAILED"
"$PYTHON" -m pytest -n 2 --dist loadfile "$@" </dev/null || tests=$?
if [ "$tests" = 1 ] && "$PYTHON" -c "import json; exit(len(json.load(open('$FAILED'))) > 3)"; then
    echo "Trying what failed once more, alone" >&2 && tests=0
    "$PYTHON" -m pytest -n 0 --last-failed --last-failed-no-failures none "$@" </dev/null || tests=$?
fi
exit "$((tests ? tests : failed))"
