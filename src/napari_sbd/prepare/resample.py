"""Resample: fewer or more pixels on the same frame, with the pixel size that belongs to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from skimage.transform import resize

from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import Operation, Outcome, Real, outcome, stacked

WHOLE = 0.999  # share of a new pixel that has to count


def resample(image: Any, mask: Any = None, *, factor: float = 0.5) -> Outcome:
    """Give an image so many times the pixels along each side; before fewer are taken, it is smoothed.

    The frame stays the same, so that a new pixel is exactly rows / new rows old ones high; splines of third
    order go between the pixels.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts; a new pixel counts where all that it is made of does.
    factor : float
        Below 1 for fewer pixels, above 1 for more.

    Examples
    --------
    >>> done = resample(np.ones((30, 41)), factor=0.5)
    >>> done.data.shape, np.diag(done.matrix)[:2].round(3).tolist()
    ((15, 20), [2.0, 2.05])
    """
    data, used = stacked(image, mask, "resample", 2)
    if not factor > 0:
        raise ValueError(f"resample: factor must be positive, not {factor!r}")
    shape = tuple(max(1, round(factor * n)) for n in data.shape[1:])
    if min(shape) < 2:
        raise ValueError(f"resample leaves {shape[0]}×{shape[1]} px: choose a larger factor")
    new = np.stack([_resized(values, shape, 3, factor < 1) for values in data])
    inside = np.stack([_resized(seen.astype(float), shape, 1, factor < 1) > WHOLE for seen in used])
    ratios = np.array([n / m for m, n in zip(shape, data.shape[1:], strict=True)])
    matrix = np.diag([*ratios, 1.0])
    # The frame's corner stays, not the first pixel's centre.
    matrix[:2, 2] = (ratios - 1) / 2
    return replace(outcome(image, new, inside, matrix), scale=(float(ratios[0]), float(ratios[1])))


def _resized(image: Real, shape: tuple[int, ...], order: int, smooth: bool) -> Real:
    how = {"order": order, "mode": "reflect", "anti_aliasing": smooth, "preserve_range": True}
    return np.asarray(resize(image, shape, **how))  # type: ignore[no-untyped-call]


OPERATION = Operation(
    name="resample",
    label="Resample",
    help="Gives the image fewer or more pixels on the same frame; the pixel size follows.",
    settings=(
        Setting(
            "factor",
            "Factor",
            "New pixels for each old one, along each side: 0.5 halves the image.",
            0.5,
            low=0.05,
            high=8.0,
            step=0.05,
        ),
    ),
    function=resample,
)
