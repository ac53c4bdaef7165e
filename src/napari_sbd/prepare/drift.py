"""Drift: the shear and stretch by which the image of a known lattice differs from that lattice."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from scipy import ndimage

from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import Operation, Outcome, Real, outcome, stacked
from napari_sbd.prepare.peaks import PROMINENCE, bragg_peaks

SMALLEST = 32
PEAKS = 14  # among which the lattice's own are looked for
TOLERANCE = 1.5  # bins by which a third peak may miss the sum of two
ANGLE, RATIO = 22.0, 1.35  # degrees and ratio of lengths that drift may change
MOST = 0.5


def drift(
    image: Any,
    mask: Any = None,
    *,
    symmetry: str = "hexagonal",
    prominence: float = 8.0,
    pixel_size: tuple[float, float] = (1.0, 1.0),
) -> Outcome:
    """Undo a steady drift, judged by the lattice, which is known to be hexagonal or square.

    While a line is scanned the sample hardly moves, so lengths along the rows are right. From row to row it
    does: a shear, and a stretch across. These two numbers follow from two peaks of the Fourier transform and
    the lattice's symmetry.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
        Rows are the scan lines.
    mask : array of bool, optional
        True where a pixel counts. What comes in from outside the frame does not.
    symmetry : {'hexagonal', 'square'}
        Of the undistorted lattice.
    prominence : float
        Least height of a peak over the spectrum around it.
    pixel_size : tuple of float
        Along rows and columns: a lattice is regular in lengths, not in pixels.

    Returns
    -------
    Outcome
        Found: ``peaks`` of the lattice, in cycles per pixel; ``shear`` in columns per row and ``stretch`` as
        a share of the rows, both of the image given.

    Raises
    ------
    ValueError
        If the image shows no lattice that could be the one meant.

    Examples
    --------
    >>> rows, cols = np.indices((96, 96))
    >>> true_cols = cols - 0.05 * rows
    >>> done = drift(np.cos(0.9 * true_cols) + np.cos(0.9 * rows), symmetry="square")
    >>> round(done.found["shear"], 2), round(abs(done.found["stretch"]), 2)
    (0.05, 0.0)
    """
    data, used = stacked(image, mask, "drift", SMALLEST)
    if symmetry not in ("hexagonal", "square"):
        raise ValueError(f"drift: symmetry must be 'hexagonal' or 'square', not {symmetry!r}")
    lengths = np.array(pixel_size)
    peaks = bragg_peaks(data, PEAKS, prominence)
    pair = _basis(peaks / lengths, symmetry, np.array(data.shape[1:]) * lengths)
    if pair is None:
        raise ValueError(
            f"drift: the image shows no {symmetry} lattice: choose the other symmetry, lower the "
            "prominence, or leave this step out"
        )
    shear, stretch = shear_and_stretch(pair, symmetry)
    if not (abs(shear) <= MOST and abs(stretch) <= MOST):
        raise ValueError(
            f"drift: a {symmetry} lattice would have to be sheared by {shear:.2f} and stretched by "
            f"{stretch:.2f}: choose the other symmetry, or leave this step out"
        )
    shear *= float(lengths[0] / lengths[1])
    matrix, shape = _placed(shear, stretch, data.shape[1:])
    grid = np.indices(shape).reshape(2, -1)
    source = (matrix[:2, :2] @ grid + matrix[:2, 2:]).reshape(2, *shape)
    new = np.stack([ndimage.map_coordinates(values, source, order=3, mode="nearest") for values in data])
    seen = np.stack(
        [ndimage.map_coordinates(m.astype(float), source, order=1, cval=0.0) > 0.999 for m in used]
    )
    return outcome(image, new, seen, matrix, peaks=pair * lengths, shear=shear, stretch=stretch)


def shear_and_stretch(pair: Real, symmetry: str) -> tuple[float, float]:
    """Columns per row by which rows are displaced, and the share by which the image is too high.

    With q(k) = p r² + s r c + t c² the square of the true length of a peak at (r, c), the lattice's symmetry
    gives p, s and t up to a factor, and along the columns nothing is distorted.
    """

    def product(a: Real, b: Real) -> list[float]:
        return [a[0] * b[0], (a[0] * b[1] + a[1] * b[0]) / 2, a[1] * b[1]]

    first, second = pair
    cosine = 0.5 if symmetry == "hexagonal" else 0.0
    rows = [product(first, first), product(second, second), product(first, second)]
    p, s, t = np.linalg.solve(np.array(rows), [1.0, 1.0, cosine])
    lean = -s / (2 * p)
    return float(-lean), float(np.sqrt(max(t / p - lean**2, 1e-6)) ** -1 - 1)


def _basis(peaks: Real, symmetry: str, frame: Real) -> Real | None:
    """The two highest peaks that can be the lattice's, at an angle of about 60 or 90 degrees.

    Peaks and the frame's size are in one unit of length.
    """
    right = 60.0 if symmetry == "hexagonal" else 90.0
    for first, second in combinations(peaks, 2):
        for sign in (1, -1):
            pair = np.array([first, sign * second])
            lengths = np.linalg.norm(pair, axis=1)
            cosine = np.clip(pair[0] @ pair[1] / lengths.prod(), -1, 1)
            if abs(np.degrees(np.arccos(cosine)) - right) > ANGLE or lengths.max() > RATIO * lengths.min():
                continue
            third = pair[0] - pair[1]
            misses = np.abs(np.concatenate([peaks - third, peaks + third]) * frame).max(axis=1)
            if symmetry == "square" or misses.min() < TOLERANCE:
                return pair
    return None


def _placed(shear: float, stretch: float, shape: tuple[int, ...]) -> tuple[Real, tuple[int, int]]:
    """Matrix from new pixels to those given, and the shape of a frame that holds all of them."""
    rows, cols = shape
    height = 1 / (1 + stretch)
    # new row = row · height, new col = col - shear · row
    lean = shear * (rows - 1)
    left = min(0.0, -lean)
    size = (round((rows - 1) * height) + 1, cols + int(np.ceil(abs(lean))))
    matrix = np.array([[1 / height, 0.0, 0.0], [shear / height, 1.0, left], [0.0, 0.0, 1.0]])
    return matrix, size


OPERATION = Operation(
    name="drift",
    label="Undo drift",
    help="Undoes the shear and stretch of a steady drift, judged by the lattice, whose symmetry is known.",
    settings=(
        Setting(
            "symmetry",
            "Lattice",
            "Symmetry of the undistorted lattice.",
            "hexagonal",
            choices=("hexagonal", "square"),
            choice_labels=("Hexagonal", "Square"),
        ),
        replace(PROMINENCE, advanced=True),
    ),
    function=drift,
    physical=True,
)
