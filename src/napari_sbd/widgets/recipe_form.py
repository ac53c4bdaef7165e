"""The form of a recipe: its steps one below the other, each switched on or off, moved, tuned and removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_sbd.prepare.operation import ALONG, Operation
from napari_sbd.prepare.recipe import Recipe, Step, operation
from napari_sbd.widgets.fields import Field, field_for, hint_label, tooltip

INDENT = 22  # px, of what belongs to a step
GAP = 8  # px
ROOM = 230  # px for a step's name and what it found on one line


class RecipeForm(QWidget):
    """One row for each step, in their order."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[StepRow] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)

    @property
    def recipe(self) -> Recipe:
        """What the form says."""
        return Recipe(tuple(row.step for row in self.rows))

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the steps of a recipe instead of those that are there."""
        for row in self.rows:
            self._drop(row)
        self.rows = [self._new_row(step) for step in recipe.steps]
        self._arrange()

    def add(self, name: str) -> StepRow:
        """Add a step with its defaults at the end, its settings shown."""
        row = self._new_row(Step(name))
        self.rows.append(row)
        row.more.setChecked(True)
        self._arrange()
        return row

    def switch_off(self) -> None:
        """Take no step."""
        for row in self.rows:
            row.box.setChecked(False)

    def show_found(self, found: dict[int, str], failed: int | None = None, problem: str = "") -> None:
        """Say what each step found, and what is wrong with the one that cannot be taken."""
        for number, row in enumerate(self.rows):
            row.show_found(problem if number == failed else found.get(number, ""), number == failed)

    def _new_row(self, step: Step) -> StepRow:
        row = StepRow(step)
        row.changed.connect(self._tell)
        row.up.clicked.connect(lambda: self._move(row, -1))
        row.down.clicked.connect(lambda: self._move(row, 1))
        row.remove.clicked.connect(lambda: self._remove(row))
        self._layout.addWidget(row)
        return row

    def _move(self, row: StepRow, by: int) -> None:
        here = self.rows.index(row)
        self.rows.insert(here + by, self.rows.pop(here))
        self._arrange()

    def _remove(self, row: StepRow) -> None:
        self.rows.remove(row)
        self._drop(row)
        self._arrange()

    def _drop(self, row: StepRow) -> None:
        self._layout.removeWidget(row)
        row.hide()
        row.deleteLater()

    def _arrange(self) -> None:
        for number, row in enumerate(self.rows):
            self._layout.insertWidget(number, row)
            row.up.setEnabled(number > 0)
            row.down.setEnabled(number < len(self.rows) - 1)
        self._tell()

    def _tell(self) -> None:
        self.changed.emit()


class StepRow(QWidget):
    """One step: a box to switch it on, buttons to move and remove it, and its settings, hidden at first."""

    changed = Signal()

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.operation: Operation = operation(step.operation)
        self.box = QCheckBox(title(step))
        self.box.setToolTip(f"<p>{self.operation.help}</p><p>Checked: the step is taken.</p>")
        self.box.setChecked(step.on)
        self.more = _button("▸", "Settings of this step")
        self.more.setCheckable(True)
        self.up, self.down = _button("↑", "Take this step earlier"), _button("↓", "Take this step later")
        self.remove = _button("✕", "Remove this step")
        self.found = hint_label()
        self.found.hide()
        self.settings = QWidget()
        self.fields: dict[str, Field] = {s.name: field_for(s) for s in self.operation.settings}
        self._lay_out()
        for name, value in step.settings.items():
            self.fields[name].set_value(value)
        for field in self.fields.values():
            field.changed.connect(self._tell)
        self.box.toggled.connect(self._tell)
        self.more.toggled.connect(self._show_settings)
        self._show_settings(False)

    @property
    def step(self) -> Step:
        """What the row says."""
        return Step(self.operation.name, self._values(), self.box.isChecked())

    def show_found(self, text: str, is_problem: bool = False) -> None:
        """Say what the step found, or what is wrong with it."""
        self.found.setObjectName("problem" if is_problem else "hint")
        style = self.found.style()
        if style is not None:
            style.unpolish(self.found)
            style.polish(self.found)
        self.found.setText(text)
        self._place_found(beside=not is_problem and self._fits(text))
        self.found.setVisible(bool(text) and self.box.isChecked())

    def _fits(self, text: str) -> bool:
        """Whether a text has room beside the step's name."""
        return self.box.sizeHint().width() + self.found.fontMetrics().horizontalAdvance(text) < ROOM

    def _place_found(self, beside: bool) -> None:
        """Beside the step's name, or below it."""
        self.found.setWordWrap(not beside)
        self.found.setContentsMargins(GAP if beside else INDENT, 0, 0, 0 if beside else 2)
        if beside:
            self._head.insertWidget(2, self.found)
        else:
            self._rows.insertWidget(1, self.found)

    def _values(self) -> dict[str, Any]:
        return {name: field.value() for name, field in self.fields.items()}

    def _tell(self, *_: Any) -> None:
        self.box.setText(title(self.step))
        self.changed.emit()

    def _show_settings(self, shown: bool) -> None:
        self.more.setText("▾" if shown else "▸")
        self.settings.setVisible(shown)

    def _lay_out(self) -> None:
        self._head = head = QHBoxLayout()
        head.setSpacing(2)
        head.addWidget(self.more)
        head.addWidget(self.box)
        head.addStretch(1)
        for button in (self.up, self.down, self.remove):
            head.addWidget(button)
        grid = QGridLayout(self.settings)
        grid.setContentsMargins(INDENT, 2, 0, 6)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        for number, setting in enumerate(self.operation.settings):
            label = QLabel(setting.label)
            label.setToolTip(tooltip(setting))
            label.setWordWrap(True)
            grid.addWidget(label, number, 0)
            grid.addWidget(self.fields[setting.name], number, 1)
        self._rows = rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addLayout(head)
        rows.addWidget(self.found)
        rows.addWidget(self.settings)


def _button(text: str, help_text: str) -> QToolButton:
    button = QToolButton()
    button.setObjectName("small")
    button.setText(text)
    button.setToolTip(f"<p>{help_text}</p>")
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def title(step: Step) -> str:
    """Name of a step on screen; which way it runs, where that is not along the rows.

    Examples
    --------
    >>> title(Step("lines", {"along": "columns"})), title(Step("lines"))
    ('Level lines, columns', 'Level lines')
    """
    known, along = operation(step.operation), step.settings.get("along", ALONG.default)
    return known.label if along == ALONG.default else f"{known.label}, {along}"


def named(steps: Sequence[Step]) -> str:
    """Names of steps as a list in a sentence.

    Examples
    --------
    >>> named([Step("background"), Step("lattice")])
    'Subtract background; Remove lattice'
    """
    return "; ".join(title(step) for step in steps)
