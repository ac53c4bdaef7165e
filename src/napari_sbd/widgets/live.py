"""Layers of a recovery while it runs: kernels and activation maps, which become the final ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sbd.api import Recovery
from napari_sbd.core.recover import State
from napari_sbd.layers import (
    NAMESPACE,
    SPARSE_NAMES,
    LayerData,
    Slot,
    Source,
    add_layer,
    error_layers,
    exchange_recovery,
    free_slot,
    handle_in,
    live_layers,
    recovery_of,
    result_layers,
    role_of,
    slot_of,
    update_defects,
    update_orientations,
)


class LiveLayers:
    """Kernels and activation maps in a viewer, updated as the recovery goes on.

    A layer that the user deletes meanwhile stays away until the end.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    source : Source
    """

    def __init__(self, viewer: Any, source: Source) -> None:
        self.viewer = viewer
        self.source = source
        self._slot: Slot | None = None
        self._layers: dict[str, Any] = {}  # by name
        self._seen: list[Any] = []  # shapes of the kernels when the view was fitted to them

    @classmethod
    def of(cls, viewer: Any, recovery: Recovery) -> LiveLayers:
        """The layers of a recovery that are in the viewer already."""
        own = [layer for layer in viewer.layers if recovery_of(layer.metadata) is recovery]
        layers = cls(viewer, recovery.source)
        layers._slot = slot_of([layer for layer in own if role_of(layer) == "kernel"], recovery.source)
        layers._layers = {layer.name: layer for layer in own}
        return layers

    def show(self, state: State) -> None:
        """Show where the recovery stands."""
        slot = self._slot_for(state.kernels, state.activations.shape[1:])
        new = live_layers(state.kernels, state.activations, self.source, slot)
        self._drop_all_but({attributes["name"] for _, attributes, _ in new})
        first = not self._layers
        for layer in new:
            self._show(layer)
        if first:
            self._fit()

    def finish(self, recovery: Recovery) -> None:
        """Show the result: live layers become final, the others are added."""
        slot = self._slot_for(recovery.shapes, recovery.observation.shape)
        new = result_layers(recovery, self.source, slot)
        self._drop_all_but({attributes["name"] for _, attributes, _ in new})
        for data, attributes, kind in new:
            name = attributes["name"]
            if self._layers.get(name) not in self.viewer.layers:
                self._layers.pop(name, None)
            layer = self._show((data, attributes, kind))
            layer.metadata = attributes["metadata"]
            self.viewer.layers.move(self.viewer.layers.index(layer), len(self.viewer.layers))
        if self._extent() != self._seen:
            self._fit()

    def show_defects(self, recovery: Recovery) -> None:
        """Show the table of defects by another threshold, if its layer is still there.

        What is saved by way of any of the layers has the new threshold, too.
        """
        for layer in self._layers.values():
            exchange_recovery(layer.metadata, recovery)
            if role_of(layer) == "defects" and layer in self.viewer.layers and self._slot is not None:
                update_defects(layer, recovery, self.source, self._slot)
            elif role_of(layer) == "orientation" and layer in self.viewer.layers and self._slot is not None:
                update_orientations(layer, recovery, self.source, self._slot)

    def show_errors(self, recovery: Recovery, errors: Any) -> None:
        """Show the standard errors of the kernels beside them."""
        slot = self._slot_for(recovery.shapes, recovery.observation.shape)
        handles = [h for layer in self._layers.values() if (h := handle_in(layer.metadata)) is not None]
        for new in error_layers(recovery, errors, self.source, slot):
            name = new[1]["name"]
            if handles:
                new[1]["metadata"][NAMESPACE]["recovery"] = handles[0]
            if self._layers.get(name) not in self.viewer.layers:
                self._layers.pop(name, None)
            self._show(new)
        self.viewer.fit_to_view()

    def discard(self) -> None:
        """Remove the layers of a recovery that failed."""
        self._drop_all_but(set())

    def _slot_for(self, kernels: Any, shape: Any) -> Slot:
        if self._slot is None:
            self._slot = free_slot(self.source, kernels, tuple(shape), self.viewer.layers)
        return self._slot

    def _show(self, new: LayerData) -> Any:
        """Add a layer, or bring it up to date if it is there."""
        data, attributes, _ = new
        name = attributes["name"]
        if name not in self._layers:
            self._layers[name] = add_layer(self.viewer, new)
        elif self._layers[name] in self.viewer.layers:
            layer = self._layers[name]
            layer.data = np.asarray(data)
            layer.contrast_limits = attributes["contrast_limits"]
            if role_of(layer) == "activation":
                follow_signs(layer, attributes["colormap"])
            if role_of(layer) == "kernel" and not np.allclose(layer.translate, attributes["translate"]):
                layer.translate = attributes["translate"]
        return self._layers[name]

    def _drop_all_but(self, names: set[str]) -> None:
        """Remove the layers of other names, as of types that are no longer."""
        for name in self._layers.keys() - names:
            layer = self._layers.pop(name)
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _extent(self) -> list[Any]:
        return [layer.data.shape for layer in self._layers.values() if role_of(layer) == "kernel"]

    def _fit(self) -> None:
        self.viewer.fit_to_view()
        self._seen = self._extent()


def follow_signs(layer: Any, colours: dict[str, Any]) -> None:
    """Change between the two colormaps of activations; one that the user chose stays."""
    if layer.colormap.name in SPARSE_NAMES and layer.colormap.name != colours["name"]:
        layer.colormap = colours
