#!/usr/bin/env bash
# Usage: find_python.sh
# Prints a Python that is new enough: the one named by PYTHON, else the first found.
set -euo pipefail

for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$python"
        exit
    fi
    [ -z "${PYTHON:-}" ] || break
done
found=$("${PYTHON:-python3}" --version 2>&1) || found="none"
echo "napari-sbd needs Python 3.11 or newer (found: $found). Install one, or name it: make PYTHON=/path/to/python" >&2
exit 1
