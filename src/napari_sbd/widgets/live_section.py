"""The section *Live*: drag a parameter of a result, and kernel, map, defects and figures follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_sbd.api import Recovery
from napari_sbd.batch.desk import Desk, FarDesk, Wish
from napari_sbd.core.part import Box, middle_box
from napari_sbd.core.threshold import Threshold
from napari_sbd.widgets.fields import hint_label
from napari_sbd.widgets.image_choice import sentence
from napari_sbd.widgets.live_fields import LiveFields
from napari_sbd.widgets.live_solver import LiveSolver
from napari_sbd.widgets.live_view import LiveView
from napari_sbd.widgets.run import Failure
from napari_sbd.widgets.window_watch import WindowWatch

SIDE = 256  # px of the part of a large image that is worked with
READABLE = 0.2  # s, between two changes of the figures in the dock
REST = 200  # ms without a change, after which the result is made as in the console
LIVE_HELP = (
    "Drag λ or another parameter: kernel, activations, defects and figures are solved again at once, from "
    "where this result ended. The search for the kernel is not repeated."
)
APPLY_HELP = "Solve the whole image with these parameters"
REVERT_HELP = "Back to the result as it was when Live was switched on"
NOTHING = "There are no defects to set out from: recover with other settings first."
GONE = "The layers of this result were removed. Recover again, or open the saved result."


class LiveSection(QWidget):
    """A switch, and below it, while it is on, the parameters that can be dragged.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    chosen : callable
        Gives the result that is chosen at present, or None.

    Attributes
    ----------
    shown : psygnal.Signal
        Emitted with the Recovery whose layers have been drawn, and whether it is the result from now on.
    rested : psygnal.Signal
        Emitted once nothing is under way any more.
    """

    shown = Signal(object, bool)
    rested = Signal()

    def __init__(self, viewer: Any, chosen: Callable[[], Recovery | None]) -> None:
        super().__init__()
        self.viewer, self._chosen = viewer, chosen
        self.recovery: Recovery | None = None  # from which all sets out
        self.solver: LiveSolver | None = None
        self.view: LiveView | None = None
        self.box: Box | None = None  # of the part that is worked with
        self._whole: LiveSolver | None = None  # that solves the whole of a large image
        self._threshold, self._wished = Threshold(), Wish({}, Threshold())
        self._result: Recovery | None = None  # what is shown once Live is left
        self._drawn: Recovery | None = None
        self._leaving, self._told_at = False, 0.0
        self.fields, self.told = LiveFields(), hint_label()
        self._add_buttons()
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST)
        self._timer.timeout.connect(self._make_exact)
        self.fields.changed.connect(self._follow)
        viewer.layers.selection.events.active.connect(self.refresh)
        self._show_state()
        self.refresh()

    @property
    def chosen(self) -> Recovery | None:
        """What Live would act on."""
        return self._chosen()

    @property
    def is_on(self) -> bool:
        """Whether parameters can be dragged."""
        return self.view is not None and self._whole is None

    def refresh(self, event: Any = None) -> None:
        """Offer Live if there is a result."""
        self.setVisible(self.view is not None or self.chosen is not None)

    def change_threshold(self, threshold: Threshold) -> None:
        """Go on with another threshold of the defects."""
        self._threshold = threshold
        self._follow()

    def apply(self) -> None:
        """Leave Live with what was chosen; of a large image, the whole is solved with it."""
        if not self.is_on or self.solver is None:
            return
        self._timer.stop()
        if self.box is None and not self.fields.options:
            self.revert()
        elif self.box is None:
            self._leaving = True
            self.solver.ask(self._wish(exact=True))
        elif not self.fields.options:
            self.stop()
        else:
            self._solve_whole()

    def revert(self) -> None:
        """Leave Live with the result as it was when Live was switched on, or what was under way undone."""
        begin, view = self.recovery, self.view
        if begin is None or view is None:
            return
        self._result = begin
        self.stop()

    def stop(self) -> None:
        """Leave Live at once; what is shown is the last result."""
        view, result = self.view, self._result
        if view is None:
            return
        self._timer.stop()
        for solver in (self.solver, self._whole):
            if solver is not None:
                solver.end()
        view.end()
        if result is not None and self._drawn is not result:
            view.drawn.disconnect(self._go_on)
            view.show(result, complete=True)
        self.solver = self._whole = self.view = None
        self._leaving = False
        self._show_state()
        if result is not None:
            self.shown.emit(result, True)
        self.rested.emit()

    def _toggle(self, on: bool) -> None:
        if on and self.view is None:
            self._begin()
        elif not on:
            self.apply()

    def _begin(self) -> None:
        recovery = self.chosen
        self._tell("")
        problem = self._problem(recovery)
        if recovery is None or problem:
            self._show_state()
            self._tell(problem)
            return
        shape = recovery.observation.shape
        self.recovery = self._result = self._drawn = recovery
        self._threshold = recovery.threshold
        self.box = middle_box(shape, SIDE, self._centre(recovery)) if max(shape) > SIDE else None
        self.view = LiveView(self.viewer, recovery, self.box, self)
        self.view.drawn.connect(self._go_on)
        self._watch = WindowWatch(self)
        self._watch.closed.connect(self._close)
        self.solver = LiveSolver(FarDesk(recovery, self.box), self._watch)
        self.solver.solved.connect(self._take)
        self.fields.show_recovery(recovery, min(min(shape), SIDE))
        self._show_state()
        # A first result of what it is already: afterwards everything is at hand.
        self.solver.ask(self._wish(exact=True))

    def _problem(self, recovery: Recovery | None) -> str:
        """Why Live cannot be switched on."""
        if recovery is None or recovery.nothing or not recovery.extended_activations.any():
            return NOTHING
        return GONE if LiveView(self.viewer, recovery, None, self).is_gone else ""

    def _centre(self, recovery: Recovery) -> tuple[float, float]:
        """The pixel (row, col) in the middle of what the viewer shows."""
        world = np.array([*self.viewer.scene.camera.center[-2:], 1.0])
        row, col, _ = np.linalg.inv(recovery.source.matrix) @ world
        return float(row), float(col)

    def _follow(self) -> None:
        """Solve again with what the fields say, quickly now and exactly once the hand rests."""
        if not self.is_on or self.solver is None or self.view is None:
            return
        if self.view.is_gone:
            self._result = None
            self.stop()
            self._tell(GONE)
            return
        self.solver.ask(self._wish())
        self._timer.start()

    def _make_exact(self) -> None:
        if self.is_on and self.solver is not None:
            self.solver.ask(self._wish(exact=True))

    def _wish(self, exact: bool = False) -> Wish:
        due = time.perf_counter() - self._told_at >= READABLE
        return Wish(self.fields.options, self._threshold, exact, figures=due)

    def _take(self, wish: Wish, outcome: Recovery | Failure) -> None:
        if self.view is None:
            return
        self._wished = wish
        if isinstance(outcome, Failure):
            self._under_way().go_on()
            self._tell(sentence(outcome.error))
            if self._whole is not None or self._leaving:
                self.stop()
            elif not self._under_way().is_busy:
                self.rested.emit()
            return
        if self._whole is not None:
            self.view.end()
        self._drawn = outcome
        self.view.show(outcome, complete=wish.exact)

    def _go_on(self) -> None:
        """What was solved has been drawn."""
        view, drawn, final = self.view, self._drawn, self._wished.exact
        if view is None or drawn is None:
            return
        whole = self.box is None or self._whole is not None
        if final and whole:
            self._result = drawn
        if final or self._wished.figures:
            self._told_at = 0.0 if final else time.perf_counter()
            self.shown.emit(drawn, final and whole)
        self._under_way().go_on()
        if self._whole is not None or (final and self._leaving):
            self.stop()
        elif final and not self._under_way().is_busy:
            self.rested.emit()

    def _under_way(self) -> LiveSolver:
        solver = self._whole or self.solver
        assert solver is not None
        return solver

    def _solve_whole(self) -> None:
        """Solve the whole of a large image with what was chosen on its part."""
        assert self.recovery is not None
        assert self.solver is not None
        self.solver.end()
        self._whole = LiveSolver(Desk(self.recovery), self._watch)
        self._whole.solved.connect(self._take)
        self._whole.ask(self._wish(exact=True))
        self._show_state()

    def _close(self) -> None:
        """The window closes: nothing is drawn any more."""
        self._timer.stop()
        if self.view is not None:
            self.view.stop()

    def _show_state(self) -> None:
        busy = self._whole is not None
        self.switch.blockSignals(True)
        self.switch.setChecked(self.view is not None)
        self.switch.blockSignals(False)
        self.switch.setEnabled(not busy)
        self.body.setVisible(self.view is not None)
        self.fields.setEnabled(not busy)
        self.apply_button.setEnabled(not busy)
        self.revert_button.setText("Cancel" if busy else "Revert")
        if busy:
            self._tell("Solving the whole image…")
        elif self.box is not None and self.view is not None:
            self._tell(_described(self.box))
        elif self.view is not None or self.told.text() != GONE:
            self._tell("")

    def _tell(self, text: str) -> None:
        self.told.setText(text)
        self.told.setVisible(bool(text))

    def _add_buttons(self) -> None:
        self.switch = QPushButton("Live")
        self.switch.setCheckable(True)
        self.switch.setToolTip(f"<p>{LIVE_HELP}</p>")
        self.switch.toggled.connect(self._toggle)
        self.apply_button, self.revert_button = QPushButton("Apply"), QPushButton("Revert")
        self.apply_button.setToolTip(f"<p>{APPLY_HELP}</p>")
        self.revert_button.setToolTip(f"<p>{REVERT_HELP}</p>")
        self.apply_button.clicked.connect(lambda: self.apply())
        self.revert_button.clicked.connect(lambda: self.revert())

    def _lay_out(self) -> None:
        self.body = QWidget()
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.apply_button)
        buttons.addWidget(self.revert_button)
        inner = QVBoxLayout(self.body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(6)
        inner.addWidget(self.fields)
        inner.addLayout(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in (self.switch, self.body, self.told):
            layout.addWidget(widget)


def _described(box: Box) -> str:
    """Which part of the image Live works with.

    Examples
    --------
    >>> _described((slice(0, 256), slice(128, 384)))
    'Live on 256 × 256 px in view, rows 0 to 255, columns 128 to 383. Apply solves the whole image.'
    """
    rows, cols = box
    size = f"{rows.stop - rows.start} × {cols.stop - cols.start}"
    ends = f"rows {rows.start} to {rows.stop - 1}, columns {cols.start} to {cols.stop - 1}"
    return f"Live on {size} px in view, {ends}. Apply solves the whole image."
