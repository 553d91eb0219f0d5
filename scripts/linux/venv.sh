# Sourced by the other scripts: finds the project, makes .venv from a lock file when that is needed, sets ROOT and PYTHON.
# LOCK names the lock file (requirements.lock); SET_UP=no only looks. FAIRLEAD_PYTHON chooses the interpreter.

ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
PYTHON=$ROOT/.venv/bin/python
export PYTHONPATH=$ROOT

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

find_python() {
    local candidate
    for candidate in ${FAIRLEAD_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Fairlead needs Python 3.11 or newer; ${FAIRLEAD_PYTHON:-python3} is $(${FAIRLEAD_PYTHON:-python3} --version 2>&1)." \
        "Debian 12, Ubuntu 24.04 and later have it:  sudo apt install python3 python3-venv"
}

make_venv() {
    local base
    base=$(find_python)
    "$base" -c 'import ensurepip, venv' 2>/dev/null || fail \
        "$base has no venv module. On Debian and Ubuntu:" \
        "  sudo apt install python3-venv    (or $("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'))"
    rm -rf "$ROOT/.venv"
    "$base" -m venv "$ROOT/.venv" || fail "$base could not make $ROOT/.venv"
}

# What .venv is made for: the lock file's content and Python's version, to which a .venv is bound.
wanted() {
    "$PYTHON" -c 'import sys, hashlib; print(sys.version.split()[0], hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$ROOT/$LOCK" 2>/dev/null
}
is_set_up() { [ -x "$PYTHON" ] && [ "$(cat "$ROOT/.venv/.$LOCK" 2>/dev/null)" = "$(wanted || echo unknown)" ]; }

set_up() {
    local said
    "$PYTHON" -c 'import pip' 2>/dev/null || make_venv
    echo "Setting up .venv from $LOCK (once; half a minute or so)" >&2
    said=$("$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$ROOT/$LOCK" 2>&1) ||
        fail "$said" "The packages of $LOCK could not be installed; pip's reason stands above. Try again when it is gone."
    ln -sf ../../scripts/linux/fairlead "$ROOT/.venv/bin/fairlead"
    wanted >"$ROOT/.venv/.$LOCK" # last: a set-up that was interrupted is done again
}

LOCK=${LOCK:-requirements.lock}
if [ "${SET_UP:-yes}" = yes ] && ! is_set_up; then
    mkdir -p -m 700 "$ROOT/.run" 2>/dev/null && [ -w "$ROOT/.run" ] || fail \
        "$(id -un) cannot set up $ROOT, which belongs to $(stat -c %U "$ROOT"). Be that user, or use a clone of your own."
    # A lock, for two starts at once; only while this block runs, so that no program inherits it.
    { flock 9; is_set_up || set_up; } 9>"$ROOT/.run/setup.lock"
elif [ ! -x "$PYTHON" ]; then
    echo "Nothing is set up here yet, so nothing runs: scripts/linux/start_all.sh does both" >&2
    exit "${NOT_SET_UP:-3}"
fi
