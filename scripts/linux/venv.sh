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
stamp_of() {
    "$PYTHON" -c 'import sys, hashlib; print(sys.version.split()[0], hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}

is_set_up() {
    local wanted
    wanted=$(stamp_of "$ROOT/$1" 2>/dev/null || true)
    [ -n "$wanted" ] && [ "$(cat "$ROOT/.venv/.$1" 2>/dev/null)" = "$wanted" ]
}

set_up() {
    local lock=$1 stamp=$ROOT/.venv/.$1 said
    if is_set_up "$lock"; then return; fi
    "$PYTHON" -c 'import pip' 2>/dev/null || make_venv
    echo "Setting up .venv from $lock (once; half a minute or so)" >&2
    said=$("$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$ROOT/$lock" 2>&1) ||
        fail "$said" "The packages of $lock could not be installed; pip's reason stands above. Try again when it is gone."
    ln -sf ../../scripts/linux/fairlead "$ROOT/.venv/bin/fairlead"
    stamp_of "$ROOT/$lock" >"$stamp" # last: a set-up that was interrupted is done again
}

if [ "${SET_UP:-yes}" = yes ]; then
    # A lock, for two starts at once; only while this block runs, so that no program inherits it.
    mkdir -p -m 700 "$ROOT/.run" 2>/dev/null || true
    if [ -w "$ROOT/.run" ]; then
        { flock 9; set_up "${LOCK:-requirements.lock}"; } 9>"$ROOT/.run/setup.lock"
    elif ! is_set_up "${LOCK:-requirements.lock}"; then
        fail "$ROOT cannot be set up by $(id -un): it belongs to $(stat -c %U "$ROOT"). Be that user, or use a clone of your own."
    fi
elif [ ! -x "$PYTHON" ]; then
    echo "Nothing is set up here yet, so nothing runs: scripts/linux/start_all.sh does both" >&2
    exit "${NOT_SET_UP:-3}"
fi
