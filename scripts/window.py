"""What a script needs to use napari's window as a user would: find, click, wait, take a picture."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-sbd"
WIDGET = "Sparse blind deconvolution"
SIZE = (1280, 800)
TIME_LIMIT = 120.0


def open_viewer(sample: str = "isolated") -> tuple[napari.Viewer, QWidget, Any]:
    """Open napari with a sample and the dock widget; return the viewer, the dock and the widget."""
    import napari

    # A virtual display has no size in mm; that vispy says so helps nobody.
    logging.getLogger("vispy").addFilter(lambda record: record.levelno > logging.WARNING)
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open_sample(PLUGIN, sample)
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    settle()
    return viewer, dock, widget


def recover(dock: QWidget, widget: Any, seconds: float = TIME_LIMIT) -> Any:
    """Press Recover and wait; return the Recovery."""
    recovery = wait_for(widget.finished, lambda: click(dock, "Recover"), seconds)
    if recovery is None:
        raise SystemExit("The recovery ended with an error; napari's message above says which.")
    settle()
    return recovery


def click(parent: QWidget, text: str) -> None:
    """Press the visible button with this text, with the mouse."""
    buttons = [b for b in parent.findChildren(QPushButton) if b.isVisible() and b.text() == text]
    if len(buttons) != 1:
        raise SystemExit(f"Expected one visible button '{text}', found {len(buttons)}.")
    if not buttons[0].isEnabled():
        raise SystemExit(f"The button '{text}' cannot be pressed: it is disabled.")
    # PyQt6's stubs leave out that it is a static method.
    QTest.mouseClick(buttons[0], Qt.MouseButton.LeftButton)  # type: ignore[call-overload]


def wait_for(signal: Any, start: Callable[[], None], seconds: float = TIME_LIMIT) -> Any:
    """Call `start`, then keep the window alive until `signal` is emitted; return what it carried."""
    loop = QEventLoop()
    received: list[Any] = []

    def receive(value: Any = None) -> None:
        received.append(value)
        loop.quit()

    signal.connect(receive)
    try:
        start()
        # The signal may have come during `start`; a loop entered after that would never be left.
        if not received:
            QTimer.singleShot(round(1000 * seconds), loop.quit)
            loop.exec()
    finally:
        signal.disconnect(receive)
    if not received:
        raise SystemExit(f"Nothing came back within {seconds:g} s.")
    return received[0]


def settle(rounds: int = 20) -> None:
    """Let the window draw what is pending."""
    for _ in range(rounds):
        QApplication.processEvents()


def save_picture(viewer: napari.Viewer, path: str | Path) -> Path:
    """Save a picture of the whole window; return its absolute path."""
    target = Path(path).resolve()
    settle()
    viewer.screenshot(str(target), canvas_only=False, flash=False)
    return target
