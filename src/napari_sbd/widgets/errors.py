"""The standard errors of a result's kernels, worked out in the background."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari.qt.threading import create_worker
from psygnal import Signal

from napari_sbd.api import Recovery
from napari_sbd.widgets.image_choice import sentence
from napari_sbd.widgets.live import LiveLayers
from napari_sbd.widgets.run import Failure
from napari_sbd.widgets.window_watch import WindowWatch


class ErrorsRun:
    """One bootstrap in the background; at its end the errors are layers.

    Emits `finished` with itself and a text: how large the errors are, or why there are none.

    Parameters
    ----------
    recovery : Recovery
    layers : LiveLayers
        Those of the recovery.
    watch : WindowWatch
        Tells whether the viewer's window is closed.
    """

    finished = Signal(object, str)

    def __init__(self, recovery: Recovery, layers: LiveLayers, watch: WindowWatch) -> None:
        self.recovery = recovery
        self.layers = layers
        self._watch = watch

    def start(self) -> None:
        """Begin; returns at once."""
        _running.add(self)
        create_worker(_errors, self.recovery, _connect={"returned": self._end})

    def _end(self, outcome: Any) -> None:
        _running.discard(self)
        if self._watch.is_closed:
            return
        if isinstance(outcome, Failure):
            self.finished.emit(self, sentence(outcome.error))
            return
        self.layers.show_errors(self.recovery, outcome)
        self.finished.emit(self, _described(self.recovery, outcome))


_running: set[ErrorsRun] = set()


def _errors(recovery: Recovery) -> Generator[None, None, Any]:
    """Errors, or why there are none; a generator, because napari keeps the arguments of plain functions."""
    yield
    try:
        return recovery.stability()
    except Exception as error:
        return Failure(error)


def _described(recovery: Recovery, errors: Any) -> str:
    tops = np.abs(recovery.shapes).max((1, 2, 3))
    typical = np.sqrt(np.mean(np.square(errors), axis=(1, 2, 3))) / np.where(tops > 0, tops, 1)
    each = ", ".join(f"{100 * share:.2g} %" for share in typical)
    return f"Standard error of a pixel: {each} of the kernel's largest"
