"""What *Live* changes in the viewer: the layers of a result, in place, and those of a part over them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_sbd.api import Recovery
from napari_sbd.core.part import Box
from napari_sbd.layers import (
    NAMESPACE,
    add_layer,
    exchange_recovery,
    handle_in,
    live_layers,
    part_layers,
    part_source,
    recovery_of,
    role_of,
    slot_of,
    update_defects,
    update_orientations,
)
from napari_sbd.widgets.live import follow_signs

Real = NDArray[np.floating]
Key = tuple[str, int]
OF_THE_PART = ("activation", "orientation", "defects")
FROM_THE_MODEL = ("reconstruction", "residual")
SAME_PLACE = 0.05  # px, less than which is not seen
RARELY = 0.25  # s, between two changes of the number of points
SAME_LIMITS = 0.02  # relative, by which limits may be off


class LiveView:
    """The layers of a finished recovery, found by their handle; one that was removed stays away.

    Emits `drawn` once everything is up to date that `show` was given: of a sketch pictures and points in one
    turn of the event loop, what takes longer in turns of its own, so that the loop never waits long.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    recovery : Recovery
        Whose layers they are.
    box : tuple of slice or None
        Where the part lies that is worked with, if not the whole image is.
    parent : QWidget
        With which all ends.
    """

    drawn = Signal()

    def __init__(self, viewer: Any, recovery: Recovery, box: Box | None, parent: QWidget) -> None:
        self.viewer, self.box = viewer, box
        self.source = recovery.source
        own = [layer for layer in viewer.layers if recovery_of(layer.metadata) is recovery]
        self.layers: dict[Key, Any] = {_key(layer.metadata): layer for layer in own}
        self.slot = slot_of([layer for layer in own if role_of(layer) == "kernel"], self.source)
        self._handle = next((handle_in(layer.metadata) for layer in own), None)
        self._over: dict[Key, Any] = {}  # layers of the part
        self._hidden: list[Any] = []
        self._arrays: dict[int, Real] = {}  # of layers, that are written into
        self._replaced_at = 0.0
        self._turns: list[Callable[[], None]] = []
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._take_turn)

    @property
    def is_gone(self) -> bool:
        """Whether all layers were removed."""
        return not any(layer in self.viewer.layers for layer in self.layers.values())

    @property
    def places(self) -> dict[Key, Any]:
        """The layers that are there, by role and type."""
        both = self.layers | self._over
        return {key: layer for key, layer in both.items() if layer in self.viewer.layers}

    def show(self, recovery: Recovery, complete: bool = False) -> None:
        """Bring the layers up to date.

        Parameters
        ----------
        recovery : Recovery
            Of the part, while there is one.
        complete : bool
            Whether hidden layers follow, too, and all belong to this recovery from now on.
        """
        if self.box is not None and not self._over:
            self._add_part(recovery)
        self._turns = [*self._changes(recovery, complete), self.drawn.emit]
        if complete and self.box is None and self._handle is not None:
            for layer in self.layers.values():
                exchange_recovery(layer.metadata, recovery)
        self._timer.start(0)

    def end(self) -> None:
        """Take the part's layers away; the layers of the whole image are as they were."""
        self.stop()
        self.box = None
        for layer in self._over.values():
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        for layer in self._hidden:
            layer.visible = True
        self._over, self._hidden = {}, []

    def stop(self) -> None:
        """Draw nothing any more."""
        self._timer.stop()
        self._turns = []

    def _take_turn(self) -> None:
        turn = self._turns.pop(0)
        if self._turns:
            self._timer.start(0)
        turn()

    def _changes(self, recovery: Recovery, complete: bool) -> list[Callable[[], None]]:
        """One for each layer that is there and seen."""
        source = self.source if self.box is None else part_source(self.source, self.box)
        layers = live_layers(recovery.shapes, recovery.activations, source, self.slot)
        new = {_key(attributes["metadata"]): (data, attributes) for data, attributes, _ in layers}
        images: list[Callable[[], None]] = []
        others: list[Callable[[], None]] = []
        for key, layer in self.places.items():
            covered = self.box is not None and key not in self._over and key[0] != "kernel"
            if covered or not (complete or layer.visible):
                continue
            if key in new:
                change = self._change_now if not complete else _change_image
                images.append(partial(change, layer, *new[key], move=self.box is None))
            elif key[0] == "defects":
                if complete:
                    others.append(partial(update_defects, layer, recovery, source, self.slot))
                else:
                    images.append(partial(self._move_points, layer, _places(recovery)))
            elif key[0] == "orientation":
                others.append(partial(update_orientations, layer, recovery, source, self.slot))
            elif key[0] in FROM_THE_MODEL:
                others.append(partial(_change_data, layer, getattr(recovery, key[0])))
        return [*images, *others] if complete else [partial(_all, images), *others]

    def _change_now(self, layer: Any, data: Real, attributes: dict[str, Any], move: bool) -> None:
        """Write into the layer's own array where it fits: no thumbnail, no extent, only the picture."""
        own = self._arrays.get(id(layer))
        if own is None or own is not layer.data or own.shape != data.shape:
            own = self._arrays[id(layer)] = np.array(data)
            _change_image(layer, own, attributes, move)
            return
        own[...] = data
        _follow_limits(layer, attributes)
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _move_points(self, layer: Any, places: Real) -> None:
        """Show other places alone; colours and table follow when the hand rests.

        As many as before are written into an array of our own, in a quarter of the time that new data take;
        for these there is time a few times a second.
        """
        same = len(places) == len(layer.data)
        if same and np.allclose(places, layer.data, rtol=0, atol=SAME_PLACE):
            return
        own = self._arrays.get(id(layer))
        if same and own is not None and own is layer.data:
            own[...] = places
            layer.refresh(thumbnail=False, highlight=False, extent=False)
            return
        now = time.perf_counter()
        if not same and now - self._replaced_at < RARELY:
            return
        self._replaced_at = now
        if layer.selected_data:
            layer.selected_data = set()
        layer.data = self._arrays[id(layer)] = places

    def _add_part(self, part: Recovery) -> None:
        """Lay the part over the whole image, whose own activations and defects are hidden meanwhile."""
        assert self.box is not None
        active = self.viewer.layers.selection.active
        for layer in self.layers.values():
            if role_of(layer) in OF_THE_PART and layer in self.viewer.layers and layer.visible:
                layer.visible = False
                self._hidden.append(layer)
        for new in part_layers(part, part_source(self.source, self.box)):
            self._over[_key(new[1]["metadata"])] = add_layer(self.viewer, new)
        self.viewer.layers.selection.active = active


