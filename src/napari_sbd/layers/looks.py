"""How the layers of a recovery look, as plain values: saved with it, and given back when it is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd

from napari_sbd.layers.handle import recovery_of
from napari_sbd.layers.ready import PREPARED
from napari_sbd.layers.result import LayerData, result_layers
from napari_sbd.layers.source import NAMESPACE, Source

Look = dict[str, Any]

PLACE = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
COMMON = ("name", "visible", "opacity", "blending", *PLACE)
OF_KIND = {
    "image": ("colormap", "contrast_limits", "gamma", "interpolation2d"),
    "points": (
        "features",
        "symbol",
        "size",
        "face_color",
        "border_color",
        "border_width",
        "border_width_is_relative",
        "shown",
    ),
    "vectors": ("features", "edge_color", "edge_width", "length", "vector_style"),
}
COLORMAP = ("name", "colors", "controls", "interpolation")


def looks_of(recovery: Any, layers: Iterable[LayerData]) -> tuple[tuple[Look, ...], list[str]]:
    """How those layers look that belong to a recovery, and the names of the others.

    Parameters
    ----------
    recovery : Recovery
        With its source.
    layers : iterable of tuple
        (data, attributes, layer type), as napari gives them.

    Returns
    -------
    tuple of dict
        Role, type and attributes of each layer; its data, too, where they are no longer the recovery's.
    list of str
    """
    given = list(layers)
    if not given:
        return (), []
    own = {(*_key(a), kind): data for data, a, kind in result_layers(recovery, recovery.source)}
    looks: dict[tuple[str, int, str], Look] = {}
    others = []
    for data, attributes, kind in given:
        key = (*_key(attributes), kind)
        if recovery_of(attributes.get("metadata")) is not recovery or key not in own or key in looks:
            others.append(str(attributes["name"]))
            continue
        plain = {name: _plain(attributes[name]) for name in COMMON + OF_KIND[kind] if name in attributes}
        edited = kind in ("points", "vectors") or not np.array_equal(data, own[key], equal_nan=True)
        stored = np.asarray(data) if edited else None
        looks[key] = {"role": key[0], "type": key[1], "attributes": plain, "data": stored}
    return tuple(looks.values()), [name for name in others if name != recovery.source.name]


def opened_layers(recovery: Any, looks: Iterable[Look] = ()) -> list[LayerData]:
    """Layers of a recovery that was opened: its image, and its result as it looked.

    Parameters
    ----------
    recovery : Recovery
        With its source.
    looks : iterable of dict
        What `looks_of` gave.
    """
    by_key = {(look["role"], look["type"]): look for look in looks}
    opened = [image_layer(recovery)]
    for data, attributes, kind in result_layers(recovery, recovery.source):
        look = by_key.get(_key(attributes))
        if look is not None:
            data = data if look["data"] is None else look["data"]
            attributes |= look["attributes"]
        opened.append((data, attributes, kind))
    return opened


def image_layer(recovery: Any) -> LayerData:
    """The image of a recovery as a layer; what was masked is NaN, which the viewer leaves clear."""
    source: Source = recovery.source
    seen = recovery.observation
    data = np.where(seen.mask, seen.data, np.nan)
    stacked = len(data) > 1
    prepared = getattr(recovery, "recipe", None)
    own = {"role": PREPARED, "source": source.name, "recipe": prepared}
    attributes = source.placed(stacked=stacked) | {
        "name": f"{source.name} · {PREPARED}" if prepared else source.name,
        "colormap": source.colormap,
        "contrast_limits": source.contrast_limits or _limits(data),
        "metadata": {NAMESPACE: source.origin | source.energy_metadata | (own if prepared else {})},
    }
    return data if stacked else data[0], attributes, "image"


def layer_data_of(layers: Iterable[Any]) -> list[LayerData]:
    """Layers as (data, attributes, layer type); of points copies, for they are edited in place."""
    found = [layer.as_layer_data_tuple() for layer in layers]
    return [(np.array(data) if kind == "points" else data, a, kind) for data, a, kind in found]


def _key(attributes: Mapping[str, Any]) -> tuple[str, int]:
    own = (attributes.get("metadata") or {}).get(NAMESPACE, {})
    return (str(own.get("role", "")), int(own.get("type", 0))) if isinstance(own, dict) else ("", 0)


def _limits(data: Any) -> tuple[float, float]:
    low, high = float(np.nanmin(data)), float(np.nanmax(data))
    return (low, high) if high > low else (low, low + 1.0)


def _plain(value: Any) -> Any:
    """A layer's attribute without napari's own types."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in COLORMAP if name in value}
    if isinstance(value, np.ndarray):
        if value.dtype != object:
            return np.array(value)
        return np.array([_plain(item) for item in value.ravel()]).reshape(value.shape)
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in value)
    if value is None or isinstance(value, (bool, int, float, str, np.generic, pd.DataFrame)):
        return value
    return str(value)  # a unit
