#!/usr/bin/env bash
# Usage: system_packages.sh [window]
# Makes sure that the Debian packages are there that .venv needs and, if asked, those of a window on a virtual display.
set -euo pipefail

WINDOW=(xvfb xauth fonts-dejavu-core libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libfontconfig1 libdbus-1-3
    libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
    libxcb-shape0 libxcb-xinerama0 libxcb-xkb1)

main() {
    local python wanted=() missing=()
    if ! command -v apt-get >/dev/null; then
        not_debian "$@"
        return
    fi
    [ "$*" != window ] || wanted+=("${WINDOW[@]}")
    python=$(python_package)
    [ -z "$python" ] || wanted+=("$python")
    mapfile -t missing < <(missing_of "${wanted[@]}")
    [ ${#missing[@]} = 0 ] || install "${missing[@]}"
}

not_debian() {
    if [ "$*" != window ] || [ "$(uname)" = Darwin ] || command -v xvfb-run >/dev/null; then
        return
    fi
    echo "This is not Debian: please install Xvfb (xvfb-run, xauth), OpenGL (libEGL, libGL) and the XCB libraries of Qt." >&2
    exit 1
}

# Debian keeps the part of Python that makes environments in a package of its own.
python_package() {
    local python
    [ ! -x .venv/bin/python ] || return 0
    python=$(scripts/find_python.sh) || return
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        "$python" -c 'import sys; sys.base_prefix == "/usr" and print("python%d.%d-venv" % sys.version_info[:2])'
}

# A package counts as there when an installed one provides its name: libglib2.0-0 is libglib2.0-0t64 in newer releases.
missing_of() {
    [ $# != 0 ] || return 0
    local there
    there=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' |
        sed -n 's/^installed //p' | tr ',' '\n' | awk 'NF {print $1}')
    printf '%s\n' "$@" | grep -vxF "$there" || true
}

install() {
    local become=() command log
    command="apt-get update && apt-get install -y --no-install-recommends $*"
    if [ "$(id -u)" != 0 ]; then
        become=(sudo -n)
        if ! sudo -n true 2>/dev/null; then
            echo "Debian packages are missing, and only an administrator may install them. Run: sudo sh -c '$command'" >&2
            exit 1
        fi
    fi
    echo "==> Installing Debian packages: $*"
    log=$(mktemp)
    if ! "${become[@]}" env DEBIAN_FRONTEND=noninteractive sh -c "$command" </dev/null >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        echo "Debian packages could not be installed (all that was said: $log). Run as administrator: $command" >&2
        exit 1
    fi
    rm -f "$log"
}

main "$@"
