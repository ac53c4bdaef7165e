"""Line levelling: scan lines brought to one height."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import Bool, Operation, Outcome, Real, outcome, row_medians, stacked

AXES = {"rows": (1,), "columns": (2,), "both": (1, 2)}


def lines(image: Any, mask: Any = None, *, along: str = "rows", reach: float = 5.0) -> Outcome:
    """Bring scan lines to one height.

    From line to line the offset is the median of the pixels' differences, in which whatever both lines share
    cancels. Summed up over many lines their errors would grow like a random walk; so changes slower than
    `reach` lines are taken from the lines' own medians.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    along : {'rows', 'columns', 'both'}
        Which way the lines run; both levels rows first, then columns.
    reach : float
        Lines over which differences are trusted.

    Returns
    -------
    Outcome
        Found: ``removed`` what was subtracted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.normal(size=(50, 40)) + 10 * rng.normal(size=(50, 1))
    >>> round(float(lines(image).data.std()))
    1
    """
    data, used = stacked(image, mask, "lines")
    if along not in AXES:
        raise ValueError(f"lines: along must be 'rows', 'columns' or 'both', not {along!r}")
    removed = np.zeros_like(data)
    for axis in AXES[along]:
        for number, (values, inside) in enumerate(zip(data - removed, used, strict=True)):
            flipped = axis == 2
            offsets = line_offsets(values.T if flipped else values, inside.T if flipped else inside, reach)
            removed[number] += offsets if flipped else offsets[:, None]
    return outcome(image, data - removed, used, removed=removed)


def line_offsets(image: Real, mask: Bool, reach: float) -> Real:
    """Offset of each row of an image; their median is 0."""
    medians = _row_medians(image, mask)
    steps = _row_medians(np.diff(image, axis=0), mask[1:] & mask[:-1], missing=np.diff(medians))
    summed = np.concatenate([[0.0], np.cumsum(steps)])
    offsets = summed + ndimage.gaussian_filter1d(medians - summed, reach, mode="nearest")
    return np.asarray(offsets - np.median(offsets))


def _row_medians(image: Real, mask: Bool, missing: Real | None = None) -> Real:
    """Median of each row's pixels that count; of rows without one, the value given or the nearest row's."""
    found = row_medians(image, mask)
    empty = np.isnan(found)
    if missing is not None:
        return np.where(empty, missing, found)
    if empty.all():
        return np.zeros_like(found)
    places = np.arange(len(found))
    return np.asarray(np.interp(places, places[~empty], found[~empty]))


OPERATION = Operation(
    name="lines",
    label="Level lines",
    help="Brings scan lines to one height by the median of the differences between neighbours.",
    settings=(
        Setting(
            "along",
            "Lines along",
            "Which way the scan lines run; both levels rows first, then columns.",
            "rows",
            choices=("rows", "columns", "both"),
            choice_labels=("Rows", "Columns", "Both"),
        ),
        Setting(
            "reach",
            "Reach",
            "Changes over fewer lines than this are taken from the differences of neighbours, slower ones "
            "from the lines' own medians.",
            5.0,
            unit="lines",
            low=0.5,
            high=1000.0,
            step=0.5,
            advanced=True,
        ),
    ),
    function=lines,
)
