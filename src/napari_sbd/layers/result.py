"""A Recovery, finished or running, and the layer it came from, as layer data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.recovery import Recovery
from napari_sbd.layers.handle import Handle
from napari_sbd.layers.orientation import line_attributes, lines, update_lines
from napari_sbd.layers.slots import FIRST, Slot, gap_beside, suffix_of
from napari_sbd.layers.source import NAMESPACE, Source

Real = NDArray[np.floating]
LayerData = tuple[Any, dict[str, Any], str]

DIVERGING = {
    "name": "blue-white-red",
    "colors": [
        [0.02, 0.19, 0.55],
        [0.25, 0.55, 0.82],
        [0.97, 0.97, 0.97],
        [0.9, 0.42, 0.3],
        [0.55, 0.0, 0.12],
    ],
}
# Clear where nothing is, so that the image below is seen.
SPARSE = {
    "name": "activation",
    "colors": [[0.45, 0.0, 0.6, 0.0], [0.8, 0.1, 0.45, 0.8], [1.0, 0.4, 0.2, 1.0], [1.0, 0.9, 0.3, 1.0]],
}
SPARSE_SIGNED = {
    "name": "activation, signed",
    "colors": [
        [0.3, 0.85, 1.0, 1.0],
        [0.1, 0.4, 0.9, 0.9],
        [0.5, 0.2, 0.5, 0.0],
        [0.9, 0.3, 0.2, 0.9],
        [1.0, 0.85, 0.3, 1.0],
    ],
}
SPARSE_NAMES = (SPARSE["name"], SPARSE_SIGNED["name"])
RING_COLOURS = ((1.0, 0.7, 0.0), (0.0, 0.85, 1.0), (1.0, 0.3, 0.7), (0.5, 1.0, 0.3), (0.8, 0.6, 1.0))
NEAR_BORDER_PALENESS = 0.6
RING_SHARE = 0.3  # of the kernel's window
RING_WIDTH = 0.09  # of the ring's diameter
SMALLEST_RING = 3.0  # px


def result_layers(recovery: Recovery, source: Source, slot: Slot = FIRST) -> list[LayerData]:
    """All layers of a recovery, in the order in which they lie on each other.

    Parameters
    ----------
    recovery : Recovery
    source : Source
        Where the image lies.
    slot : Slot
        Where the layers go among those of earlier runs.

    Returns
    -------
    list of tuple
        (data, attributes, layer type) of reconstruction, residual, kernels, activation maps, with a symmetry
        orientations, and defects.

    Examples
    --------
    >>> from napari_sbd.core.recover import recover
    >>> image = np.zeros((40, 40))
    >>> image[10:13, 20:23] = image[30:33, 8:11] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    >>> recovery = recover(image + np.random.default_rng(0).normal(0, 0.05, image.shape), kernel_size=5)
    >>> for _, attributes, kind in result_layers(recovery, Source("topo")):
    ...     print(kind, attributes["name"])
    image topo · reconstruction
    image topo · residual
    image topo · kernel
    image topo · activation
    points topo · defects
    """
    layers = [
        _reconstruction_layer(recovery, source, slot),
        _residual_layer(recovery, source, slot),
        *live_layers(recovery.shapes, recovery.activations, source, slot),
        *([_orientation_layer(recovery, source, slot)] if recovery.orientations else []),
        _defects_layer(recovery, source, slot),
    ]
    shared = recovery.provenance() | source.energy_metadata | {"recovery": Handle(recovery)}
    for _, attributes, _ in layers:
        attributes["metadata"][NAMESPACE].update(shared)
    return layers


def live_layers(kernels: Real, activations: Real, source: Source, slot: Slot = FIRST) -> list[LayerData]:
    """Layer data of kernels (types, slices, k1, k2) and activation maps (types, rows, cols).

    Also of a recovery that is still running. One layer for each type; a stack of slices gives a stack.
    """
    types = len(kernels)
    shape = (activations.shape[1], activations.shape[2])
    gap = gap_beside(shape)
    layers: list[LayerData] = []
    for n, kernel in enumerate(kernels):
        beside = (slot.row + n * (kernel.shape[1] + gap), shape[1] + gap)
        layers.append(_kernel_layer(kernel, _name("kernel", source, slot, n, types), beside, source))
    for n, activation in enumerate(activations):
        attributes = _name("activation", source, slot, n, types)
        layers.append(_activation_layer(activation, attributes, source))
    return layers


def error_layers(recovery: Recovery, errors: Real, source: Source, slot: Slot = FIRST) -> list[LayerData]:
    """Layer data of the kernels' standard errors (types, slices, k1, k2), beside the kernels."""
    types, (rows, cols) = len(errors), recovery.window
    gap = gap_beside(recovery.observation.shape)
    left = recovery.observation.shape[1] + 2 * gap + cols
    layers: list[LayerData] = []
    for n, error in enumerate(errors):
        attributes = _name("kernel error", source, slot, n, types)
        attributes |= source.placed((slot.row + n * (rows + gap), left), stacked=len(error) > 1)
        top = float(error.max())
        attributes |= {"colormap": "inferno", "contrast_limits": (0.0, top if top > 0 else 1.0)}
        attributes["metadata"][NAMESPACE].update(source.energy_metadata)
        layers.append((_unstacked(error), attributes, "image"))
    return layers


