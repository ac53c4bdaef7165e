"""Scars: pieces of scan lines that lie above or below both neighbours, where tip or feedback slipped."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from napari_sbd.core.noise import robust_std
from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import ALONG, Bool, Operation, Outcome, Real, outcome, stacked

WEAKER = 0.5  # of the threshold, down to which a scar goes on


def scars(
    image: Any,
    mask: Any = None,
    *,
    threshold: float = 4.0,
    length: int = 16,
    width: int = 2,
    along: str = "rows",
) -> Outcome:
    """Replace scars by interpolation between the lines on either side, and mask them.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    threshold : float
        Least height over both neighbouring lines, in standard deviations of the lines' differences.
    length : int
        Least length in pixels.
    width : int
        Greatest number of lines.
    along : {'rows', 'columns'}
        Which way the scan lines run.

    Returns
    -------
    Outcome
        Found: ``mask`` of the scars, and the ``share`` of the image that they cover.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(40, 60))
    >>> image[17, 20:45] += 20
    >>> done = scars(image)
    >>> int(done.found["mask"].sum()), bool(done.data.max() < 6)
    (25, True)
    """
    data, used = stacked(image, mask, "scars", max(8, width + 2))
    if along not in ("rows", "columns"):
        raise ValueError(f"scars: along must be 'rows' or 'columns', not {along!r}")
    turned = along == "columns"
    found = np.zeros_like(used)
    for number, values in enumerate(data):
        lines = values.T if turned else values
        marked = scars_of(lines, threshold, length, width)
        repaired = _interpolated(lines, marked)
        data[number] = repaired.T if turned else repaired
        found[number] = marked.T if turned else marked
    found &= used
    return outcome(image, data, used & ~found, mask=found, share=float(found.mean()))


def scars_of(image: Real, threshold: float, length: int, width: int) -> Bool:
    """Mask of the scars along the rows of an image."""
    scale = robust_std(np.diff(image, axis=0))
    marked = np.zeros(image.shape, bool)
    if not scale > 0:
        return marked
    for sign in (1.0, -1.0):
        for lines in range(1, width + 1):
            marked |= _raised(sign * image, lines, threshold * scale, length)
    return marked


def _raised(image: Real, lines: int, height: float, length: int) -> Bool:
    """Scars of so many lines that lie above their neighbours."""
    rows = len(image) - lines - 1
    marked = np.zeros(image.shape, bool)
    if rows < 1:
        return marked
    lowest = np.min([image[1 + n : 1 + n + rows] for n in range(lines)], axis=0)
    beside = np.maximum(image[:rows], image[lines + 1 : lines + 1 + rows])
    long = _runs(lowest - beside, height, length)
    for n in range(lines):
        marked[1 + n : 1 + n + rows] |= long
    return marked


def _runs(lines: Real, height: float, length: int) -> Bool:
    """Runs along the lines, long enough, above the lower threshold, that reach the upper one somewhere."""
    runs, count = ndimage.label(lines > WEAKER * height, [[0, 0, 0], [1, 1, 1], [0, 0, 0]])
    reaching = np.zeros(count + 1, bool)
    reaching[runs[lines > height]] = True
    long = np.bincount(runs.ravel(), minlength=count + 1) >= length
    return np.asarray((reaching & long)[runs])


def _interpolated(image: Real, marked: Bool) -> Real:
    """Marked pixels by interpolation along their column."""
    repaired = image.copy()
    places = np.arange(len(image))
    for col in np.flatnonzero(marked.any(axis=0) & ~marked.all(axis=0)):
        bad = marked[:, col]
        repaired[bad, col] = np.interp(places[bad], places[~bad], image[~bad, col])
    return repaired


OPERATION = Operation(
    name="scars",
    label="Remove scars",
    help="Replaces and masks pieces of scan lines that lie above or below both neighbouring lines.",
    settings=(
        Setting(
            "threshold",
            "Threshold",
            "Least height over both neighbouring lines, in standard deviations of the lines' differences.",
            4.0,
            unit="σ",
            low=1.0,
            high=100.0,
            step=0.5,
        ),
        Setting(
            "length", "Least length", "Shorter pieces are kept.", 16, unit="px", low=2, high=1000, step=1
        ),
        Setting("width", "Most lines", "What is wider is no scar.", 2, unit="lines", low=1, high=16, step=1),
        ALONG,
    ),
    function=scars,
)
