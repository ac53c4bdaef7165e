"""Layers: a Recovery and the layer it came from, as layer data for napari. Knows neither Qt nor napari."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.recovery import Recovery

Real = NDArray[np.floating]
Matrix = tuple[tuple[float, ...], ...]
LayerData = tuple[Any, dict[str, Any], str]

NAMESPACE = "napari-sbd"

UNIT_SYMBOLS = {
    "": "px",
    "pixel": "px",
    "picometer": "pm",
    "nanometer": "nm",
    "micrometer": "µm",
    "um": "µm",
    "μm": "µm",
    "millimeter": "mm",
    "meter": "m",
    "angstrom": "Å",
}

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
RING_COLOURS = ((1.0, 0.7, 0.0), (0.0, 0.85, 1.0), (1.0, 0.3, 0.7), (0.5, 1.0, 0.3), (0.8, 0.6, 1.0))
NEAR_BORDER_PALENESS = 0.6
RING_SHARE = 0.3  # of the kernel's window
RING_WIDTH = 0.09  # of the ring's diameter
SMALLEST_RING = 3.0  # px
GAP_SHARE = 0.04  # of the image's width, between image and kernel


@dataclass(frozen=True)
class Source:
    """Where an image lies and how it looks: plain copies of what its layer says, for the last two axes.

    Parameters
    ----------
    name : str
        The layer's name.
    scale, translate : tuple of float
        Along rows and columns.
    rotate, affine : nested tuple of float
        Matrices, 2×2 and 3×3.
    shear : float
        Upper element of the shear matrix.
    units : tuple of str
        Units of the layer's axes, as napari calls them.
    axis_labels : tuple of str
        Empty for napari's own.
    unit : str
        Symbol of the unit of length, "px" where there is none.
    contrast_limits : tuple of float, optional
    colormap : object
        Colormap or its name.

    Examples
    --------
    >>> Source(scale=(0.5, 0.5), units=("nanometer", "nanometer"), unit="nm").pixel_size
    (0.5, 0.5)
    """

    name: str = "image"
    scale: tuple[float, ...] = (1.0, 1.0)
    translate: tuple[float, ...] = (0.0, 0.0)
    rotate: Matrix = ((1.0, 0.0), (0.0, 1.0))
    shear: float = 0.0
    affine: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    units: tuple[str, ...] = ("pixel", "pixel")
    axis_labels: tuple[str, ...] = ()
    unit: str = "px"
    contrast_limits: tuple[float, float] | None = None
    colormap: Any = "gray"

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Length of a pixel along rows and columns, in `unit`; 1 where that is the pixel itself."""
        if self.unit == "px":
            return 1.0, 1.0
        rows, cols = np.linalg.norm(np.array(self.affine)[:2, :2] @ self._linear, axis=0)
        return float(rows), float(cols)

    @property
    def _linear(self) -> Real:
        sheared = np.array([[1.0, self.shear], [0.0, 1.0]])
        return np.asarray(np.array(self.rotate) @ sheared @ np.diag(self.scale))

    def placed(self, offset: tuple[float, float] = (0.0, 0.0), *, stacked: bool = False) -> dict[str, Any]:
        """Attributes of a layer whose first pixel lies `offset` pixels (rows, cols) from the image's.

        With `stacked`, those of a layer with an axis of slices in front.
        """
        translate = np.array(self.translate) + self._linear @ np.array(offset)
        sheared = np.array([[1.0, self.shear], [0.0, 1.0]])
        attributes = {
            "scale": (1.0,) * stacked + tuple(self.scale),
            "translate": (0.0,) * stacked + tuple(translate.tolist()),
            "rotate": _with_axis(self.rotate, stacked),
            "shear": _with_axis(sheared, stacked),
            "affine": _with_axis(self.affine, stacked),
            "units": ("pixel",) * stacked + tuple(self.units),
        }
        if self.axis_labels:
            attributes["axis_labels"] = ("slice",) * stacked + tuple(self.axis_labels)
        return attributes


