#!/usr/bin/env bash
# Usage: demo.sh PYTHON
# Shows the demo where there is a display, and takes its picture where there is none.
set -euo pipefail

if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || [ "$(uname)" = Darwin ]; then
    exec "$1" scripts/demo.py
fi
echo "==> There is no display here: a picture is taken instead"
exec scripts/virtual_display.sh "$1" scripts/demo.py --picture demo.png
