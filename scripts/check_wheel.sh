#!/usr/bin/env bash
# Usage: check_wheel.sh PYTHON
# Builds sdist and wheel into dist/, installs the wheel into a clean environment and lets napari check its manifest.
set -euo pipefail

main() {
    local python=$PWD/$1 room=$PWD/build/wheel said
    echo "==> Building sdist and wheel"
    rm -rf dist
    if ! said=$("$python" -m build --outdir dist . 2>&1); then
        echo "$said" >&2
        exit 1
    fi
    echo "==> Installing the wheel into a clean environment"
    "$python" -m venv --clear "$room"
    "$room/bin/python" -m pip install --quiet --disable-pip-version-check dist/*.whl 'napari[pyqt6]'
    echo "==> Checking the manifest and every name it points at"
    # Away from the repository, so that nothing is found there by accident.
    cd "$room"
    bin/python -c 'import napari_sbd, sys; sys.exit(not napari_sbd.__file__.startswith(sys.prefix))'
    test -f "$(bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/napari_sbd/py.typed"
    QT_API=pyqt6 bin/python -m npe2 validate --imports napari-sbd
    cd - >/dev/null
    ls -l dist
}

main "$@"
