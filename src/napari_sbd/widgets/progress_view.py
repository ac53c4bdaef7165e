"""What a run tells its user: a bar with stage, λ, objective and time, then a result or an error."""

from __future__ import annotations

import math

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_sbd.core.recover import State
from napari_sbd.widgets.fields import hint_label

STEPS = 1000
KNOWN_FROM = 0.05  # of the work, before which the time that is left is a guess


class ProgressView(QWidget):
    """Progress bar with two lines of text, and below it a message."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setRange(0, STEPS)
        self.bar.setToolTip("Share of the planned work that is done")
        self.text = hint_label()
        self.text.setToolTip(
            "Stage of the recovery, sparsity penalty λ as a fraction of λ<sub>max</sub>, "
            "objective ψ at this λ, and time that is left"
        )
        self.message = QLabel()
        self.message.setObjectName("message")
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in (self.bar, self.text, self.message):
            layout.addWidget(widget)
            widget.hide()

    @property
    def level(self) -> str:
        """Level of the message that is shown."""
        return str(self.message.property("level")) if self.message.text() else ""

    def begin(self, text: str = "Looking at the image…") -> None:
        """Show an empty bar, and what is done before the recovery's first step."""
        self.tell("")
        self.bar.setValue(0)
        self.text.setText(f"{text}<br>&nbsp;")
        self.bar.show()
        self.text.show()

    def show_state(self, state: State) -> None:
        """Show where a recovery stands."""
        self.bar.setValue(round(STEPS * state.fraction))
        self.text.setText(describe(state).replace("\n", "<br>").replace("_max", "<sub>max</sub>"))

    def end(self) -> None:
        """Clear the bar."""
        self.bar.hide()
        self.text.hide()

    def tell(self, text: str, level: str = "result") -> None:
        """Show a message of level 'result', 'warning' or 'error'; an empty one hides it."""
        self.message.setText(text)
        self.message.setVisible(bool(text))
        if self.message.property("level") == level:
            return
        self.message.setProperty("level", level)
        # Qt reads properties that a style sheet asks for only when the style is set anew.
        style = self.message.style()
        if style is not None:
            style.unpolish(self.message)
            style.polish(self.message)


def describe(state: State) -> str:
    """Two lines on where a recovery stands.

    Examples
    --------
    >>> import numpy as np
    >>> print(describe(State("stage I", 2, 0.3, 1234.5, 0.5, 1.0, 1.2, np.zeros(0), np.zeros(0))))
    Stage I, start 3 · about 2 s left
    λ = 0.3 λ_max · objective ψ = 1230
    """
    where = state.stage[0].upper() + state.stage[1:]
    if state.stage in ("stage I", "stage II"):
        where += f", start {state.start + 1}"
    known = state.fraction >= KNOWN_FROM and math.isfinite(state.remaining)
    left = f" · about {_duration(state.remaining)} left" if known else ""
    return f"{where}{left}\nλ = {state.lam:.2g} λ_max · objective ψ = {_number(state.objective)}"


def _duration(seconds: float) -> str:
    whole = math.ceil(seconds)
    return f"{whole} s" if whole < 100 else f"{math.ceil(whole / 60)} min"


def _number(value: float) -> str:
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e+0" in text else text
