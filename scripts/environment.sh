#!/usr/bin/env bash
# Usage: environment.sh GROUP
# Sets up .venv, and in it this project (editable) with a dependency group of pyproject.toml.
set -euo pipefail

main() {
    local group=$1
    .venv/bin/python -m pip --version >/dev/null 2>&1 || create
    echo "==> Installing napari-sbd and what the group '$group' names into .venv (the first time takes minutes)"
    # Dependency groups are new in pip 25.1.
    pip 'pip>=25.1'
    pip --editable . --group "$group"
}

create() {
    local python
    scripts/system_packages.sh
    python=$(scripts/find_python.sh)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python lacks the modules venv and ensurepip. Name another Python: make PYTHON=/path/to/python" >&2
        exit 1
    fi
    echo "==> Setting up .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

pip() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location "$@"
}

main "$@"
