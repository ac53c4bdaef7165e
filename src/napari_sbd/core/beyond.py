"""What one step tells where defects hardly overlap: whether kernels go on beyond their windows."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites
from napari_sbd.core.sphere import project
from napari_sbd.core.verdict import residual_of
from napari_sbd.core.window import most_gained, padded

Real = NDArray[np.floating]

FEWEST = 12  # activations
APART = 4.0  # windows of defects over the image's area, up to which these overlap little
# Products of activations so many px apart, over their squares, up to which few defects are split over pixels.
BESIDE, SPLIT = 2.9, 0.2
AT_ONCE = 256  # sites whose patches are read together
TINY = 1e-30


def stand_apart(objective: Objective, found: Iterate) -> bool:
    """Whether defects overlap so little, and are split so rarely, that each may be looked at alone.

    Not in large images, of which whole copies cost more than that saves.
    """
    if not objective.in_one_piece:
        return False
    sites, (k1, k2) = found.sites, objective.convolution.kernel_shape
    if len(sites) < FEWEST or len(sites) * k1 * k2 > APART * objective.data[0].size:
        return False
    sizes = np.abs(sites.read(found.maps))
    places = np.column_stack([sites.rows, sites.cols])
    one, other = spatial.KDTree(places).query_pairs(BESIDE, output_type="ndarray").T
    return bool(2 * np.vdot(sizes[one], sizes[other]) <= SPLIT * np.vdot(sizes, sizes))


def may_gain(objective: Objective, found: Iterate, least: float) -> bool:
    """Whether a kernel moved within its window may have so much more of its energy inside."""
    seen = seen_beyond(objective, found)
    return seen is None or most_gained(seen, objective.convolution.kernel_shape) >= least


def seen_beyond(objective: Objective, found: Iterate) -> Real | None:
    """Kernels in windows lifted by half, by one step down the gradient; None where defects overlap.

    Where they do not, the normal matrix is nearly a multiple of one.
    """
    if not stand_apart(objective, found):
        return None
    sites, window = found.sites, objective.convolution.kernel_shape
    margin = window[0] // 2, window[1] // 2
    kernels, views = padded(found.kernels, margin), left_around(objective, found, margin)
    for kind, kernel in enumerate(kernels):
        own = sites.chosen(sites.kinds == kind)
        amplitudes, steps = own.read(found.maps), np.zeros(kernel.size, kernel.dtype)
        for first in range(0, len(own), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            steps += amplitudes[some] @ patches(views, own.chosen(some))
        kernel -= steps.reshape(kernel.shape) / max(float(np.square(amplitudes, dtype=float).sum()), TINY)
    return project(kernels)


def left_around(objective: Objective, found: Iterate, margin: tuple[int, int]) -> Real:
    """Model less image in every place's patch, so much larger on each side: views of one array."""
    window, rest = objective.convolution.kernel_shape, residual_of(objective, found)
    around = padded(rest, (window[0] - 1 + margin[0], window[1] - 1 + margin[1]))
    larger = tuple(k + 2 * m for k, m in zip(window, margin, strict=True))
    return sliding_window_view(around, larger, axis=(1, 2))


def patches(views: Real, sites: Sites) -> Real:
    """Those of sites, (sites, pixels of all slices)."""
    return np.asarray(views[:, sites.rows, sites.cols].swapaxes(0, 1).reshape(len(sites), -1))