def _with_axis(matrix: Any, stacked: bool) -> Real:
    plain: Real = np.array(matrix, float)
    if not stacked:
        return plain
    larger = np.eye(len(plain) + 1)
    larger[1:, 1:] = plain
    return larger


def source_of(layer: Any) -> Source:
    """Source with plain copies of a napari image layer's attributes; of a stack, those of its last two axes.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
    """
    shear = np.asarray(layer.shear, float)
    units = tuple(str(unit) for unit in layer.units[-2:])
    limits = None if getattr(layer, "rgb", False) else getattr(layer, "contrast_limits", None)
    return Source(
        name=str(layer.name),
        scale=_pair(layer.scale),
        translate=_pair(layer.translate),
        rotate=_nested(np.asarray(layer.rotate, float)[-2:, -2:]),
        shear=float(shear[-2, -1] if shear.ndim == 2 else shear[-1]),
        affine=_nested(np.asarray(layer.affine.affine_matrix, float)[-3:, -3:]),
        units=units,
        axis_labels=tuple(str(label) for label in layer.axis_labels[-2:]),
        unit=_unit(units, layer.metadata),
        contrast_limits=None if limits is None else _pair(limits),
        colormap="gray" if limits is None else layer.colormap.name,
    )


def _pair(values: Iterable[float]) -> tuple[float, float]:
    *_, first, last = (float(value) for value in values)
    return first, last


def _nested(matrix: Real) -> Matrix:
    return tuple(tuple(row) for row in matrix.tolist())


def _unit(units: Sequence[str], metadata: Any) -> str:
    """Symbol of the axes' common unit; other plugins keep it in the metadata of an uncalibrated layer."""
    if set(units) == {"pixel"}:
        try:
            units = [str(axis["units"]) for axis in metadata["axes"][-2:]]
        except (KeyError, TypeError, IndexError):
            return "px"
    symbols = {UNIT_SYMBOLS.get(unit, unit) for unit in units}
    return symbols.pop() if len(symbols) == 1 else "px"


