"""Broadening: what sampling does to kernels, told by a simulated image, and undone.

At a raised temperature places scatter about where defects are, and kernels fitted to them are too broad. By
how much depends on noise, crowd and kernel: an image made of what was found, sampled alike, shows it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sampling import AS_GIVEN, HELD, sample_places
from napari_sbd.core.sphere import project
from napari_sbd.core.steps import Snapshot, Steps
from napari_sbd.core.subpixel import cores_on_pixels

Real = NDArray[np.floating]

SWEEPS, RELAXED = 20, 9  # in the simulated image, and those after which kernels are nearly as broad as there
NARROW, BROAD = 1.0, 1.5  # px: two Gaussians, whose difference is the direction in which a kernel broadens


def narrowed(objective: Objective, found: Iterate, penalty: Penalty, seed: int) -> Steps:
    """The same with kernels as broad as before sampling, and their cores on pixels.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        Sampled kernels, and a map that was drawn.
    penalty : Penalty
        Whether amplitudes must be nonnegative.
    seed : int
        Of the simulated noise, and of the sampling.
    """
    heat, later = replace(AS_GIVEN, begin=1.0, most=SWEEPS, chains=1), []
    steps = sample_places(_simulated(objective, found, seed), found, penalty.nonnegative, seed, heat)
    for number, drawn in enumerate(steps):
        if number >= RELAXED:
            later.append(drawn.kernels)
        yield Snapshot("sampling", penalty.lam, found)
    if not later:
        return found
    ways = _broader(found.kernels)
    broadened = np.mean(later, axis=0) - found.kernels
    kernels = project(found.kernels - _along(broadened, ways) * ways)
    return replace(found, kernels=cores_on_pixels(kernels, HELD))


def _simulated(objective: Objective, found: Iterate, seed: int) -> Objective:
    """The image that these kernels and maps make, with white noise of the power that they leave."""
    left = objective.left(found.kernels, found.maps)
    count = objective.mask.sum((1, 2))
    noise = np.sqrt(np.square(left, dtype=float).sum((1, 2)) / count)
    draws = np.random.default_rng([seed, SWEEPS]).standard_normal(left.shape) * noise[:, None, None]
    return objective.replaced((objective.centred + left + draws).astype(left.dtype))


def _broader(kernels: Real) -> Real:
    """The direction on the sphere in which each kernel broadens, of unit norm."""
    narrow, broad = (
        ndimage.gaussian_filter(kernels, (0, 0, width, width), mode="constant") for width in (NARROW, BROAD)
    )
    way = broad - narrow
    return project(way - _along(way, kernels) * kernels)


def _along(moves: Real, ways: Real) -> Real:
    """By how much each kernel moves in a direction of unit norm."""
    return np.asarray((moves * ways).sum((1, 2, 3), keepdims=True))
