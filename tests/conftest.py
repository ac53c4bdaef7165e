"""How `pytest -n 2` shares out the tests: file by file, and all windows to one process."""

import subprocess
import sys

import pytest

from napari_sbd.core import device

WINDOWS = ("tests/widgets/", "tests/test_channels.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """On one display the windows of two processes would take the keyboard from each other."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "windows" if nodeid.startswith(WINDOWS) else nodeid.partition("::")[0]

    return ByFile(config, log)


@pytest.fixture
def printed_by():
    """What a few lines of Python print in a process of their own."""

    def run(code):
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return found.stdout.strip()

    return run


@pytest.fixture
def drop():
    """Let files fall onto a window, as from the desktop."""
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    def fall(viewer, *paths):
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        event = QDropEvent(QPointF(50, 50), Qt.DropAction.CopyAction, data, buttons, keys)
        # A proxy shows plugins the public part of the viewer only.
        getattr(viewer, "__wrapped__", viewer).window._qt_viewer.dropEvent(event)

    return fall


@pytest.fixture
def without_cupy(monkeypatch):
    """A computer on which CuPy is not installed."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    device._card.cache_clear()
    yield
    device._card.cache_clear()
