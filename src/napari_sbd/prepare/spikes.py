"""Spikes: single pixels that have nothing to do with their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from napari_sbd.core.noise import robust_std
from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import Bool, Operation, Outcome, Real, outcome, stacked

ALONE = 0.3  # of a spike's height, more of which no neighbour may have


def spikes(image: Any, mask: Any = None, *, threshold: float = 8.0) -> Outcome:
    """Replace single pixels that stand out from all their neighbours by the neighbours' median.

    The pixels are masked, too. A defect, however sharp, spreads over more than one pixel and is kept.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    threshold : float
        Least height, in standard deviations of the differences to the neighbours' median.

    Returns
    -------
    Outcome
        Found: ``mask`` of the spikes, and their ``count``.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(30, 30))
    >>> image[12, 20] = 50
    >>> spikes(image).found["count"]
    1
    """
    data, used = stacked(image, mask, "spikes")
    found = np.zeros_like(used)
    for number, values in enumerate(data):
        found[number], smooth = spikes_of(values, threshold)
        data[number] = np.where(found[number], smooth, values)
    found &= used
    return outcome(image, data, used & ~found, mask=found, count=int(found.sum()))


def spikes_of(image: Real, threshold: float) -> tuple[Bool, Real]:
    """Spikes of an image, and the medians of the pixels' neighbours."""
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    smooth = ndimage.median_filter(image, footprint=ring, mode="nearest")
    height = np.abs(image - smooth)
    high = height > max(threshold * robust_std(image - smooth), 1e-9 * float(np.ptp(image)))
    around = ndimage.maximum_filter(np.abs(image - smooth), footprint=ring, mode="nearest")
    return high & (around < ALONE * height), np.asarray(smooth)


OPERATION = Operation(
    name="spikes",
    label="Remove spikes",
    help="Replaces and masks single pixels that have nothing to do with their neighbours.",
    settings=(
        Setting(
            "threshold",
            "Threshold",
            "Least height over the neighbours, in standard deviations.",
            8.0,
            unit="σ",
            low=3.0,
            high=100.0,
            step=0.5,
        ),
    ),
    function=spikes,
)