def update_defects(layer: Any, recovery: Recovery, source: Source, slot: Slot = FIRST) -> None:
    """Show the present table of defects in a points layer that showed another one of the same recovery."""
    places, attributes, _ = _defects_layer(recovery, source, slot)
    layer.selected_data = set()
    layer.data = places
    layer.features = attributes["features"]
    layer.symbol, layer.size = attributes["symbol"], attributes["size"]
    layer.face_color = attributes["face_color"]
    layer.border_color, layer.border_width = attributes["border_color"], attributes["border_width"]
    layer.refresh()


def update_orientations(layer: Any, recovery: Recovery, source: Source, slot: Slot = FIRST) -> None:
    """Show the present table's orientations in a vectors layer that showed another one's."""
    update_lines(layer, *_orientation_layer(recovery, source, slot)[:2])


def _kernel_layer(
    kernel: Real, attributes: dict[str, Any], place: tuple[int, int], source: Source
) -> LayerData:
    attributes |= source.placed(place, stacked=len(kernel) > 1)
    attributes |= {"colormap": DIVERGING, "contrast_limits": _symmetric(np.abs(kernel).max())}
    return _unstacked(kernel), attributes, "image"


def _activation_layer(activation: Real, attributes: dict[str, Any], source: Source) -> LayerData:
    top, signed = _typical(activation), bool((activation < 0).any())
    attributes |= source.placed() | {
        "colormap": SPARSE_SIGNED if signed else SPARSE,
        "contrast_limits": (-top, top) if signed else (0.0, top),
    }
    return activation, attributes, "image"


def _reconstruction_layer(recovery: Recovery, source: Source, slot: Slot) -> LayerData:
    data = recovery.reconstruction
    limits = source.contrast_limits or _limits(data)
    attributes = _name("reconstruction", source, slot) | source.placed(stacked=len(data) > 1)
    attributes |= {"colormap": source.colormap, "contrast_limits": limits, "visible": False}
    return _unstacked(data), attributes, "image"


def _residual_layer(recovery: Recovery, source: Source, slot: Slot) -> LayerData:
    data = recovery.residual
    attributes = _name("residual", source, slot) | source.placed(stacked=len(data) > 1)
    largest = float(np.nanpercentile(np.abs(data), 99.5))
    attributes |= {"colormap": DIVERGING, "contrast_limits": _symmetric(largest), "visible": False}
    return _unstacked(data), attributes, "image"


def _defects_layer(recovery: Recovery, source: Source, slot: Slot) -> LayerData:
    table, colours = recovery.defects, _ring_colours(recovery, slot)
    attributes = _name("defects", source, slot) | source.placed()
    attributes |= {
        "features": table.copy(),
        "ndim": 2,
        "symbol": "disc",
        "size": _diameter(recovery),
        "face_color": "transparent",
        "border_color": colours if len(table) else np.array([(*_colours_of_types(recovery, slot)[0], 1.0)]),
        "border_width": RING_WIDTH,
    }
    return table[["row", "col"]].to_numpy(float), attributes, "points"


def _orientation_layer(recovery: Recovery, source: Source, slot: Slot) -> LayerData:
    table, diameter = recovery.defects, _diameter(recovery)
    attributes = _name("orientation", source, slot) | source.placed()
    attributes |= line_attributes(table, _ring_colours(recovery, slot), RING_WIDTH * diameter)
    return lines(table, diameter, recovery.observation.pixel_size), attributes, "vectors"


def _diameter(recovery: Recovery) -> float:
    """Of a defect's ring, in pixels."""
    return max(SMALLEST_RING, RING_SHARE * float(np.sqrt(np.prod(recovery.window))))


def _colours_of_types(recovery: Recovery, slot: Slot) -> list[tuple[float, float, float]]:
    # One colour for each type; of a single type, one for each run.
    first = slot.number - 1 if recovery.types == 1 else 0
    return [RING_COLOURS[(first + t) % len(RING_COLOURS)] for t in range(recovery.types)]


def _ring_colours(recovery: Recovery, slot: Slot) -> Real:
    """Colour of each defect's ring (n, 4): that of its type, paler near the border."""
    table, of_type = recovery.defects, _colours_of_types(recovery, slot)
    colours = np.array([(*of_type[t], 1.0) for t in table["type"]]).reshape(-1, 4)
    pale = table["near_border"].to_numpy(bool)
    colours[pale] += NEAR_BORDER_PALENESS * (1 - colours[pale])
    return np.asarray(colours)


def _name(role: str, source: Source, slot: Slot, number: int = 0, types: int = 1) -> dict[str, Any]:
    """Name and metadata of the layer of a type, which has a number where there are several."""
    of_type = f" {number + 1}" if types > 1 else ""
    return {
        "name": f"{source.name} · {role}{of_type}{suffix_of(slot.number)}",
        "metadata": {NAMESPACE: {"role": role, "type": number, "source": source.name}},
    }


def _unstacked(stack: Real) -> Real:
    return stack[0] if len(stack) == 1 else stack


def _symmetric(largest: float) -> tuple[float, float]:
    top = float(largest) if largest > 0 else 1.0
    return -top, top


def _typical(activation: Real) -> float:
    """Size of a typical activation: the few strong ones count, the many weak ones do not."""
    size = np.abs(activation)
    largest = float(size.max())
    return float(np.median(size[size >= 0.3 * largest])) if largest > 0 else 1.0


def _limits(data: Real) -> tuple[float, float]:
    low, high = float(data.min()), float(data.max())
    return (low, high) if high > low else (low, low + 1.0)


def add_layer(viewer: Any, layer: LayerData) -> Any:
    """Add layer data to a viewer; returns the layer."""
    data, attributes, kind = layer
    return getattr(viewer, f"add_{kind}")(data, **attributes)
