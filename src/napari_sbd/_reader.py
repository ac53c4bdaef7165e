"""Files that are dropped onto napari's window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

LayerData = tuple[Any, dict[str, Any], str]
Paths = str | list[str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Return the function that reads these files, or None where they are not ours."""
    from napari_sbd.io import CHANNEL_FORMATS

    known = all(Path(one).suffix.lower() in CHANNEL_FORMATS for one in _listed(path))
    return read_layers if known else None


def read_layers(path: Paths) -> list[LayerData]:
    """Layer data of all channels of one file or several."""
    from napari_sbd.io import read
    from napari_sbd.layers import channel_layers

    return [layer for one in _listed(path) for layer in channel_layers(read(one), Path(one))]


def _listed(path: Paths) -> list[str]:
    return path if isinstance(path, list) else [path]
