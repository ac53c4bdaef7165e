"""Source: where an image lies and how it looks, as plain values taken from its layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.io.channel import NO_PIXEL_SIZE

Real = NDArray[np.floating]
Matrix = tuple[tuple[float, ...], ...]

NAMESPACE = "napari-sbd"  # of what is ours in a layer's metadata
# What a reader says of the file that a layer comes from.
OF_THE_FILE = ("file", "channel", "direction", "value_unit", "angle", "recipe")

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
METRES = {
    "picometer": 1e-12,
    "angstrom": 1e-10,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "meter": 1.0,
}
ENERGY_UNITS = {
    "volt": "V",
    "millivolt": "mV",
    "electron_volt": "eV",
    "millielectron_volt": "meV",
}
UNEVEN = 0.01  # of a step, by which energies may differ from an even axis


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
    colormap : str or dict
        Name of a colormap, or its name and colours.
    slice_scale, slice_translate : float
        Along the axis of slices of a stack.
    slice_unit, slice_label : str
        Unit and label of that axis.
    energies : tuple of float
        Where each slice of a stack was measured; empty where that is not known.
    energy_unit : str
        Unit of the energies, such as "mV".
    origin : dict
        What is known of the file: its name, the channel.
    true_size : tuple of float, optional
        Length of a pixel where it is another than the viewer shows, as once a drift is undone.

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
    slice_scale: float = 1.0
    slice_translate: float = 0.0
    slice_unit: str = "pixel"
    slice_label: str = "slice"
    energies: tuple[float, ...] = ()
    energy_unit: str = ""
    origin: dict[str, Any] = field(default_factory=dict)
    true_size: tuple[float, float] | None = None

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Length of a pixel along rows and columns, in `unit`; 1 where that is the pixel itself."""
        if self.true_size is not None:
            return self.true_size
        if self.unit == "px":
            return 1.0, 1.0
        # Unlike a norm, this leaves an upright pixel's length as it is, to the bit.
        rows, cols = np.hypot(*(np.array(self.affine)[:2, :2] @ self._linear))
        return float(rows), float(cols)

    @property
    def energy_metadata(self) -> dict[str, Any]:
        """Energies and their unit as `energies_of` finds them in a layer's metadata; empty if not known."""
        return {"energies": list(self.energies), "energy_unit": self.energy_unit} if self.energies else {}

    @property
    def matrix(self) -> Real:
        """Matrix (3×3) that takes a pixel (row, col, 1) to where the viewer shows it."""
        placed = np.eye(3)
        placed[:2, :2], placed[:2, 2] = self._linear, self.translate
        return np.asarray(np.array(self.affine) @ placed)

    def pixels_of(self, other: Source) -> Real:
        """Matrix (3×3) that takes another layer's pixels (row, col, 1) to those of this one.

        Examples
        --------
        >>> Source(scale=(0.5, 0.5)).pixels_of(Source()) @ (3, 4, 1)
        array([6., 8., 1.])
        """
        pairs = zip(self.units, other.units, strict=True)
        lengths = [METRES[b] / METRES[a] if {a, b} <= METRES.keys() else 1.0 for a, b in pairs]
        return np.asarray(np.linalg.inv(self.matrix) @ np.diag([*lengths, 1.0]) @ other.matrix)

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
            "scale": (self.slice_scale,) * stacked + tuple(self.scale),
            "translate": (self.slice_translate,) * stacked + tuple(translate.tolist()),
            "rotate": _with_axis(self.rotate, stacked),
            "shear": _with_axis(sheared, stacked),
            "affine": _with_axis(self.affine, stacked),
            "units": (self.slice_unit,) * stacked + tuple(self.units),
        }
        if self.axis_labels or (stacked and self.energies):
            attributes["axis_labels"] = (self.slice_label,) * stacked + tuple(self.axis_labels or ("y", "x"))
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
    energies, energy_unit = energies_of(layer)
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
        colormap="gray" if limits is None else _colours(layer.colormap),
        energies=energies,
        energy_unit=energy_unit,
        origin=_origin(layer.metadata),
        **_slice_axis(layer),
    )


