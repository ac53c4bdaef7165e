"""What can be done with a result: the threshold of its defects, and how far to trust it."""

from __future__ import annotations

import math
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sbd.api import Recovery
from napari_sbd.core.peaks import WEAKEST
from napari_sbd.core.threshold import LOWEST_SNR, Threshold
from napari_sbd.widgets.fields import hint_label
from napari_sbd.widgets.trust_rows import trust_rows

HIGHEST_SNR = 9999.0
SNR_HELP = (
    "Smallest amplitude of a defect over its standard error. By default such that 0.1 rows are expected "
    "to be noise alone. Below that, candidates appear that the fit left out."
)
STRENGTH_HELP = "Smallest amplitude of a defect over the typical one of its type. Default: 30 %."
OUTSIDE_HELP = (
    "Also list defects outside the frame, which are known by the part of their signature that reaches in."
)
ERRORS_HELP = (
    "Add a layer with the standard error of each pixel of the kernel, by bootstrap over defects: their "
    "signatures are weighted at random and the kernel is fitted again, 40 times."
)


class ThresholdRows(QWidget):
    """Spin boxes for the threshold of the table of defects; a change needs no new run."""

    changed = Signal(Threshold)

    def __init__(self) -> None:
        super().__init__()
        self.snr = _spin(LOWEST_SNR, HIGHEST_SNR, 0.5, 2, SNR_HELP)
        self.strength = _spin(0, 100, 5, 0, STRENGTH_HELP)
        self.strength.setSuffix(" %")
        self.outside = QCheckBox("Include those outside the frame")
        self.outside.setToolTip(f"<p>{OUTSIDE_HELP}</p>")
        self.default = QPushButton("Default")
        self.default.setToolTip("The threshold that the noise asks for")
        self.text = hint_label()
        self._default_snr = LOWEST_SNR
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(2, 1)
        for row, (name, spin) in enumerate((("SNR from", self.snr), ("Strength from", self.strength))):
            label = QLabel(name)
            label.setToolTip(spin.toolTip())
            grid.addWidget(label, row, 0)
            grid.addWidget(spin, row, 1)
            spin.valueChanged.connect(self._tell)
        grid.addWidget(self.default, 0, 2)
        grid.addWidget(self.outside, 2, 0, 1, 3)
        grid.addWidget(self.text, 3, 0, 1, 3)
        self.outside.toggled.connect(self._tell)
        self.default.clicked.connect(self.restore_default)

    @property
    def threshold(self) -> Threshold:
        """What the boxes say."""
        snr, strength = round(self.snr.value(), 2), round(self.strength.value() / 100, 4)
        return Threshold(None if snr == self._default_snr else snr, strength, self.outside.isChecked())

    def restore_default(self) -> None:
        """Show the threshold that the noise asks for."""
        self._show(Threshold())
        self._tell()

    def show_recovery(self, recovery: Recovery) -> None:
        """Show the threshold of a result, and what it lets through."""
        self._default_snr = math.ceil(100 * recovery.noise_snr) / 100
        self._show(recovery.threshold)
        self.describe(recovery)

    def describe(self, recovery: Recovery) -> None:
        """Say how many defects there are, and how many of them may be noise."""
        count = len(recovery.defects)
        defects = f"{count} defect{'' if count == 1 else 's'}"
        self.text.setText(f"{defects}; {_expected(recovery.false_positives)} expected from noise alone")

    def _show(self, threshold: Threshold) -> None:
        widgets = (self.snr, self.strength, self.outside)
        for widget in widgets:
            widget.blockSignals(True)
        self.snr.setValue(self._default_snr if threshold.snr is None else threshold.snr)
        self.strength.setValue(100 * threshold.strength)
        self.outside.setChecked(threshold.outside)
        for widget in widgets:
            widget.blockSignals(False)
        self.default.setEnabled(threshold != Threshold())

    def _tell(self, *_: Any) -> None:
        threshold = self.threshold
        self.default.setEnabled(threshold != Threshold(strength=WEAKEST))
        self.changed.emit(threshold)


