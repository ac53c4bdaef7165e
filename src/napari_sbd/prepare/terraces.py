"""Terraces: step edges masked, and the terraces between them brought to one height."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.segmentation import watershed

from napari_sbd.core.noise import robust_std
from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import Bool, Operation, Outcome, Real, biweight, filled, outcome, stacked

SMALLEST = 24
SMOOTH = 1.5  # px over which slopes are taken
WEAKER = 0.5  # of the threshold, down to which a step edge goes on
ROUNDS = 10
REJECTED = 4.0

Labels = NDArray[np.intp]


def terraces(
    image: Any,
    mask: Any = None,
    *,
    treat: str = "level",
    threshold: float = 6.0,
    smallest: float = 0.04,
    width: int = 3,
) -> Outcome:
    """Find step edges, mask them, and bring the terraces between them to one height.

    Edges are where the image is steep; what they cut off is a terrace if it is large enough, and otherwise,
    like a defect, part of the terrace around it. One plane and a height for each terrace are fitted together,
    robustly.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    treat : {'level', 'mask'}
        Level the terraces and mask the edges, or mask the edges only.
    threshold : float
        Least slope of an edge, in standard deviations of the image's slopes.
    smallest : float
        Least share of the image that a terrace covers.
    width : int
        Pixels on either side of an edge that are masked.

    Returns
    -------
    Outcome
        Found: ``mask`` of the edges, ``labels`` of the terraces and their ``heights``, of the first slice.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(0, 0.1, (60, 60))
    >>> image[:, 25:] += 5
    >>> done = terraces(image)
    >>> float(np.ptp(done.found["heights"]).round(1)), float(done.data.std().round(1))
    (5.0, 0.1)
    """
    data, used = stacked(image, mask, "terraces", SMALLEST)
    if treat not in ("level", "mask"):
        raise ValueError(f"terraces: treat must be 'level' or 'mask', not {treat!r}")
    edges = np.zeros_like(used)
    first: dict[str, Any] = {"labels": np.zeros(data.shape[1:], int), "heights": np.zeros(1)}
    for number, (values, inside) in enumerate(zip(data, used, strict=True)):
        labels = terraces_of(values, threshold, smallest)
        heights = terrace_heights(values, inside, labels)
        if number == 0:
            first = {"labels": labels, "heights": heights}
        edges[number] = _between(labels, width)
        levelled = values - heights[labels] if treat == "level" else values
        data[number] = filled(levelled, inside & ~edges[number])
    edges &= used
    return outcome(image, data, used & ~edges, mask=edges, **first)


def terraces_of(image: Real, threshold: float, smallest: float) -> Labels:
    """Number of the terrace of each pixel, from 0."""
    slopes = [
        ndimage.gaussian_filter(image, SMOOTH, order=order, mode="nearest") for order in ((1, 0), (0, 1))
    ]
    # The tilt of the whole is no edge.
    flat = [slope - np.median(slope) for slope in slopes]
    scales = [robust_std(slope) or float(slope.std()) or 1.0 for slope in flat]
    steep = np.hypot(*(slope / scale for slope, scale in zip(flat, scales, strict=True)))
    edges = apply_hysteresis_threshold(steep, WEAKER * threshold, threshold)  # type: ignore[no-untyped-call]
    pieces, count = ndimage.label(~edges)
    sizes = ndimage.sum_labels(~edges, pieces, np.arange(1, count + 1))
    large = 1 + np.flatnonzero(sizes >= smallest * image.size)
    if len(large) < 2:
        return np.zeros(image.shape, int)
    markers = np.zeros(image.shape, int)
    for number, piece in enumerate(large):
        markers[pieces == piece] = 1 + number
    return np.asarray(watershed(steep, markers)) - 1  # type: ignore[no-untyped-call]


def terrace_heights(image: Real, mask: Bool, labels: Labels) -> Real:
    """Height of each terrace, by a robust fit together with one plane; their median is 0, by area."""
    count = int(labels.max()) + 1
    if count < 2:
        return np.zeros(1)
    rows, cols = (np.linspace(-1, 1, n) for n in image.shape)
    tilt = np.stack(np.broadcast_arrays(rows[:, None], cols), axis=-1).reshape(-1, 2)
    unit = float(np.ptp(image)) or 1.0
    columns = np.concatenate([np.eye(count)[labels.ravel()], tilt], axis=1)
    seen, inside = (image / unit).ravel(), mask.ravel()
    weights = inside.astype(float)
    found = np.zeros(columns.shape[1])
    for _ in range(ROUNDS):
        weighted = columns * weights[:, None]
        found = np.linalg.lstsq(weighted.T @ columns, weighted.T @ seen, rcond=None)[0]
        weights = biweight(seen - columns @ found, inside, REJECTED)
    heights = found[:count] * unit
    return np.asarray(heights - np.median(heights[labels]))


def _between(labels: Labels, width: int) -> Bool:
    """Pixels near the border between two terraces."""
    border = ndimage.maximum_filter(labels, 2) != ndimage.minimum_filter(labels, 2)
    return np.asarray(ndimage.binary_dilation(border, iterations=width)) if width else border


OPERATION = Operation(
    name="terraces",
    label="Step edges",
    help="Finds step edges and masks them; brings the terraces between them to one height.",
    settings=(
        Setting(
            "treat",
            "Terraces",
            "Level the terraces and mask the edges, or only mask the edges.",
            "level",
            choices=("level", "mask"),
            choice_labels=("Level", "Leave as they are"),
        ),
        Setting(
            "threshold",
            "Threshold",
            "Least slope of an edge, in standard deviations of the image's slopes.",
            6.0,
            unit="σ",
            low=1.0,
            high=100.0,
            step=0.5,
        ),
        Setting(
            "smallest",
            "Smallest terrace",
            "Least share of the image that a terrace covers; what is smaller belongs to the one around it.",
            0.04,
            low=0.001,
            high=0.5,
            step=0.01,
        ),
        Setting(
            "width",
            "Margin",
            "Pixels masked on either side of an edge.",
            3,
            unit="px",
            low=0,
            high=50,
            step=1,
        ),
    ),
    function=terraces,
)
