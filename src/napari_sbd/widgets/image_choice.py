"""The choice of the image: a combo box that follows the viewer's layers, and what is known of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from magicgui.widgets import ComboBox
from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QLabel

from napari_sbd.api import ALL, At, read
from napari_sbd.core import memory
from napari_sbd.core.observation import Observation
from napari_sbd.io import size_text
from napari_sbd.layers import Source, energies_of, notes_of, role_of
from napari_sbd.widgets.fields import hint_label
from napari_sbd.widgets.layer_choice import MaskChoice, watch_instead

WATCHED = ("data", "scale", "translate", "rotate", "shear", "affine", "units", "name")
# Results that are no image of the sample.
NOT_OFFERED = ("kernel", "kernel error", "activation", "reconstruction")
SHOWN, TOGETHER = "Shown slice alone", "All, as energies"
SLICES_HELP = (
    "What is recovered of a stack. Shown slice alone: the image that the viewer shows. All, as energies: one "
    "activation map that all slices share, and one kernel with a slice for each energy."
)
NO_BREAK = "\N{NO-BREAK SPACE}"
NO_IMAGE = "There is no image: open one with File ▸ Open, or a sample with File ▸ Open Sample."


class ImageChoice:
    """The chosen layer, checked whenever it may have changed.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    mask : MaskChoice
        What of the image counts.
    """

    changed = Signal()

    def __init__(self, viewer: Any, mask: MaskChoice) -> None:
        self.viewer = viewer
        self.mask = mask
        self.observation: Observation | None = None
        self.source: Source | None = None
        self.problem = NO_IMAGE
        self.revision = 0  # counts changes of the layer's data
        self._watched: Any = None
        self.hint = hint_label()
        self.combo = ComboBox(
            choices=lambda _: [(layer.name, layer) for layer in self._layers()],
            tooltip="Image or Labels layer to recover from.",
        )
        self.slices, self.slices_label = QComboBox(), QLabel("Slices")
        self.slices.addItems([SHOWN, TOGETHER])
        for part in (self.slices, self.slices_label):
            part.setToolTip(f"<p>{SLICES_HELP}</p>")
        self.slices.currentIndexChanged.connect(self._look)
        active = viewer.layers.selection.active
        # Equal, not identical: napari hands out the active layer within a proxy.
        for layer in self._layers():
            if layer == active:
                self.combo.value = layer
        self.combo.changed.connect(self._choose)
        for event in ("inserted", "removed", "reordered", "renamed"):
            getattr(viewer.layers.events, event).connect(self._layers_changed)
        viewer.dims.events.point.connect(self._dims_changed)
        mask.changed.connect(self._look)
        self.native = self.combo.native
        self._choose()

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        return self.combo.value

    @property
    def leading(self) -> tuple[int, ...]:
        """Lengths of the layer's axes before those of an image."""
        if self.layer is None:
            return ()
        shape = (self.layer.data[0] if self.layer.multiscale else self.layer.data).shape
        return tuple(shape[: len(shape) - 2 - bool(getattr(self.layer, "rgb", False))])

    @property
    def whole(self) -> bool:
        """Whether all slices of a stack are taken, as energies."""
        return len(self.leading) == 1 and self.slices.currentText() == TOGETHER

    @property
    def shown(self) -> tuple[int, ...]:
        """Index of the shown image in a layer with more axes than an image."""
        leading = self.leading
        point = self.layer.world_to_data(self.viewer.dims.point) if leading else ()
        return tuple(int(np.clip(np.round(p), 0, n - 1)) for p, n in zip(point, leading, strict=False))

    @property
    def at(self) -> At:
        """What of the layer is taken, as `recover` calls it; None for a layer that is one image."""
        return ALL if self.whole else self.shown or None

    def read(self) -> None:
        """Take the image from its layer and check it."""
        self.observation = self.source = None
        self.problem = NO_IMAGE
        if self.layer is not None:
            try:
                self.observation, self.source = read(self.layer, at=self.at, **self.mask.named())
                self.problem = ""
            except ValueError as error:
                self.problem = sentence(error)
        self.hint.setText(self._description())
        self.hint.setVisible(bool(self.hint.text()))

    def length(self, pixels: tuple[int, int]) -> str:
        """Text for a size in the image's unit, empty where that is the pixel."""
        if self.source is None or self.source.unit == "px":
            return ""
        rows, cols = (n * size for n, size in zip(pixels, self.source.pixel_size, strict=True))
        return size_text(rows, cols, self.source.unit)

    def _layers(self) -> list[Any]:
        layers = [layer for layer in self.viewer.layers if hasattr(layer, "depiction")]
        return [layer for layer in layers if role_of(layer) not in NOT_OFFERED]

    def _layers_changed(self, event: Any = None) -> None:
        self.combo.reset_choices()

    def _dims_changed(self, event: Any = None) -> None:
        if self.layer is not None and self.leading and not self.whole:
            self._look()

    def _choose(self, value: Any = None) -> None:
        self._watched = watch_instead(self._watched, self.layer, WATCHED, self._look)
        self._offer_slices()
        self._look()

    def _offer_slices(self) -> None:
        """Show the choice of slices for a stack; known energies ask for all of them."""
        stacked = len(self.leading) == 1
        for part in (self.slices, self.slices_label):
            # One without a parent would become a window of its own.
            if part.parentWidget() is not None or not stacked:
                part.setVisible(stacked)
        self.slices.blockSignals(True)
        self.slices.setCurrentText(TOGETHER if stacked and energies_of(self.layer)[0] else SHOWN)
        self.slices.blockSignals(False)

    def _look(self, event: Any = None) -> None:
        self.revision += getattr(event, "type", "") == "data"
        self.read()
        self.changed.emit()

    def _description(self) -> str:
        if self.observation is None:
            return ""
        rows, cols = self.observation.shape
        parts = [f"{rows} × {cols} px", self.length((rows, cols))]
        if self.whole:
            parts.append(f"{len(self.observation.data)} slices")
            parts.append(self._energy_range())
        elif self.shown:
            parts.append("slice " + ", ".join(str(n) for n in self.shown))
        left_out = ~self.observation.mask
        if self.mask.layer is not None:
            parts.append(f"{100 * left_out.mean():.2g}{NO_BREAK}% left out")
        elif left_out.any():
            parts.append(f"{left_out.sum():,} px without a value")
        lines = [" · ".join(part for part in parts if part)]
        lines += map(sentence, notes_of(self.layer))
        if tight := memory.problem(len(self.observation.data), (rows, cols)):
            lines.append(sentence(tight))
        return "\n".join(lines)

    def _energy_range(self) -> str:
        if self.source is None or not self.source.energies:
            return ""
        low, high = min(self.source.energies), max(self.source.energies)
        return f"{low:.3g} to {high:.3g} {self.source.energy_unit}".replace("-", "−").rstrip()


def sentence(error: Exception | str) -> str:
    """An error's message as a sentence on screen.

    Examples
    --------
    >>> sentence(ValueError("topo is constant"))
    'Topo is constant.'
    """
    text = str(error) or type(error).__name__
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")
