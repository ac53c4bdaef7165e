"""Layers: a Recovery and the layer it came from, as layer data for napari. Knows neither Qt nor napari."""

from napari_sbd.layers.channels import channel_layers, in_handy_unit
from napari_sbd.layers.frame import Frame
from napari_sbd.layers.handle import Handle, exchange_recovery, handle_in, recovery_of
from napari_sbd.layers.looks import layer_data_of, looks_of, opened_layers
from napari_sbd.layers.marks import boxes_of, is_image, is_layer, is_shapes, marked, start_of
from napari_sbd.layers.part import part_layers, part_recovery, part_source
from napari_sbd.layers.ready import PREPARED, Ready, prepared_layer, ready
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
    update_orientations,
)
from napari_sbd.layers.slots import Slot, free_slot, role_of, slot_of
from napari_sbd.layers.source import NAMESPACE, Source, energies_of, energy_axis, notes_of, source_of

__all__ = [
    "DIVERGING",
    "NAMESPACE",
    "PREPARED",
    "RING_COLOURS",
    "SPARSE_NAMES",
    "Frame",
    "Handle",
    "LayerData",
    "Ready",
    "Slot",
    "Source",
    "add_layer",
    "boxes_of",
    "channel_layers",
    "energies_of",
    "energy_axis",
    "error_layers",
    "exchange_recovery",
    "free_slot",
    "handle_in",
    "in_handy_unit",
    "is_image",
    "is_layer",
    "is_shapes",
    "layer_data_of",
    "live_layers",
    "looks_of",
    "marked",
    "notes_of",
    "opened_layers",
    "part_layers",
    "part_recovery",
    "part_source",
    "prepared_layer",
    "ready",
    "recovery_of",
    "result_layers",
    "role_of",
    "slot_of",
    "source_of",
    "start_of",
    "update_defects",
    "update_orientations",
]
