"""What kernels have beyond their windows, roughly: whether it is worth while to fit them in larger ones."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites
from napari_sbd.core.verdict import residual_of
from napari_sbd.core.window import most_gained, padded

Real = NDArray[np.floating]

APART = 4.0  # windows of defects over the image's area, up to which these overlap little
AT_ONCE = 256  # sites whose patches are read together


def may_gain(objective: Objective, found: Iterate, least: float) -> bool:
    """Whether a kernel moved within its window may have so much more of its energy inside.

    One step down the gradient tells, if defects overlap little: then the normal matrix is nearly a multiple
    of one. Where they do not, the answer is yes.
    """
    sites, (k1, k2) = Sites.of(found.maps), objective.convolution.kernel_shape
    rows, cols = objective.convolution.image_shape
    if len(sites) * k1 * k2 > APART * rows * cols:
        return True
    kernels = padded(found.kernels, (k1 // 2, k2 // 2)) - _steps(objective, found, sites)
    return most_gained(kernels, (k1, k2)) >= least


def _steps(objective: Objective, found: Iterate, sites: Sites) -> Real:
    """What is left around the sites, weighted with their amplitudes, in windows lifted by half."""
    rest, (k1, k2) = residual_of(objective, found), objective.convolution.kernel_shape
    shape = (len(found.kernels), len(rest), k1 + 2 * (k1 // 2), k2 + 2 * (k2 // 2))
    around = padded(rest, (k1 - 1 + k1 // 2, k2 - 1 + k2 // 2))
    views = sliding_window_view(around, shape[2:], axis=(1, 2))
    amplitudes, steps = sites.read(found.maps), np.zeros(shape, rest.dtype)
    for kind, step in enumerate(steps):
        here = np.flatnonzero(sites.kinds == kind)
        for first in range(0, len(here), AT_ONCE):
            some = here[first : first + AT_ONCE]
            for number, image in enumerate(views):
                patches = image[sites.rows[some], sites.cols[some]].reshape(len(some), -1)
                step[number] += (amplitudes[some] @ patches).reshape(shape[2:])
        step /= max(float(np.square(amplitudes[here], dtype=float).sum()), 1e-30)
    return steps
