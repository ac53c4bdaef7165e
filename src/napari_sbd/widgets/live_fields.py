"""The parameters that *Live* lets a hand drag: sliders with their numbers, limits and help from core."""

from __future__ import annotations

import math
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSlider, QWidget

from napari_sbd.api import Recovery
from napari_sbd.core.parameters import setting
from napari_sbd.core.resolve import last_lam, last_refinements
from napari_sbd.widgets.fields import ChoiceField, spin_box, tooltip

TICKS = 400  # of the slider of λ, from its least to its largest
DIGITS = 3  # of a λ that is dragged
GROWTH = 2  # largest window over that of the recovery
MOST_ROUNDS = 6
SHORTEST = 60  # px, of a slider
FIXED_HELP = "Keep the kernel as it is; only activations and defects follow."


class LiveFields(QWidget):
    """λ, window, refinements, activations, and whether the kernel stays; tells what a hand changes."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._lam, self._size, self._rounds = (
            setting("lam_last"),
            setting("kernel_size"),
            setting("refinements"),
        )
        self.lam, self.lam_slider = spin_box(self._lam), QSlider(Qt.Orientation.Horizontal)
        self.window_spin, self.window_slider = spin_box(self._size), QSlider(Qt.Orientation.Horizontal)
        self.rounds, self.rounds_slider = spin_box(self._rounds), QSlider(Qt.Orientation.Horizontal)
        self.activations = ChoiceField(setting("activations"))
        self.fixed = QCheckBox("Keep the kernel")
        self.fixed.setToolTip(f"<p>{FIXED_HELP}</p>")
        self._begin: dict[str, Any] = {}
        self._beyond = 0  # columns of the window less its rows
        self._lay_out()
        self.lam_slider.setRange(0, TICKS)
        self.rounds_slider.setRange(0, MOST_ROUNDS)
        self.lam_slider.valueChanged.connect(self._drag_lam)
        self.window_slider.valueChanged.connect(lambda step: self.window_spin.setValue(self._window_at(step)))
        self.rounds_slider.valueChanged.connect(self.rounds.setValue)
        for spin in (self.lam, self.window_spin, self.rounds):
            spin.valueChanged.connect(self._follow_number)
        self.activations.changed.connect(self.changed.emit)
        self.fixed.toggled.connect(lambda _: self.changed.emit())

    def _drag_lam(self, tick: int) -> None:
        self.lam.setValue(self._lam_at(tick))  # type: ignore[arg-type]

    @property
    def options(self) -> dict[str, Any]:
        """Options of `Recovery.again`: those that differ from what the recovery had."""
        rows = int(self.window_spin.value())
        said = {
            "lam": self.lam.value(),
            "kernel_size": (rows, rows + self._beyond),
            "refinements": int(self.rounds.value()),
            "activations": self.activations.value(),
            "fixed_kernel": self.fixed.isChecked(),
        }
        return {name: value for name, value in said.items() if value != self._begin.get(name)}

    def show_recovery(self, recovery: Recovery, largest: int) -> None:
        """Show what a recovery ended with; windows may have at most this side."""
        rows, cols = recovery.window
        self._beyond = cols - rows
        self._show(lambda: self._set_limits(rows, largest))
        self._show(lambda: self._set(recovery))
        self._begin = {}
        self._begin = self.options

    def _set(self, recovery: Recovery) -> None:
        self._set_all(
            {
                "lam": last_lam(recovery),
                "kernel_size": recovery.window,
                "refinements": last_refinements(recovery),
                "activations": "automatic",
                "fixed_kernel": False,
            }
        )

    def _set_all(self, said: dict[str, Any]) -> None:
        self.lam.setValue(said["lam"])
        self.window_spin.setValue(said["kernel_size"][0])
        self.rounds.setValue(said["refinements"])
        self.activations.set_value(said["activations"])
        self.fixed.setChecked(said["fixed_kernel"])
        self._follow_sliders()

    def _show(self, change: Any) -> None:
        """Change what is shown without telling anybody."""
        widgets: list[QWidget] = [self.lam, self.window_spin, self.rounds, self.activations.combo, self.fixed]
        widgets += [self.lam_slider, self.window_slider, self.rounds_slider]
        for widget in widgets:
            widget.blockSignals(True)
        change()
        for widget in widgets:
            widget.blockSignals(False)

    def _set_limits(self, rows: int, largest: int) -> None:
        least = int(self._size.low or 3)
        least = max(least, least - self._beyond)
        most = max(rows, min(GROWTH * rows, largest, largest - self._beyond))
        # Steps of two keep the kernel where it is.
        self.window_spin.setRange(least + (rows - least) % 2, most)
        self.window_spin.setSingleStep(2)
        self.window_slider.setRange(0, (most - int(self.window_spin.minimum())) // 2)

    def _follow_number(self, _: Any) -> None:
        self._follow_sliders()
        self.changed.emit()

    def _follow_sliders(self) -> None:
        ticks = (
            (self.lam_slider, self._tick_of(self.lam.value())),
            (self.window_slider, int(self.window_spin.value() - self.window_spin.minimum()) // 2),
            (self.rounds_slider, min(int(self.rounds.value()), MOST_ROUNDS)),
        )
        for slider, tick in ticks:
            slider.blockSignals(True)
            slider.setValue(tick)
            slider.blockSignals(False)

    def _lam_at(self, tick: int) -> float:
        low, high = float(self._lam.low or 0), float(self._lam.high or 0)
        return float(f"{low * (high / low) ** (tick / TICKS):.{DIGITS}g}")

    def _tick_of(self, lam: float) -> int:
        low, high = float(self._lam.low or 0), float(self._lam.high or 0)
        return round(TICKS * math.log(lam / low) / math.log(high / low))

    def _window_at(self, step: int) -> int:
        return int(self.window_spin.minimum()) + 2 * step

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        rows = ((self._lam, self.lam_slider, self.lam), (self._size, self.window_slider, self.window_spin))
        for row, (what, slider, spin) in enumerate((*rows, (self._rounds, self.rounds_slider, self.rounds))):
            label, unit = QLabel(what.label), QLabel(what.unit.replace("_max", "<sub>max</sub>"))
            for widget in (label, slider, spin):
                widget.setToolTip(tooltip(what))
            spin.setObjectName("narrow")
            slider.setMinimumWidth(SHORTEST)
            for column, widget in enumerate((label, slider, spin, unit)):
                grid.addWidget(widget, row, column)
        label = QLabel(self.activations.setting.label)
        label.setToolTip(tooltip(self.activations.setting))
        grid.addWidget(label, 3, 0)
        grid.addWidget(self.activations, 3, 1, 1, 3)
        grid.addWidget(self.fixed, 4, 1, 1, 3)
