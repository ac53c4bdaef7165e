"""The form of all settings, built from what `core.parameters` says about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QToolButton, QWidget

from napari_sbd.core.parameters import Setting, settings
from napari_sbd.widgets.fields import Field, WindowField, field_for, tooltip

ROW_SPACING, ROW_HEIGHT = 6, 26


class SettingsForm(QWidget):
    """All settings below the rows that are given; the advanced ones are hidden at first.

    Parameters
    ----------
    above : sequence of (label or None, widget)
        Rows to begin with, in the same columns; a widget named *section* takes both.
    """

    changed = Signal()

    def __init__(self, above: Sequence[tuple[QLabel | None, QWidget]] = ()) -> None:
        super().__init__()
        self.fields: dict[str, Field] = {s.name: field_for(s) for s in settings()}
        self.advanced = QToolButton()
        self.advanced.setObjectName("heading")
        self.advanced.setCheckable(True)
        self.advanced.setToolTip("Settings that seldom need a change")
        self.advanced.toggled.connect(self._show_advanced)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(ROW_SPACING)
        self._grid.setColumnStretch(1, 1)
        self._hidden: list[QWidget] = []
        for label, widget in above:
            self._add(label, widget)
        for setting in sorted(settings(), key=lambda s: s.advanced):
            self._add_setting(setting)
        self._show_advanced(False)

    @property
    def window_field(self) -> WindowField:
        """The field of the kernel's window."""
        field = self.fields["kernel_size"]
        assert isinstance(field, WindowField)
        return field

    def options(self) -> dict[str, Any]:
        """All values by name."""
        return {name: field.value() for name, field in self.fields.items()}

    def restore_defaults(self) -> None:
        """Show every setting's default."""
        for field in self.fields.values():
            field.set_value(field.setting.default)

    def _add_setting(self, setting: Setting) -> None:
        label, field = QLabel(setting.label), self.fields[setting.name]
        label.setToolTip(tooltip(setting))
        if setting.advanced:
            if not self._hidden:
                self._grid.addWidget(self.advanced, self._grid.rowCount(), 0, 1, 2)
            self._hidden += [label, field]
        self._add(label, field)
        field.changed.connect(self.changed.emit)

    def _add(self, label: QLabel | None, widget: QWidget) -> None:
        row = self._grid.rowCount()
        if widget.objectName() == "section":
            self._grid.addWidget(widget, row, 0, 1, 2)
            return
        if label is not None:
            self._grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop)
            label.setMinimumHeight(ROW_HEIGHT)
        self._grid.addWidget(widget, row, 1)

    def _show_advanced(self, shown: bool) -> None:
        self.advanced.setText(f"{'▾' if shown else '▸'} Advanced")
        for widget in self._hidden:
            widget.setVisible(shown)
