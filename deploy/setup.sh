#!/usr/bin/env bash
# Makes .venv with everything that requirements.lock pins, and Caravan itself in it. Called by `make`.
# A second call returns at once; a call after an interrupted one starts afresh; two at once take turns.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly VENV="$PWD/.venv" OLDEST_PYTHON="3.11" NEEDED_KIB=$((4 * 1024 * 1024)) NEEDED_WITH_CUDA_KIB=$((8 * 1024 * 1024))
readonly STAMP="$VENV/.stamp" UNFINISHED="$VENV/.unfinished" LOG="$VENV/setup.log"
readonly INPUTS=(requirements.lock requirements-nodeps.lock pyproject.toml deploy/setup.sh)

fail() {
    printf '%s\n' "caravan set-up: $1" "${@:2}" >&2
    exit 1
}

wanted_stamp() {
    echo "$PWD"
    cksum "${INPUTS[@]}"
}

up_to_date() {
    [[ -x "$VENV/bin/python" && -f "$STAMP" ]] && diff -q <(wanted_stamp) "$STAMP" >/dev/null
}

wait_for_turn() {
    command -v flock >/dev/null || return 0
    exec 9<.
    flock --nonblock 9 && return 0
    echo "Waiting for another set-up of this folder to end ..."
    flock 9
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (${OLDEST_PYTHON/./, }))" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python $OLDEST_PYTHON or newer is needed and ${PYTHON:-python3} is not one. Install it:" \
        "  Debian, Ubuntu: apt-get install python3 python3-venv" \
        "  Fedora:         dnf install python3" \
        "  macOS:          brew install python@3.11" \
        "or say where it is: make PYTHON=/path/to/python3 ..."
}

make_venv() {
    local python free_kib
    python=$(find_python)
    "$python" -c "import ensurepip, venv" 2>/dev/null ||
        fail "$python cannot make virtual environments. Install its venv module:" \
            "  Debian, Ubuntu: apt-get install python3-venv"
    free_kib=$(df -Pk . | awk 'NR == 2 { print $4 }')
    ((free_kib >= NEEDED_KIB)) ||
        fail "the disk of $PWD has $((free_kib / 1024)) MiB free; the packages need $((NEEDED_KIB / 1024)) MiB."
    ((free_kib >= NEEDED_WITH_CUDA_KIB)) || [[ "$(uname)" != Linux ]] ||
        echo "Little disk is free for PyTorch with what GPUs need: see the README for an index without it."
    rm -rf "$VENV"
    mkdir "$VENV"
    touch "$UNFINISHED"
    "$python" -m venv "$VENV"
}

# Shows pip's progress on one line of a terminal, or every 25 packages in a log.
show_progress() {
    local total terminal=0
    total=$(grep -c '==' requirements.lock)
    [[ -t 1 ]] && terminal=1
    awk -v total="$total" -v terminal="$terminal" '
        /^Collecting / { show(sprintf("  %3d of %d or more  %s", ++n, total, $2), n % 25 == 0) }
        /^Installing collected packages/ && n > 25 { show("  unpacking, about a minute ...", 1) }
        END { if (terminal) printf "\r\033[K" }
        function show(text, milestone) {
            if (terminal) printf "\r\033[K%s", text
            else if (milestone) print text
            fflush()
        }'
}

pip_install() {
    "$VENV/bin/python" -m pip --disable-pip-version-check install --no-input "$@" 2>&1 | tee -a "$LOG" | show_progress ||
        fail "the packages could not be installed. The end of $LOG:" "$(tail -n 15 "$LOG")" \
            "Check the network and the disk, then run make again; pip keeps what it has downloaded."
}

main() {
    up_to_date && return
    wait_for_turn
    up_to_date && return
    if [[ -e "$VENV" && ! -w "$VENV" ]]; then
        fail "$VENV cannot be written by $(id -un). Run make as the user who made it, or remove the folder."
    fi
    if [[ -f "$UNFINISHED" ]]; then
        echo "An earlier set-up did not finish: starting afresh."
        make_venv
    elif [[ -f "$STAMP" && "$(head -n 1 "$STAMP")" != "$PWD" ]]; then
        echo "This folder was moved, and a virtual environment cannot be: starting afresh."
        make_venv
    elif ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        make_venv
    fi
    touch "$UNFINISHED"
    rm -f "$STAMP"
    : >"$LOG"
    echo "Bringing .venv to what requirements.lock says (the first time: 2.5 to 6 GB, some minutes) ..."
    pip_install --requirement requirements.lock
    pip_install --no-deps --requirement requirements-nodeps.lock
    # The build tool is in the lock already, so that nothing unpinned is fetched.
    pip_install --no-deps --no-build-isolation --editable .
    wanted_stamp >"$STAMP"
    rm -f "$UNFINISHED"
    echo "Set up in $SECONDS s."
}

main
