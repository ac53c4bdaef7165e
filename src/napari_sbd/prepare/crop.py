"""Crop: a rectangle of the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import Operation, Outcome, outcome, stacked

LARGEST = 100_000


def crop(
    image: Any, mask: Any = None, *, top: int = 0, left: int = 0, bottom: int = 0, right: int = 0
) -> Outcome:
    """Cut so many pixels off each side.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    top, left, bottom, right : int
        Pixels cut off.

    Examples
    --------
    >>> done = crop(np.zeros((20, 30)), top=2, right=10)
    >>> done.data.shape, (done.matrix @ [0, 0, 1])[:2].tolist()
    ((18, 20), [2.0, 0.0])
    """
    data, used = stacked(image, mask, "crop", 1)
    rows, cols = data.shape[1:]
    if top + bottom >= rows or left + right >= cols:
        raise ValueError(
            f"crop takes {top + bottom} of {rows} rows and {left + right} of {cols} columns: leave some"
        )
    kept = np.s_[:, top : rows - bottom, left : cols - right]
    matrix = np.array([[1.0, 0.0, top], [0.0, 1.0, left], [0.0, 0.0, 1.0]])
    return outcome(image, data[kept], used[kept], matrix)


def _side(name: str, label: str) -> Setting:
    return Setting(
        name, label, "Pixels cut off this side of the image.", 0, unit="px", low=0, high=LARGEST, step=1
    )


OPERATION = Operation(
    name="crop",
    label="Crop",
    help="Cuts pixels off the sides of the image; positions still refer to the whole one.",
    settings=(_side("top", "Top"), _side("left", "Left"), _side("bottom", "Bottom"), _side("right", "Right")),
    function=crop,
)
