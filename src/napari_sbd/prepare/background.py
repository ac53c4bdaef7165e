"""Background: a plane or a polynomial of higher degree that defects do not tilt."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.harmonics import Harmonics
from napari_sbd.prepare.operation import Bool, Operation, Outcome, Real, outcome, stacked

ROUNDS = 30  # at most


def background(image: Any, mask: Any = None, *, degree: int = 1) -> Outcome:
    """Subtract the polynomial in rows and columns that fits the image best, defects left out of account.

    Least squares with Tukey's weights: a pixel that deviates by more than four robust standard deviations
    does not count.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    degree : int
        Of the polynomial: 0 a constant, 1 a plane, 2 a paraboloid.

    Returns
    -------
    Outcome
        Found: ``removed`` what was subtracted.

    Examples
    --------
    >>> rows, cols = np.indices((40, 50))
    >>> image = 3.0 + 0.2 * rows - 0.1 * cols
    >>> image[10:20, 10:20] += 100
    >>> flat = background(image).data
    >>> bool(abs(np.delete(flat, range(10, 20), axis=0)).max() < 1e-3)
    True
    """
    data, used = stacked(image, mask, "background", max(8, degree + 2))
    removed = smooth_background(data, used, degree)
    return outcome(image, data - removed, used, removed=removed)


def smooth_background(data: Real, mask: Bool, degree: int) -> Real:
    """Robust polynomial of each slice of a stack."""
    harmonics = Harmonics(data.shape[1:], np.zeros((0, 2)), (0, 0), (degree, degree))
    removed = np.zeros_like(data)
    for number, (values, used) in enumerate(zip(data, mask, strict=True)):
        if used.any():
            middle = float(np.median(values[used]))
            found, *_ = harmonics.fit(values - middle, used, ROUNDS)
            removed[number] = middle + harmonics.image(found)
    return removed


OPERATION = Operation(
    name="background",
    label="Subtract background",
    help="Subtracts a plane or a polynomial of higher degree. Defects do not tilt it.",
    settings=(
        Setting(
            "degree",
            "Degree",
            "Degree of the polynomial: 0 subtracts a constant, 1 a plane, 2 a paraboloid.",
            1,
            low=0,
            high=8,
            step=1,
        ),
    ),
    function=background,
)
