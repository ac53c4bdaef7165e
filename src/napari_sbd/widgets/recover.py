"""The dock widget *Sparse blind deconvolution*."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import notification_manager
from psygnal import Signal
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_sbd.api import Recovery
from napari_sbd.core.observation import check_window
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.recover import State
from napari_sbd.core.start import given_starts
from napari_sbd.core.threshold import Threshold
from napari_sbd.layers import start_of
from napari_sbd.prepare.recipe import Recipe
from napari_sbd.prepare.stopping import Stopped
from napari_sbd.widgets.errors import ErrorsRun
from napari_sbd.widgets.image_choice import ImageChoice, sentence
from napari_sbd.widgets.layer_choice import MaskChoice, StartChoice
from napari_sbd.widgets.live import LiveLayers
from napari_sbd.widgets.live_section import LiveSection
from napari_sbd.widgets.own_files import claim_own_files
from napari_sbd.widgets.prepare import PrepareSection
from napari_sbd.widgets.preview import KernelPreview
from napari_sbd.widgets.progress_view import ProgressView
from napari_sbd.widgets.result_view import ResultView
from napari_sbd.widgets.run import Failure, Run, RunState
from napari_sbd.widgets.save_bar import SaveBar
from napari_sbd.widgets.script import python_lines
from napari_sbd.widgets.settings_form import SettingsForm
from napari_sbd.widgets.style import style_sheet
from napari_sbd.widgets.window_watch import WindowWatch

if TYPE_CHECKING:
    import napari.viewer

BUTTON_TEXT = {RunState.IDLE: "Recover", RunState.RUNNING: "Cancel", RunState.CANCELLING: "Cancelling…"}
BUTTON_HELP = {
    RunState.IDLE: "Recover the kernel and the positions of all defects",
    RunState.RUNNING: "End now, with the best that was found until then",
    RunState.CANCELLING: "Ends within one step",
}
MARGIN, SPACING = 10, 8
WIDTH, HEIGHT = 376, 420


class RecoverWidget(QWidget):
    """Choose an image, press Recover, watch, and get the result as layers.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer

    Attributes
    ----------
    finished : psygnal.Signal
        Emitted at the end of a run, with its Recovery, or None if it failed.
    state_changed : psygnal.Signal
        Emitted with the new RunState.
    """

    finished = Signal(object)
    state_changed = Signal(RunState)

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.recovery: Recovery | None = None
        self._run: Run | None = None
        self._layers: LiveLayers | None = None  # of `recovery`
        self._errors: ErrorsRun | None = None
        # In a turn of the event loop of its own, so that none takes long.
        self._previewed: Recovery | None = None
        self._preview_timer = QTimer(self)
        self._preview_timer.setSingleShot(True)
        self._preview_timer.timeout.connect(lambda: self._preview(self._previewed))
        # What the running recovery was asked for, and what gave `recovery`.
        self._asked: tuple[Any, ...] = ()
        self._answered: tuple[Any, ...] = ()
        self.mask_choice, self.start_choice = MaskChoice(napari_viewer), StartChoice(napari_viewer)
        self.image = ImageChoice(napari_viewer, self.mask_choice)
        self.prepare = PrepareSection(napari_viewer, self.image)
        self.form = SettingsForm(self._rows_above())
        self.progress, self.preview, self.result = ProgressView(), KernelPreview(), ResultView()
        self.save_bar = SaveBar(napari_viewer)
        self.live = LiveSection(napari_viewer, lambda: self.save_bar.recovery)
        self._add_buttons()
        self._lay_out()
        self.image.changed.connect(self._refresh)
        self.start_choice.changed.connect(self._refresh)
        self.form.changed.connect(self._refresh)
        self.result.threshold_changed.connect(self._change_threshold)
        self.result.errors_wanted.connect(self._add_errors)
        self.live.shown.connect(self._show_live)
        napari_viewer.dims.events.point.connect(self._follow_slice)
        self.prepare.changed.connect(self._refresh)
        napari_viewer.events.theme.connect(self._follow_theme)
        self._follow_theme()
        self._refresh()
        claim_own_files()

    @property
    def state(self) -> RunState:
        """Whether a recovery is running."""
        return RunState.IDLE if self._run is None else self._run.state

    def reset_choices(self, event: Any = None) -> None:
        """Follow the viewer's layers."""
        for choice in (self.image.combo, self.mask_choice, self.start_choice):
            choice.reset_choices()

    def recover(self) -> None:
        """Start a recovery with what the form says."""
        self.image.read()
        self._refresh()
        if self.image.observation is None or self.image.source is None or not self.button.isEnabled():
            return
        self.live.stop()
        self._asked = self._request()
        watch, recipe = WindowWatch(self), self.prepare.recipe
        options = self.form.options() | {"start": self._given_start()}
        run = Run(self.viewer, self.image.observation, self.image.source, options, watch, recipe)
        run.state_changed.connect(self._show_state)
        run.progressed.connect(self._show_progress)
        run.finished.connect(self._end)
        self._run = run
        # Should the widget be collected, the run still ends; more than the event must not be kept for that.
        weakref.finalize(self, run.stop.set)
        self.progress.begin("Preparing the image…" if recipe.taken else "Looking at the image…")
        self.preview.clear()
        self.result.hide()
        run.start()

    def cancel(self) -> None:
        """End a recovery with the best that was found until then."""
        if self._run is not None:
            self._run.cancel()

    def _press(self) -> None:
        if self._run is None:
            self.recover()
        else:
            self.cancel()

    def restore_defaults(self) -> None:
        """Set all settings to their defaults."""
        self.form.restore_defaults()
        self.prepare.show_recipe(Recipe())
        self.mask_choice.restore_default()
        self.start_choice.restore_default()

    def copy_as_python(self) -> None:
        """Copy the lines that repeat this recovery in the console."""
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(self.python_lines())

    def python_lines(self) -> str:
        """Lines that give what Recover gives."""
        if self.image.layer is None:
            return ""
        changed = Parameters(**self.form.options()).changed()
        named = self.mask_choice.named() | self.start_choice.named()
        others = {argument: layer.name for argument, layer in named.items()}
        return python_lines(self.image.layer.name, changed, self.image.at, others, self.prepare.recipe)

    def sizeHint(self) -> QSize:
        """Width at which nothing is cut off."""
        return QSize(WIDTH, HEIGHT)

    def event(self, event: QEvent | None) -> bool:
        """Notice that the dock was closed: napari takes the widget out of it and sends nothing else."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.cancel()
            self.live.stop()
        return bool(super().event(event))

    def _rows_above(self) -> list[tuple[QLabel | None, QWidget]]:
        rows: list[tuple[QLabel | None, QWidget]] = []
        for name, choice in (
            ("Image", self.image),
            ("Mask", self.mask_choice),
            ("Start from", self.start_choice),
        ):
            label = QLabel(name)
            label.setToolTip(f"<p>{choice.combo.tooltip}</p>")
            rows.append((label, choice.native))
        rows.insert(1, (None, self.image.hint))
        rows.insert(1, (self.image.slices_label, self.image.slices))
        self.prepare.setObjectName("section")
        rows.insert(-1, (None, self.prepare))
        return rows

    def _add_buttons(self) -> None:
        self.button = QPushButton(BUTTON_TEXT[RunState.IDLE])
        self.button.setObjectName("primary")
        self.button.clicked.connect(self._press)
        self.copy_button = QPushButton("Copy as Python")
        self.copy_button.setToolTip("Copy the lines that repeat this recovery in napari's console")
        self.copy_button.clicked.connect(self.copy_as_python)
        self.defaults_button = QPushButton("Restore defaults")
        self.defaults_button.setToolTip("Set all settings to their defaults")
        self.defaults_button.clicked.connect(self.restore_defaults)

    def _lay_out(self) -> None:
        small = QHBoxLayout()
        small.setSpacing(SPACING)
        small.addWidget(self.copy_button)
        small.addWidget(self.defaults_button)
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        inner.setSpacing(SPACING)
        inner.addWidget(self.form)
        inner.addWidget(self.button)
        inner.addLayout(small)
        inner.addWidget(self.progress)
        inner.addWidget(self.live)
        inner.addWidget(self.preview)
        inner.addWidget(self.result)
        inner.addWidget(self.save_bar)
        inner.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(WIDTH - 8)

    def _request(self) -> tuple[Any, ...]:
        image = self.image
        if image.layer is None:
            return ()
        chosen = (image.layer, image.revision, image.at, self.mask_choice.named(), self.mask_choice.request)
        return (*chosen, self.start_choice.request, self.form.options(), self.prepare.recipe)

    def _is_up_to_date(self) -> bool:
        """Whether Recover would give the result that is shown."""
        return self.recovery is not None and self._answered == self._request()

    def _refresh(self) -> None:
        """Say what is wrong before Recover can be pressed."""
        self._show_window_size()
        if self._run is not None:
            return
        problem = self._problem()
        self.button.setEnabled(not problem)
        self.copy_button.setEnabled(not problem)
        if problem:
            self.progress.tell(problem, "warning")
        elif self.progress.level == "warning":
            self._tell_result()

    def _problem(self) -> str:
        seen = self.image.observation
        if seen is not None:
            try:
                starts = given_starts(self._given_start(), seen.shape, len(seen.data))
                if starts.window is not None:
                    check_window(starts.window, seen.shape)
            except ValueError as error:
                name = getattr(self.start_choice.layer, "name", "start")
                named = str(error).replace("of start", f"of {name}").replace("start has", f"{name} has")
                return sentence(named.replace("kernel_size", "the window of"))
        window = self.form.window_field.value()
        if self.image.observation is not None and window is not None:
            try:
                check_window(window, self.image.observation.shape)
            except ValueError as error:
                return sentence(str(error).replace("kernel_size", "the window of"))
        return self.image.problem

    def _given_start(self) -> Any:
        """Boxes or a kernel to start from, or None."""
        layer = self.start_choice.layer
        if layer is None or self.image.source is None:
            return None
        return start_of(layer, self.image.source, () if self.image.whole else self.image.shown)

    def _show_progress(self, state: State) -> None:
        self.progress.show_state(state)
        assert self._run is not None
        self.preview.show_kernels(state.kernels, self._run.source)

    def _show_window_size(self) -> None:
        window = self.form.window_field.value()
        hint = self.image.length(window) if window else "from the image"
        if window is None and self.recovery is not None and self._is_up_to_date():
            rows, cols = self.recovery.kernels.shape[-2:]
            hint = self.image.length((rows, cols)) or hint
        self.form.window_field.hint.setText(hint)

    def _show_state(self, state: RunState) -> None:
        self.button.setText(BUTTON_TEXT[state])
        self.button.setToolTip(BUTTON_HELP[state])
        self.button.setEnabled(state is not RunState.CANCELLING)
        for widget in (self.form, self.copy_button, self.defaults_button):
            widget.setEnabled(state is RunState.IDLE)
        self.state_changed.emit(state)

    def _end(self, outcome: Recovery | Failure) -> None:
        finished, self._run = self._run, None
        self.progress.end()
        self._show_state(RunState.IDLE)
        if isinstance(outcome, Failure):
            self.recovery = None
            self.preview.clear()
            self._tell_error(outcome.error)
        else:
            self.recovery, self._answered = outcome, self._asked
            self._layers = finished.layers if finished is not None else None
            self.result.show_result(outcome)
            self._follow_slice()
            self.form.window_field.show_chosen(outcome.window)
            self.form.fields["types"].show_chosen(outcome.types)
            if outcome.status == "finished":
                self.form.fields["lam_last"].show_chosen(float(f"{outcome.history['lam'].iloc[-1]:.2g}"))
            self._tell_result()
        self.save_bar.show_result(self.recovery)
        self.live.refresh()
        self._refresh()
        self.finished.emit(self.recovery)

    def _follow_slice(self, event: Any = None) -> None:
        """Preview the kernels, of a stack at the slice that the viewer shows."""
        recovery = self.recovery
        if recovery is not None and (event is None or recovery.kernels.shape[1] > 1):
            self._preview(recovery)

    def _preview(self, recovery: Recovery | None) -> None:
        if recovery is None or self._run is not None:
            return
        count, point, number = recovery.kernels.shape[1], self.viewer.dims.point, None
        if len(point) >= 3 and count > 1:
            place = (point[-3] - recovery.source.slice_translate) / recovery.source.slice_scale
            number = min(max(round(place), 0), count - 1)
        self.preview.show_kernels(recovery.shapes, recovery.source, number)

    def _change_threshold(self, threshold: Threshold) -> None:
        """Make table and points anew; nothing is run."""
        if self.live.is_on:
            self.live.change_threshold(threshold)
            return
        if self.recovery is None:
            return
        self.recovery = self.recovery.with_threshold(
            threshold.snr, threshold.strength, outside=threshold.outside
        )
        if self._layers is not None:
            self._layers.show_defects(self.recovery)
        self.result.rows.describe(self.recovery)
        if self.progress.level == "result":
            self._tell_result()
        self.save_bar.show_result(self.recovery)

    def _show_live(self, recovery: Recovery, final: bool) -> None:
        """Follow *Live*; what is final is the result from now on."""
        if final and recovery is not self.recovery:
            self._layers = LiveLayers.of(self.viewer, recovery)
            self.recovery, self._answered = recovery, ()
            self.save_bar.show_result(recovery)
        self.result.follow(recovery)
        self._previewed = recovery
        self._preview_timer.start(0)
        part = "" if final or self.live.box is None else "In this part: "
        summary = f"{part}{recovery.summary}"
        self.progress.tell(f"{summary[0].upper()}{summary[1:]}.", "result")

    def _add_errors(self) -> None:
        """Work out the kernels' standard errors in the background and add them as layers."""
        if self.recovery is None or self._layers is None or self._errors is not None:
            return
        self.result.show_errors_text("Fitting the kernel again and again…", busy=True)
        self._errors = ErrorsRun(self.recovery, self._layers, WindowWatch(self))
        self._errors.finished.connect(self._show_errors)
        self._errors.start()

    def _show_errors(self, run: ErrorsRun, text: str) -> None:
        self._errors = None
        current = run.layers is self._layers
        self.result.show_errors_text(text if current else "", busy=False)

    def _tell_result(self) -> None:
        if self.recovery is None:
            self.progress.tell("")
            return
        summary = self.recovery.summary
        steps = len(Recipe.from_json(self.recovery.recipe).taken) if self.recovery.recipe else 0
        prepared = f" Prepared first, by {steps} step{'' if steps == 1 else 's'}." if steps else ""
        self.progress.tell(f"{summary[0].upper()}{summary[1:]}.{prepared}", "result")

    def _tell_error(self, error: Exception) -> None:
        if isinstance(error, (ValueError, Stopped)):
            text = sentence(error)
        elif isinstance(error, MemoryError):
            text = "There is not enough memory: crop the image, or choose a smaller window."
        else:
            text = f"The recovery failed: {error}. napari's message has the details: please report it."
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.progress.tell(text, "result" if isinstance(error, Stopped) else "error")

    def _follow_theme(self, event: Any = None) -> None:
        self.setStyleSheet(style_sheet(self.viewer.theme))
