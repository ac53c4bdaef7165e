"""Layers of a recovery while it runs: kernel and activation map, which become the final ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sbd.api import Recovery
from napari_sbd.core.recover import State
from napari_sbd.layers import LayerData, Source, add_layer, live_layers, numbered, result_layers, role_of


class LiveLayers:
    """Kernel and activation map in a viewer, updated as the recovery goes on.

    A layer that the user deletes meanwhile stays away until the end.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    source : Source
    signed : bool
        Whether activations have both signs.
    """

    def __init__(self, viewer: Any, source: Source, *, signed: bool) -> None:
        self.viewer = viewer
        self.source = source
        self.signed = signed
        self._layers: dict[str, Any] = {}  # by name without number
        self._seen: list[Any] = []  # shapes of the kernels when the view was fitted to them

    def show(self, state: State) -> None:
        """Show where the recovery stands."""
        new = live_layers(state.kernels, state.activations, self.source, signed=self.signed)
        if not self._layers:
            self._add(new)
            self.viewer.fit_to_view()
            self._seen = self._extent()
            return
        for data, attributes, _ in new:
            layer = self._layers[attributes["name"]]
            if layer in self.viewer.layers:
                _update(layer, data, attributes)

    def finish(self, recovery: Recovery) -> None:
        """Show the result: live layers become final, the others are added."""
        new = result_layers(recovery, self.source)
        kept = {name: layer for name, layer in self._layers.items() if layer in self.viewer.layers}
        others = [layer.name for layer in self.viewer.layers if layer not in kept.values()]
        for plain, (data, attributes, kind) in zip(new, numbered(new, others), strict=True):
            name = plain[1]["name"]
            if name in kept:
                _update(kept[name], data, attributes)
                kept[name].metadata = attributes["metadata"]
                kept[name].name = attributes["name"]
                self._raise(kept[name])
            else:
                self._layers[name] = add_layer(self.viewer, (data, attributes, kind))
        if self._extent() != self._seen:
            self.viewer.fit_to_view()

    def discard(self) -> None:
        """Remove the layers of a recovery that failed."""
        for layer in self._layers.values():
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._layers.clear()

    def _add(self, new: list[LayerData]) -> None:
        existing = [layer.name for layer in self.viewer.layers]
        for plain, layer in zip(new, numbered(new, existing), strict=True):
            self._layers[plain[1]["name"]] = add_layer(self.viewer, layer)

    def _extent(self) -> list[Any]:
        return [layer.data.shape for layer in self._layers.values() if role_of(layer) == "kernel"]

    def _raise(self, layer: Any) -> None:
        layers = self.viewer.layers
        layers.move(layers.index(layer), len(layers))


def _update(layer: Any, data: Any, attributes: dict[str, Any]) -> None:
    layer.data = np.asarray(data)
    layer.contrast_limits = attributes["contrast_limits"]
