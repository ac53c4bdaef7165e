"""Whether the viewer's window has been closed."""

from __future__ import annotations

import weakref

import psygnal
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget


class WindowWatch(QObject):
    """Watches the window that a widget is in.

    napari tells its plugins nothing when it closes, and a widget inside gets no event of its own.

    Parameters
    ----------
    widget : QWidget
        Any widget of the window.
    """

    closed = psygnal.Signal()

    def __init__(self, widget: QWidget) -> None:
        super().__init__()
        window = widget
        while (parent := window.parentWidget()) is not None:
            window = parent
        window.installEventFilter(self)
        # napari frees its window, with all images, once nobody holds it.
        self._window = weakref.ref(window)
        self._asked = False

    @property
    def is_closed(self) -> bool:
        """Whether the window has been closed."""
        window = self._window()
        if window is None or not is_alive(window):
            return True
        return self._asked and not window.isVisible()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Note that the window is to be closed; whether it will be, its user may still be asked."""
        if event is not None and event.type() == QEvent.Type.Close:
            self._asked = True
            if event.spontaneous():
                QTimer.singleShot(0, self._tell)
            else:
                self.closed.emit()
        return False

    def _tell(self) -> None:
        if self.is_closed:
            self.closed.emit()


def is_alive(widget: QWidget) -> bool:
    """Whether Qt has not yet deleted it."""
    try:
        widget.objectName()
    except RuntimeError:
        return False
    return True
