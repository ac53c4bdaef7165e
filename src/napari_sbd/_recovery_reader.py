"""What napari calls to open a saved recovery."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_sbd.layers.result import LayerData

Reader = Callable[[str | Sequence[str]], list[LayerData]]


def open_recovery(path: str | Sequence[str]) -> Reader | None:
    """Reader of saved recoveries, or None for a file of another name."""
    from napari_sbd.io.recovery_file import ENDING

    return _recovery_layers if all(p.lower().endswith(ENDING) for p in _each(path)) else None


def _recovery_layers(path: str | Sequence[str]) -> list[LayerData]:
    """The image and the layers of saved recoveries, as they looked."""
    from napari_sbd.api import Recovery
    from napari_sbd.io.recovery_file import load_with_layers
    from napari_sbd.layers import opened_layers

    opened: list[LayerData] = []
    for file in _each(path):
        opened += opened_layers(*load_with_layers(file, Recovery))
    return opened


def _each(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else [str(one) for one in path]
