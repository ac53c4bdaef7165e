"""The choice of a layer besides the image, or of none: the mask, and the boxes to start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_sbd.layers import is_image, is_shapes, role_of

WATCHED = ("data", "paint", "set_data", "scale", "translate", "rotate", "shear", "affine", "name")
NO_LAYER = ""  # not None, whose choice the combo box keeps to itself
PAUSE = 150  # ms without a change, after which a layer that is being drawn on is read
MASK_HELP = (
    "Labels or Shapes layer that marks a part of the image, such as junk or step edges. A Labels layer marks "
    "where it is not zero, a Shapes layer inside its rectangles, ellipses and polygons."
)
LEAVE_OUT_HELP = (
    "Checked: the marked part is left out, it carries no weight. Not checked: only the marked part counts."
)
START_HELP = (
    "Where the search begins. Automatic: at salient patches of the image. "
    "A Shapes layer: at its rectangles, each drawn round a whole defect. "
    "A kernel: at what an earlier recovery found, be it on one slice of a stack or on another image."
)


class LayerChoice:
    """Combo box of the layers of one kind and of none, which tells when its layer changes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    none : str
        Text for no layer.
    suits : callable
        Whether a layer may be chosen.
    tooltip : str
    """

    changed = Signal()

    def __init__(self, viewer: Any, none: str, suits: Callable[[Any], bool], tooltip: str) -> None:
        self.viewer, self._none, self._suits = viewer, none, suits
        self.revision = 0
        self._watched: Any = None
        self.combo = ComboBox(choices=lambda _: self._choices(), tooltip=tooltip)
        self.native = self.combo.native
        self._timer = QTimer(self.native)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._tell)
        self.combo.changed.connect(self._choose)
        for event in ("inserted", "removed", "reordered", "renamed"):
            getattr(viewer.layers.events, event).connect(self.reset_choices)

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        return None if self.combo.value == NO_LAYER else self.combo.value

    @property
    def request(self) -> tuple[Any, ...]:
        """What was chosen, to be compared."""
        return self.layer, self.revision

    def reset_choices(self, event: Any = None) -> None:
        """Follow the viewer's layers; that the chosen one was removed, the combo box does not tell."""
        self.combo.reset_choices()
        if self.layer is None and self._watched is not None:
            self._choose()

    def restore_default(self) -> None:
        """Choose no layer."""
        self.combo.value = NO_LAYER

    def _choices(self) -> list[tuple[str, Any]]:
        fitting = [layer for layer in self.viewer.layers if role_of(layer) is None and self._suits(layer)]
        return [(self._none, NO_LAYER), *((layer.name, layer) for layer in fitting)]

    def _choose(self, value: Any = None) -> None:
        self._watched = watch_instead(self._watched, self.layer, WATCHED, self._drawn)
        self._tell()

    def _drawn(self, event: Any = None) -> None:
        self._timer.start(PAUSE)

    def _tell(self) -> None:
        self.revision += 1
        self.changed.emit()


class StartChoice(LayerChoice):
    """The choice of a Shapes layer whose boxes the search starts from, or of an earlier kernel."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, "Automatic", is_shapes, START_HELP)

    def _choices(self) -> list[tuple[str, Any]]:
        kernels = [layer for layer in self.viewer.layers if role_of(layer) == "kernel"]
        return [*super()._choices(), *((layer.name, layer) for layer in kernels)]

    def named(self) -> dict[str, Any]:
        """The layer as an argument of `recover`."""
        return {} if self.layer is None else {"start": self.layer}


class MaskChoice(LayerChoice):
    """The choice of a Labels or Shapes layer that marks what is left out, or what alone counts."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, "None", _marks, MASK_HELP)
        self.leave_out = QCheckBox("Leave the marked part out")
        self.leave_out.setToolTip(f"<p>{LEAVE_OUT_HELP}</p>")
        self.leave_out.setChecked(True)
        self.leave_out.hide()
        self.leave_out.toggled.connect(lambda _: self._tell())
        self.native = QWidget()
        self.native.setToolTip(f"<p>{MASK_HELP}</p>")
        rows = QVBoxLayout(self.native)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        rows.addWidget(self.combo.native)
        rows.addWidget(self.leave_out)
        self.changed.connect(lambda: self.leave_out.setVisible(self.layer is not None))

    def named(self) -> dict[str, Any]:
        """The layer as an argument of `recover`."""
        if self.layer is None:
            return {}
        return {"leave_out" if self.leave_out.isChecked() else "mask": self.layer}

    def restore_default(self) -> None:
        """Choose no mask."""
        super().restore_default()
        self.leave_out.setChecked(True)


def watch_instead(before: Any, layer: Any, events: tuple[str, ...], told: Callable[[Any], None]) -> Any:
    """Be told of a layer's events, of those that it has, and of another's no longer; either may be None."""
    for name in events:
        if before is not None and hasattr(before.events, name):
            getattr(before.events, name).disconnect(told)
        if layer is not None and hasattr(layer.events, name):
            getattr(layer.events, name).connect(told)
    return layer


def _marks(layer: Any) -> bool:
    """Whether a layer marks an area; of images, only labels do."""
    return is_shapes(layer) or (is_image(layer) and hasattr(layer, "selected_label"))