def _key(metadata: dict[str, Any]) -> Key:
    own = metadata[NAMESPACE]
    return str(own["role"]), int(own["type"])


def _change_image(layer: Any, data: Real, attributes: dict[str, Any], move: bool) -> None:
    """Exchange data; limits and place only where they differ, for each change is drawn."""
    layer.data = np.asarray(data)
    _follow_limits(layer, attributes)
    if role_of(layer) == "kernel" and move and not np.allclose(layer.translate, attributes["translate"]):
        layer.translate = attributes["translate"]


def _follow_limits(layer: Any, attributes: dict[str, Any]) -> None:
    limits = attributes["contrast_limits"]
    if not np.allclose(layer.contrast_limits, limits, rtol=SAME_LIMITS, atol=0):
        layer.contrast_limits = limits
    if role_of(layer) == "activation":
        follow_signs(layer, attributes["colormap"])


def _all(changes: list[Callable[[], None]]) -> None:
    for change in changes:
        change()


def _places(recovery: Recovery) -> Real:
    """Rows and columns (n, 2) of the defects."""
    return np.column_stack([recovery.defects[name].to_numpy(float) for name in ("row", "col")])


def _change_data(layer: Any, stack: Real) -> None:
    layer.data = stack[0] if len(stack) == 1 else stack