class ResultView(QWidget):
    """Threshold and trust of a result; hidden while there is none.

    Attributes
    ----------
    threshold_changed : psygnal.Signal
        Emitted with the Threshold that the user chose.
    errors_wanted : psygnal.Signal
        Emitted when the kernels' errors are asked for.
    """

    threshold_changed = Signal(Threshold)
    errors_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows = ThresholdRows()
        self.rows.changed.connect(self.threshold_changed.emit)
        self.errors = QPushButton("Add kernel errors")
        self.errors.setToolTip(f"<p>{ERRORS_HELP}</p>")
        self.errors.clicked.connect(lambda: self.errors_wanted.emit())
        self.errors_text = hint_label()
        self._figures, self._shown = QWidget(), 0  # rows of it
        self._grid = QGridLayout(self._figures)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(0)
        self._grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.setSpacing(6)
        self._threshold_title = _title("Threshold of the defects")
        for widget in (self._threshold_title, self.rows, _title("Trust"), self._figures):
            layout.addWidget(widget)
        layout.addWidget(self.errors)
        layout.addWidget(self.errors_text)
        self.hide()

    @property
    def figures(self) -> dict[str, str]:
        """The figures as they are shown, by name."""
        texts: dict[str, str] = {}
        for row in range(self._shown):
            items = [self._grid.itemAtPosition(row, column) for column in range(2)]
            labels = [item.widget() for item in items if item is not None]
            name, value = (label.text() if isinstance(label, QLabel) else "" for label in labels or ("", ""))
            texts[name] = value
        texts.pop("", None)
        return texts

    def show_result(self, recovery: Recovery) -> None:
        """Show threshold and figures of a result."""
        self.rows.show_recovery(recovery)
        for widget in (self._threshold_title, self.rows, self.errors):
            widget.setVisible(not recovery.nothing)
        self._show_figures(recovery)
        self.show_errors_text("")
        self.show()

    def show_errors_text(self, text: str, busy: bool = False) -> None:
        """Say how the kernels' errors are getting on."""
        self.errors.setEnabled(not busy)
        self.errors_text.setText(text)
        self.errors_text.setVisible(bool(text))

    def follow(self, recovery: Recovery) -> None:
        """Show the figures of a result that changes under the user's hand; the threshold stays."""
        if not self.isVisibleTo(self.parentWidget()):
            self.show_result(recovery)
            return
        for widget in (self._threshold_title, self.rows, self.errors):
            widget.setVisible(not recovery.nothing)
        self.rows.describe(recovery)
        self._show_figures(recovery)

    def _show_figures(self, recovery: Recovery) -> None:
        rows = trust_rows(recovery)
        for row in range(max(len(rows), self._shown)):
            labels = [self._label(row, column) for column in range(2)]
            for label, text in zip(labels, rows[row][:2] if row < len(rows) else (), strict=False):
                if label.text() != text:
                    label.setText(text)
                    label.setToolTip(f"<p>{rows[row][2]}</p>")
            for label in labels:
                label.setVisible(row < len(rows))
        self._shown = len(rows)

    def _label(self, row: int, column: int) -> QLabel:
        """The label at a place; it is made once, so that nothing flickers when figures follow each other."""
        item = self._grid.itemAtPosition(row, column)
        widget = item.widget() if item is not None else None
        if not isinstance(widget, QLabel):
            widget = QLabel()
            self._grid.addWidget(widget, row, column)
        return widget


def _title(text: str) -> QLabel:
    label = QLabel(f"<b>{text}</b>")
    label.setObjectName("title")
    return label


def _spin(low: float, high: float, step: float, decimals: int, help_: str) -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    spin.setDecimals(decimals)
    spin.setRange(low, high)
    spin.setSingleStep(step)
    spin.setKeyboardTracking(False)
    spin.setObjectName("wide")
    spin.setToolTip(f"<p>{help_}</p>")
    return spin


def _expected(number: float) -> str:
    """Text of an expected number.

    Examples
    --------
    >>> _expected(1e-9), _expected(0.0999), _expected(87.4)
    ('< 0.01', '0.1', '87')
    """
    if number < 0.01:
        return "< 0.01"
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"
