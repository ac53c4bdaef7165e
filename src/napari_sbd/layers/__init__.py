"""Layers: a Recovery and the layer it came from, as layer data for napari. Knows neither Qt nor napari."""

from napari_sbd.layers.marks import boxes_of, is_image, is_layer, is_shapes, marked, start_of
from napari_sbd.layers.result import (
    DIVERGING,
    RING_COLOURS,
    SPARSE_NAMES,
    LayerData,
    add_layer,
    error_layers,
    live_layers,
    result_layers,
    update_defects,
)
from napari_sbd.layers.slots import Slot, free_slot, role_of
from napari_sbd.layers.source import NAMESPACE, Source, energies_of, energy_axis, source_of

__all__ = [
    "DIVERGING",
    "NAMESPACE",
    "RING_COLOURS",
    "SPARSE_NAMES",
    "LayerData",
    "Slot",
    "Source",
    "add_layer",
    "boxes_of",
    "energies_of",
    "energy_axis",
    "error_layers",
    "free_slot",
    "is_image",
    "is_layer",
    "is_shapes",
    "live_layers",
    "marked",
    "result_layers",
    "role_of",
    "source_of",
    "start_of",
    "update_defects",
]