def result_layers(recovery: Recovery, source: Source) -> list[LayerData]:
    """All layers of a recovery, in the order in which they lie on each other.

    Parameters
    ----------
    recovery : Recovery
    source : Source
        Where the image lies.

    Returns
    -------
    list of tuple
        (data, attributes, layer type) of reconstruction, residual, kernels, activation maps and defects.

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
    signed = recovery.parameters.activations == "signed"
    layers = [
        _reconstruction_layer(recovery, source),
        _residual_layer(recovery, source),
        *live_layers(recovery.kernels, recovery.activations, source, signed=signed),
        _defects_layer(recovery, source),
    ]
    for _, attributes, _ in layers:
        attributes["metadata"][NAMESPACE].update(recovery.provenance())
    return layers


def live_layers(kernels: Real, activations: Real, source: Source, *, signed: bool) -> list[LayerData]:
    """Layer data of kernels (types, slices, k1, k2) and activation maps (types, rows, cols).

    Also of a recovery that is still running. One layer for each type; a stack of slices gives a stack.
    """
    types = len(kernels)
    shape = (activations.shape[1], activations.shape[2])
    numbers = [f" {n + 1}" if types > 1 else "" for n in range(types)]
    return [
        *(_kernel_layer(kernels[n], n, numbers[n], shape, source) for n in range(types)),
        *(_activation_layer(activations[n], numbers[n], source, signed) for n in range(types)),
    ]


def _kernel_layer(
    kernel: Real, number: int, suffix: str, shape: tuple[int, int], source: Source
) -> LayerData:
    gap = max(2, round(GAP_SHARE * shape[1]))
    beside = (number * (kernel.shape[1] + gap), shape[1] + gap)
    attributes = _attributes("kernel", source, suffix) | source.placed(beside, stacked=len(kernel) > 1)
    attributes |= {"colormap": DIVERGING, "contrast_limits": _symmetric(np.abs(kernel).max())}
    return _unstacked(kernel), attributes, "image"


def _activation_layer(activation: Real, suffix: str, source: Source, signed: bool) -> LayerData:
    attributes = _attributes("activation", source, suffix) | source.placed()
    top = _typical(activation)
    attributes |= {
        "colormap": SPARSE_SIGNED if signed else SPARSE,
        "contrast_limits": (-top, top) if signed else (0.0, top),
    }
    return activation, attributes, "image"


def _reconstruction_layer(recovery: Recovery, source: Source) -> LayerData:
    data = recovery.reconstruction
    limits = source.contrast_limits or _limits(data)
    attributes = _attributes("reconstruction", source) | source.placed(stacked=len(data) > 1)
    attributes |= {"colormap": source.colormap, "contrast_limits": limits, "visible": False}
    return _unstacked(data), attributes, "image"


def _residual_layer(recovery: Recovery, source: Source) -> LayerData:
    data = recovery.residual
    attributes = _attributes("residual", source) | source.placed(stacked=len(data) > 1)
    largest = float(np.nanpercentile(np.abs(data), 99.5))
    attributes |= {"colormap": DIVERGING, "contrast_limits": _symmetric(largest), "visible": False}
    return _unstacked(data), attributes, "image"


def _defects_layer(recovery: Recovery, source: Source) -> LayerData:
    table = recovery.defects
    window = recovery.kernels.shape[-2:]
    colours = np.array([(*RING_COLOURS[t % len(RING_COLOURS)], 1.0) for t in table["type"]]).reshape(-1, 4)
    pale = table["near_border"].to_numpy(bool)
    colours[pale] += NEAR_BORDER_PALENESS * (1 - colours[pale])
    attributes = _attributes("defects", source) | source.placed()
    attributes |= {
        "features": table.copy(),
        "ndim": 2,
        "symbol": "disc",
        "size": max(SMALLEST_RING, RING_SHARE * float(np.sqrt(window[0] * window[1]))),
        "face_color": "transparent",
        "border_color": colours if len(table) else np.array([(*RING_COLOURS[0], 1.0)]),
        "border_width": RING_WIDTH,
    }
    return table[["row", "col"]].to_numpy(float), attributes, "points"


def _attributes(role: str, source: Source, suffix: str = "") -> dict[str, Any]:
    return {
        "name": f"{source.name} · {role}{suffix}",
        "metadata": {NAMESPACE: {"role": role, "source": source.name}},
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


def numbered(layers: Sequence[LayerData], existing: Iterable[str]) -> list[LayerData]:
    """Layers under names that do not exist yet: all of them get the same ` [2]`, ` [3]`…, if one needs it.

    Examples
    --------
    >>> layers = [(None, {"name": "topo · kernel"}, "image"), (None, {"name": "topo · defects"}, "points")]
    >>> [attributes["name"] for _, attributes, _ in numbered(layers, ["topo", "topo · kernel"])]
    ['topo · kernel [2]', 'topo · defects [2]']
    """
    taken = set(existing)
    number, suffix = 1, ""
    while any(attributes["name"] + suffix in taken for _, attributes, _ in layers):
        number += 1
        suffix = f" [{number}]"
    return [
        (data, attributes | {"name": attributes["name"] + suffix}, kind) for data, attributes, kind in layers
    ]


def add_layer(viewer: Any, layer: LayerData) -> Any:
    """Add layer data to a viewer; returns the layer."""
    data, attributes, kind = layer
    return getattr(viewer, f"add_{kind}")(data, **attributes)


def role_of(layer: Any) -> str | None:
    """What a layer holds if a recovery made it ("kernel", "residual"…), else None."""
    own = layer.metadata.get(NAMESPACE)
    return own.get("role") if isinstance(own, dict) else None
