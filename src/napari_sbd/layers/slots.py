"""Slots: where the layers of a run go among those of earlier runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.layers.source import NAMESPACE, Source, source_of

Real = NDArray[np.floating]

ROLES = ("reconstruction", "residual", "kernel", "kernel error", "activation", "orientation", "defects")
GAP_SHARE = 0.04  # of the image's width, between image and kernel


@dataclass(frozen=True)
class Slot:
    """Where the layers of a run go among those of earlier runs.

    Parameters
    ----------
    number : int
        The run's number, from 1: in the layers' names from the second on, and in the rings' colour.
    row : int
        First row of the kernels, in the image's pixels.
    """

    number: int = 1
    row: int = 0


FIRST = Slot()


def free_slot(source: Source, kernels: Real, shape: tuple[int, int], existing: Iterable[Any]) -> Slot:
    """The first slot whose names do not exist yet, and where the kernels lie on no other's.

    Parameters
    ----------
    source : Source
    kernels : array (types, slices, k1, k2)
    shape : tuple of int
        Rows and columns of the image.
    existing : iterable of napari layers
    """
    layers = list(existing)
    names = [layer.name for layer in layers]
    number = 1
    while any(_is_of_run(name, source.name, number) for name in names):
        number += 1
    gap = gap_beside(shape)
    left, height = shape[1] + gap, len(kernels) * (kernels.shape[-2] + gap)
    boxes = [_box_of(layer, source) for layer in layers if role_of(layer) == "kernel"]
    boxes = [(low, high) for low, high in boxes if low[1] < left + kernels.shape[-1] and high[1] > left]
    row = 0
    for low, high in sorted(boxes, key=lambda box: float(box[0][0])):
        if low[0] < row + height and high[0] > row:
            row = int(np.ceil(high[0] - 1e-6)) + gap
    return Slot(number, row)


def slot_of(kernels: Iterable[Any], source: Source) -> Slot:
    """The slot of a run that has these kernel layers."""
    layers = list(kernels)
    if not layers:
        return FIRST
    number = re.search(r" \[(\d+)\]$", layers[0].name)
    row = min(float(_box_of(layer, source)[0][0]) for layer in layers)
    return Slot(int(number[1]) if number else 1, round(row))


def _is_of_run(name: str, source_name: str, number: int) -> bool:
    suffix = suffix_of(number)
    own = rf"{re.escape(source_name)} · ({'|'.join(ROLES)})( \d+)?{re.escape(suffix)}"
    return re.fullmatch(own, name) is not None


def suffix_of(number: int) -> str:
    """What a run's number adds to the names of its layers."""
    return f" [{number}]" if number > 1 else ""


def gap_beside(shape: tuple[int, int]) -> int:
    """Pixels between an image of this shape and its kernels, and between these."""
    return max(2, round(GAP_SHARE * shape[1]))


def _box_of(layer: Any, source: Source) -> tuple[Real, Real]:
    """Lowest and highest (row, col) that a layer covers, in the source's pixels from the first one's edge."""
    rows, cols = layer.data.shape[-2:]
    ends = [(r - 0.5, c - 0.5, 1.0) for r in (0, rows) for c in (0, cols)]
    corners = (source.pixels_of(source_of(layer)) @ np.transpose(ends))[:2] + 0.5
    return corners.min(1), corners.max(1)


def role_of(layer: Any) -> str | None:
    """What a layer holds if a recovery made it ("kernel", "residual"…), else None."""
    own = layer.metadata.get(NAMESPACE)
    return own.get("role") if isinstance(own, dict) else None
