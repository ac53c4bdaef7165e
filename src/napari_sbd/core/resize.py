"""A window that fits the kernel, once its activation map is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.beyond import may_gain
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import TOLERANCE, fit_kernels
from napari_sbd.core.kernel_size import support
from napari_sbd.core.noise import grain, robust_std
from napari_sbd.core.objective import Objective
from napari_sbd.core.parameters import SMALLEST_WINDOW
from napari_sbd.core.symmetry import Ties
from napari_sbd.core.tied import fit_tied
from napari_sbd.core.tied_moves import recentre_tied
from napari_sbd.core.window import crop, energy_gained, lift, recentre

Real = NDArray[np.floating]

GROWTH = 3  # of the window in which the kernel's whole extent is looked for
LARGEST_SHARE = 0.5  # of the image's side
WORTH_MOVING = 2e-3  # of the kernel's energy, gained by another window
LIKELY = 0.1  # of that, from which one step down the gradient says that it may be so
ROUGH = 1e-3  # of the normal equations, where only a kernel's place is wanted
WORTH = 0.1  # relative change of the window below which it stays


def resized(
    objective: Objective,
    found: Iterate,
    ties: Ties | None = None,
    most: tuple[int, int] | None = None,
) -> tuple[Objective, Iterate]:
    """The window that holds the kernel found, at `most` so large; both as they are where that fits.

    With the map known, least squares show the kernel in a window three times as large, and where it ends.
    """
    window = objective.convolution.kernel_shape
    wide, seen = seen_wide(objective, found, ties, GROWTH)
    rest = wide.left(seen.kernels, seen.maps)
    spread = robust_std(rest[wide.mask])
    noise = spread / max(float(np.linalg.norm(seen.maps)), float(np.finfo(np.float32).tiny))
    extent = grain(rest, wide.mask)
    sizes = [support(kernel, noise, extent) for kernel in seen.kernels]
    limits = most or wide.convolution.kernel_shape
    largest = [
        min(n, limit, max(SMALLEST_WINDOW, max(pair)))
        for n, limit, pair in zip(
            wide.convolution.kernel_shape, limits, zip(*sizes, strict=True), strict=True
        )
    ]
    size = (largest[0], largest[1])
    if all(abs(new - old) <= WORTH * old for new, old in zip(size, window, strict=True)):
        return objective, found
    kernels, maps, _ = _recentre(seen, size, ties)
    kernels, maps = crop(kernels, maps, size)
    return objective.with_window(size), Iterate(kernels, maps, np.inf)


def recentred(objective: Objective, found: Iterate, ties: Ties | None = None) -> Iterate:
    """Move each kernel to the window that holds more of it, where least squares with its map known show one.

    A kernel that settled as a shift truncation lacks an edge; what lies beyond the window is seen by lifting
    it half a window.
    """
    if not found.maps.any(axis=(1, 2)).all():
        return found
    if ties is None and not may_gain(objective, found, LIKELY * WORTH_MOVING):
        return found
    window = objective.convolution.kernel_shape
    _, seen = seen_wide(objective, found, ties, tolerance=ROUGH)
    kernels, maps, moved = _recentre(seen, window, ties)
    if not moved or energy_gained(seen.kernels, kernels, window) < WORTH_MOVING:
        return found
    kernels, maps = crop(kernels, maps, window)
    return Iterate(kernels, maps, np.inf)


def _recentre(seen: Iterate, window: tuple[int, int], ties: Ties | None) -> tuple[Real, Real, bool]:
    if ties is None:
        return recentre(seen.kernels, seen.maps, window)
    return recentre_tied(seen.kernels, seen.maps, window, ties)


def seen_wide(
    objective: Objective,
    found: Iterate,
    ties: Ties | None = None,
    growth: int = 2,
    tolerance: float = TOLERANCE,
) -> tuple[Objective, Iterate]:
    """Kernels in a window so many times as large, as least squares show them with their maps known."""
    window, shape = objective.convolution.kernel_shape, objective.convolution.image_shape
    limits = [max(k, min(growth * k, int(LARGEST_SHARE * n))) for k, n in zip(window, shape, strict=True)]
    margins = [(limit - k) // 2 for limit, k in zip(limits, window, strict=True)]
    margin = (margins[0], margins[1])
    wide = objective.with_window((window[0] + 2 * margin[0], window[1] + 2 * margin[1]))
    kernels, maps = lift(found.kernels, found.maps, margin)
    if ties is not None:
        return wide, fit_tied(wide, maps, ties, kernels)
    return wide, fit_kernels(wide, maps, kernels, tolerance)
