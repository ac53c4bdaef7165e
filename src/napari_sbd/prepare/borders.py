"""Restless borders: lines along an edge in which more is left than anywhere else, masked."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import Bool, Operation, Outcome, Real, outcome, row_medians, stacked

SMALLEST = 16
SMOOTHED = 3  # lines, over whose median a line is judged
LARGEST_SHARE = 0.1  # of the image's side, masked along one edge at most


def borders(image: Any, mask: Any = None, *, factor: float = 1.5) -> Outcome:
    """Mask the lines along each edge that are more restless than the image.

    Where a scan begins or turns, piezos creep, and a lattice that is distorted there cannot be fitted like
    the rest of it. Pixel values stay; defects, which deviate in few pixels of a line, do not count.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    factor : float
        Least deviation of a line over the median line's.

    Returns
    -------
    Outcome
        Found: ``widths`` in lines of what is masked: top, bottom, left, right; of a stack the largest.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(80, 90))
    >>> image[:, :6] *= 3
    >>> borders(image).found["widths"]
    (0, 0, 6, 0)
    """
    data, used = stacked(image, mask, "borders", SMALLEST)
    widths = np.zeros(4, int)
    for values, inside in zip(data, used, strict=True):
        found = widths_of(values, inside, factor)
        _close(inside, found)
        widths = np.maximum(widths, found)
    return outcome(image, data, used, widths=tuple(int(n) for n in widths))


def widths_of(image: Real, mask: Bool, factor: float) -> tuple[int, int, int, int]:
    """How many lines are restless along the top, the bottom, the left and the right edge."""
    top, bottom = _ends(image, mask, factor)
    left, right = _ends(image.T, mask.T, factor)
    return top, bottom, left, right


def _ends(image: Real, mask: Bool, factor: float) -> tuple[int, int]:
    """Restless rows at the beginning and at the end."""
    away = np.abs(image - row_medians(image, mask)[:, None])
    spread = np.nan_to_num(row_medians(away, mask))  # rows without a pixel are calm
    calm = spread <= factor * np.median(spread)
    quiet = np.flatnonzero(ndimage.median_filter(calm.astype(int), SMOOTHED, mode="nearest"))
    most = int(LARGEST_SHARE * len(image))
    if not len(quiet):
        return 0, 0
    return min(most, int(quiet[0])), min(most, len(image) - 1 - int(quiet[-1]))


def _close(mask: Bool, widths: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = widths
    mask[:top] = mask[len(mask) - bottom :] = False
    mask[:, :left] = mask[:, mask.shape[1] - right :] = False


OPERATION = Operation(
    name="borders",
    label="Mask restless borders",
    help="Masks lines along the edges in which far more is left than elsewhere, such as a lattice distorted "
    "by creep at the start of the scan.",
    settings=(
        Setting(
            "factor",
            "Factor",
            "Least deviation of a line over that of the median line.",
            1.5,
            low=1.1,
            high=10.0,
            step=0.1,
        ),
    ),
    function=borders,
)
