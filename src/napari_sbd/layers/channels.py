"""Channels of a file as layer data: in nm and handy units, the topograph on top, the others hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.io import Channel, convenient
from napari_sbd.layers.source import NAMESPACE, energy_axis

LayerData = tuple[Any, dict[str, Any], str]

LIMITS = (0.5, 99.5)
MOST_SAMPLES = 200_000
PLAIN_AXIS = {"slice_scale": 1.0, "slice_translate": 0.0, "slice_unit": "pixel", "slice_label": "slice"}


def channel_layers(channels: tuple[Channel, ...], path: Path) -> list[LayerData]:
    """One Image layer for each channel, the first channel last, so that it is on top and chosen.

    Examples
    --------
    >>> from pathlib import Path
    >>> topo = Channel("Z", 1e-9 * np.eye(4), "m", (0.1, 0.1))
    >>> [(data, attributes, kind)] = channel_layers((topo,), Path("scan.sxm"))
    >>> attributes["name"], attributes["scale"], float(data.max())
    ('scan · Z (nm)', (0.1, 0.1), 1.0)
    """
    layers = [_layer(channel, path, visible=number == 0) for number, channel in enumerate(channels)]
    return layers[::-1]


def _layer(channel: Channel, path: Path, *, visible: bool) -> LayerData:
    data, unit = in_handy_unit(channel)
    slices = data.ndim - 2
    size = channel.pixel_size_nm
    axis = _energy_axis(channel)
    first = {name: (axis.get(name, default),) * slices for name, default in PLAIN_AXIS.items()}
    label = channel.label if channel.label != path.stem else ""
    name = " · ".join(part for part in (path.stem, label) if part)
    attributes: dict[str, Any] = {
        "name": f"{name} ({unit})" if unit else name,
        "visible": visible,
        "rgb": False,
        "colormap": "gray",
        "contrast_limits": _limits(data),
        "axis_labels": first["slice_label"] + ("y", "x"),
        "scale": first["slice_scale"] + (size or (1.0, 1.0)),
        "translate": first["slice_translate"] + (0.0, 0.0),
        "units": first["slice_unit"] + (("nm", "nm") if size else ("pixel", "pixel")),
        "metadata": {NAMESPACE: _metadata(channel, path, unit)},
    }
    return data, attributes, "image"


def _energy_axis(channel: Channel) -> dict[str, Any]:
    """How the axis of slices lies, so that the viewer's slider shows their energies; empty if not known."""
    energies = channel.energies
    if energies is None or channel.data.ndim != 3 or len(energies) != len(channel.data):
        return {}
    return energy_axis(energies.tolist(), channel.energy_unit)


def in_handy_unit(channel: Channel) -> tuple[NDArray[Any], str]:
    """Values of a channel in a unit that suits them, and that unit.

    Examples
    --------
    >>> in_handy_unit(Channel("Z", 1e-9 * np.eye(2), "m"))[1]
    'nm'
    """
    factor, unit = convenient(channel.unit, channel.data)
    return (channel.data if factor == 1 else _scaled(channel.data, factor)), unit


def _scaled(data: NDArray[Any], factor: float) -> NDArray[Any]:
    kind = data.dtype if data.dtype.kind == "f" else np.float64
    scaled: NDArray[Any] = np.multiply(data, factor, dtype=kind)
    return scaled


def _limits(data: NDArray[Any]) -> tuple[float, float]:
    """Grey values from nearly the lowest to nearly the highest: a spike does not make the image black."""
    sample = data.ravel()[:: max(1, data.size // MOST_SAMPLES)]
    finite = sample[np.isfinite(sample)].astype(float)
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, LIMITS))
    if not high > low:
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def _metadata(channel: Channel, path: Path, unit: str) -> dict[str, Any]:
    """What is known of the channel, as plain values."""
    energies = channel.energies
    return {
        "file": path.name,
        "channel": channel.name,
        "direction": channel.direction,
        "value_unit": unit,
        "pixel_size_nm": channel.pixel_size_nm,
        "angle": channel.angle,
        "energies": None if energies is None else [float(energy) for energy in energies],
        "energy_unit": channel.energy_unit,
        "notes": list(channel.notes),
        "header": dict(channel.header),
    }
