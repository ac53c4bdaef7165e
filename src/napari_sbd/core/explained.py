"""Starts that need no search: what a kernel found before explains of an image down to its noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import unpenalised
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.start import taper
from napari_sbd.core.verdict import residual_of

Real = NDArray[np.floating]

LEFT = 0.05  # of a patch's energy above the noise, up to which it is explained
INACTIVE = 0.1  # of λ²: with so much energy no kernel of unit norm would be active
FEWEST = 8  # activations: fewer may be what a kernel composes some defect of


class Explained:
    """What one kernel's activations, debiased, leave of an image.

    Parameters
    ----------
    objective : Objective
    found : Iterate
    penalty : Penalty
        At which it was found.
    noise : float or None
        Deviation of a pixel's noise; None where the data are to tell.
    """

    def __init__(self, objective: Objective, found: Iterate, penalty: Penalty, noise: float | None) -> None:
        self.objective, self.penalty = objective, penalty
        self.noise = noise or objective.pixel_noise
        self.debiased: Iterate | None = None
        if np.count_nonzero(found.maps != 0) >= FEWEST:
            self.debiased = unpenalised(objective, found.kernels, found.maps, penalty.nonnegative)

    def at(self, place: tuple[int, int]) -> bool:
        """Whether next to nothing is left of the patch around a pixel, and noise cannot pass for that."""
        if self.debiased is None:
            return False
        rest = residual_of(self.objective, self.debiased)
        inside, weight = self._around(place)
        weight = weight * self.objective.mask[inside]
        shown, left = (
            float((weight * np.square(values[inside])).sum()) - self.noise**2 * float(weight.sum())
            for values in (self.objective.centred, rest)
        )
        spread = self.noise**2 * float(np.sqrt(2 * np.square(weight).sum()))
        return max(left, spread) < max(LEFT * shown, INACTIVE * self.penalty.lam**2)

    def _around(self, place: tuple[int, int]) -> tuple[tuple[slice, ...], Real]:
        """The window around a pixel as far as it lies in the frame, and its taper's square there."""
        window, shape = self.objective.convolution.kernel_shape, self.objective.convolution.image_shape
        spans, parts = [], []
        for at, k, n in zip(place, window, shape, strict=True):
            first = at - k // 2
            low, high = max(first, 0), min(first + k, n)
            spans.append(slice(low, high))
            parts.append(slice(low - first, high - first))
        return (slice(None), *spans), np.square(taper(window)[tuple(parts)])