def _slice_axis(layer: Any) -> dict[str, Any]:
    """How the axis before the image's two lies, so that results line up with it on the viewer's slider."""
    if len(layer.scale) < 3:
        return {}
    return {
        "slice_scale": float(layer.scale[-3]),
        "slice_translate": float(layer.translate[-3]),
        "slice_unit": str(layer.units[-3]),
        "slice_label": str(layer.axis_labels[-3]),
    }


def energies_of(layer: Any) -> tuple[tuple[float, ...], str]:
    """Energies of a layer's slices and their unit, both empty where they are not known.

    Looked up in this order: ``metadata["napari-sbd"]["energies"]`` and ``["energy_unit"]``, as this package's
    readers write them; the same keys in ``metadata`` itself; the layer's axis, if its unit is one of
    energy or voltage; ``metadata["axes"]``, where napari-rosettasciio keeps scale, offset and units.

    Parameters
    ----------
    layer : napari.layers.Image or napari.layers.Labels
    """
    if not hasattr(layer, "depiction") or len(layer.scale) != 3:
        return (), ""
    data = layer.data[0] if layer.multiscale else layer.data
    count = int(data.shape[0])
    for where in (layer.metadata.get(NAMESPACE), layer.metadata):
        known = where.get("energies") if isinstance(where, Mapping) else None
        if known is not None and len(known) == count:
            return tuple(float(energy) for energy in known), str(where.get("energy_unit") or "")
    unit = ENERGY_UNITS.get(str(layer.units[0]))
    if unit:
        return _even(layer.scale[0], layer.translate[0], count), unit
    try:
        axis = layer.metadata["axes"][-3]
        if str(axis["units"]) in ENERGY_UNITS.values():
            return _even(axis["scale"], axis["offset"], count), str(axis["units"])
    except (KeyError, TypeError, IndexError):
        pass
    return (), ""


def notes_of(layer: Any) -> tuple[str, ...]:
    """What the reader of a layer's file found worth knowing, such as that it is unfinished.

    That there is no pixel size is left out once the layer was given one.
    """
    own = layer.metadata.get(NAMESPACE)
    notes = own.get("notes", ()) if isinstance(own, Mapping) else ()
    sized = str(layer.units[-1]) in METRES
    return tuple(str(note) for note in notes if not (sized and note == NO_PIXEL_SIZE))


def _even(step: float, first: float, count: int) -> tuple[float, ...]:
    return tuple((float(first) + float(step) * np.arange(count)).tolist())


def energy_axis(energies: Sequence[float], unit: str) -> dict[str, Any]:
    """Fields of a Source by which the viewer's slider shows energies.

    Where they do not rise evenly, it shows the index.

    Examples
    --------
    >>> energy_axis([-0.2, -0.1, 0.0, 0.1], "V")["slice_scale"]
    0.1
    >>> energy_axis([1, 2, 4], "V")["slice_scale"]
    1.0
    """
    values = np.asarray(energies, float)
    steps = np.diff(values)
    plain = {"energies": tuple(values.tolist()), "energy_unit": unit}
    even = len(steps) and steps.min() > 0 and np.ptp(steps) <= UNEVEN * steps.mean()
    if not even:
        return {"slice_scale": 1.0, "slice_translate": 0.0, **plain}
    names = {symbol: name for name, symbol in ENERGY_UNITS.items()}
    return {
        "slice_scale": float(np.round(steps.mean(), 12)),
        "slice_translate": float(values[0]),
        "slice_unit": names.get(unit, "pixel"),
        "slice_label": "energy" if "eV" in unit else "bias",
        **plain,
    }


def _origin(metadata: Any) -> dict[str, Any]:
    own = metadata.get(NAMESPACE) if isinstance(metadata, dict) else None
    return {name: own[name] for name in OF_THE_FILE if name in own} if isinstance(own, dict) else {}


def _colours(colormap: Any) -> dict[str, Any]:
    """A colormap as napari makes it anew, also in a session that does not know its name."""
    plain = {
        "colors": np.asarray(colormap.colors).tolist(),
        "controls": np.asarray(colormap.controls).tolist(),
    }
    return {"name": str(colormap.name), "interpolation": str(colormap.interpolation.value), **plain}


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
