#!/usr/bin/env bash
# Usage: virtual_display.sh COMMAND...
# Runs a command on a virtual display, with OpenGL in software, so that it draws the same everywhere.
set -euo pipefail

export NAPARI_STRICT_QT=1 QT_API=pyqt6
if ! command -v xvfb-run >/dev/null; then
    exec "$@"
fi
# A Wayland session would win over the virtual display.
unset WAYLAND_DISPLAY
export QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1 QT_ENABLE_HIGHDPI_SCALING=0
exec xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
