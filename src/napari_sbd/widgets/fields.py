"""One field for one setting: spin boxes, a choice, and a box for what is chosen automatically."""

from __future__ import annotations

from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_sbd.core.parameters import CHOSEN_FROM_DATA, Setting

AUTOMATIC = "Automatic"
DECIMALS = 6
FIRST_WINDOW = 31


class Number(QDoubleSpinBox):
    """Spin box that shows no more digits than there are, and takes small numbers as typed."""

    def textFromValue(self, value: float) -> str:
        """Text shown for a value."""
        return f"{value:.{DECIMALS}g}"


class Field(QWidget):
    """The value of one setting; None means automatic."""

    changed = Signal()

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setting = setting
        self.setToolTip(tooltip(setting))
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(4)
        self.row = self._add_row()

    def value(self) -> Any:
        """The setting's value."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError

    def show_chosen(self, value: Any) -> None:
        """Show what automatic came to, without choosing it."""

    def _add_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(6)
        self._rows.addLayout(row)
        return row

    def _tell(self, *_: Any) -> None:
        self.changed.emit()

    def _add_unit(self, text: str) -> None:
        if text:
            self.row.addWidget(QLabel(text.replace("_max", "<sub>max</sub>")))


class NumberField(Field):
    """A number, with a box *Automatic* if it may be None."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.spin = spin_box(setting)
        self.automatic = QCheckBox(AUTOMATIC) if setting.name in CHOSEN_FROM_DATA else None
        self.row.addWidget(self.spin)
        self._add_unit(setting.unit)
        self.spin.valueChanged.connect(self._tell)
        if self.automatic is not None:
            # Beside the number there is room for one thing.
            (self._add_row() if setting.unit else self.row).addWidget(self.automatic)
            self.automatic.toggled.connect(self.spin.setDisabled)
            self.automatic.toggled.connect(self._tell)
        self.row.addStretch()
        self.set_value(setting.default)

    def value(self) -> Any:
        """The number, or None if automatic."""
        return None if self.automatic is not None and self.automatic.isChecked() else self.spin.value()

    def set_value(self, value: Any) -> None:
        """Show a number, or that it is automatic."""
        if self.automatic is not None:
            self.automatic.setChecked(value is None)
        if value is not None:
            self.show_chosen(value)

    def show_chosen(self, value: Any) -> None:
        """Show what automatic came to, without choosing it."""
        self.spin.setValue(value)


class WindowField(Field):
    """Rows and columns of the kernel's window, or automatic; below them a hint."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.rows, self.cols = spin_box(setting), spin_box(setting)
        self.automatic = QCheckBox(AUTOMATIC)
        self.hint = hint_label()
        self.hint.setWordWrap(False)
        self.hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        for widget in (self.rows, QLabel("×"), self.cols):
            self.row.addWidget(widget)
        self._add_unit(setting.unit)
        self.row.addStretch()
        below = self._add_row()
        below.addWidget(self.automatic)
        below.addWidget(self.hint, 1)
        for spin in (self.rows, self.cols):
            spin.setObjectName("narrow")
            spin.valueChanged.connect(self._tell)
            self.automatic.toggled.connect(spin.setDisabled)
        self.automatic.toggled.connect(self._tell)
        self.set_value(setting.default)

    def value(self) -> tuple[int, int] | None:
        """Rows and columns, or None if automatic."""
        return None if self.automatic.isChecked() else (int(self.rows.value()), int(self.cols.value()))

    def set_value(self, value: tuple[int, int] | None) -> None:
        """Show rows and columns, or that they are automatic."""
        self.automatic.setChecked(value is None)
        self.show_chosen(value or (FIRST_WINDOW, FIRST_WINDOW))

    def show_chosen(self, value: tuple[int, int]) -> None:
        """Show what automatic came to, without choosing it."""
        self.rows.setValue(value[0])
        self.cols.setValue(value[1])


class ChoiceField(Field):
    """One of a few values."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.combo = QComboBox()
        labels = setting.choice_labels or tuple(choice.capitalize() for choice in setting.choices)
        for label, choice in zip(labels, setting.choices, strict=True):
            self.combo.addItem(label, choice)
        self.row.addWidget(self.combo, 1)
        self.set_value(setting.default)
        self.combo.currentIndexChanged.connect(self._tell)

    def value(self) -> str:
        """The chosen value."""
        return str(self.combo.currentData())

    def set_value(self, value: str) -> None:
        """Show a value."""
        self.combo.setCurrentIndex(self.combo.findData(value))


def field_for(setting: Setting) -> Field:
    """The field that suits a setting."""
    if setting.choices:
        return ChoiceField(setting)
    if setting.name == "kernel_size":
        return WindowField(setting)
    return NumberField(setting)


def spin_box(setting: Setting) -> QSpinBox | QDoubleSpinBox:
    """Spin box with limits and step of a setting."""
    spin: QSpinBox | QDoubleSpinBox
    if isinstance(setting.step, int):
        spin = QSpinBox()
    else:
        spin = Number()
        spin.setDecimals(DECIMALS)
    low, high, step = setting.low, setting.high, setting.step
    assert low is not None
    assert high is not None
    assert step is not None
    spin.setRange(low, high)
    spin.setSingleStep(step)
    spin.setKeyboardTracking(False)
    spin.setObjectName("wide")
    return spin


def tooltip(setting: Setting) -> str:
    """Help, unit, limits and default of a setting."""
    lines = [setting.help]
    unit = f" {setting.unit}" if setting.unit else ""
    if setting.low is not None and setting.high is not None:
        lines.append(f"From {setting.low:,g} to {setting.high:,g}{unit}.")
    lines.append(f"Default: {_default(setting)}{'' if setting.default is None else unit}.")
    return "<p>" + "</p><p>".join(lines).replace("_max", "<sub>max</sub>") + "</p>"


def _default(setting: Setting) -> str:
    if setting.default is None:
        return AUTOMATIC.lower()
    if setting.choice_labels:
        return setting.choice_labels[setting.choices.index(setting.default)].lower()
    return f"{setting.default:g}"


def hint_label(text: str = "") -> QLabel:
    """Label for a hint: paler, on as many lines as it needs."""
    label = QLabel(text)
    label.setObjectName("hint")
    label.setWordWrap(True)
    return label
