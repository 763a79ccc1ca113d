#!/usr/bin/env bash
# Resolves pyproject.toml's ranges anew, in an environment of its own, and writes what came out to requirements.lock.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"${PYTHON:-.venv/bin/python}" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check ".[dev]"
{
    echo "# Every package of the environment, exactly; made by \`make lock\` from the ranges in pyproject.toml."
    # A local label such as +cpu says where a wheel came from; the version alone is found everywhere.
    # CUDA's libraries are torch's own business: its build for this platform pins those that it wants, if any.
    "$scratch/venv/bin/python" -m pip freeze --exclude caravan |
        sed 's/+[a-z0-9.]*$//' | grep -Ev '^(nvidia-|cuda-|triton==)' | LC_ALL=C sort --ignore-case
} >"$scratch/requirements.lock"
mv "$scratch/requirements.lock" requirements.lock
