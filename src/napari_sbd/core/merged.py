"""Defects that may be several, merged: kernels seen without them, and what arrangements cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.moves import Odds
from napari_sbd.core.noise import robust_std
from napari_sbd.core.objective import Objective, misfit
from napari_sbd.core.peaks import WEAKEST, typical_amplitude
from napari_sbd.core.verdict import residual_of

Real = NDArray[np.floating]

POWER = 1  # of amplitudes, by which the typical one is told: what is merged must not rule
SUSPICIOUS = 1.3  # of a typical amplitude: what may be several defects
AROUND = 0.5  # of the window, within which these are hidden
LEAST_SEEN = 0.5  # of the image, for kernels that are still known


def usual_size(sizes: Real) -> float:
    """Median of those activations of one type that are not weak.

    Examples
    --------
    >>> usual_size(np.array([0.01] * 50 + [1.0, 1.1, 2.2]))
    1.1
    """
    return float(np.median(sizes[sizes >= WEAKEST * typical_amplitude(sizes, POWER)]))


def suspicious(maps: Real) -> NDArray[np.bool_]:
    """Which activations of maps (types, rows, cols) may be several defects.

    Examples
    --------
    >>> suspicious(np.array([[[1.0, 0, 1.1, 2.2]]])).tolist()
    [[[False, False, False, True]]]
    """
    which: NDArray[np.bool_] = np.zeros(maps.shape, bool)
    for map_, own in zip(np.abs(maps), which, strict=True):
        if map_.any():
            own[:] = map_ > SUSPICIOUS * usual_size(map_[map_ > 0])
    return which


def fitted_elsewhere(objective: Objective, found: Iterate) -> Iterate | None:
    """Kernels by least squares where no defect shows that may be several; None where that leaves too little.

    Merged defects blur the kernel that has to suit them, and a blurred kernel keeps them merged.

    Parameters
    ----------
    objective : Objective
    found : Iterate
    """
    which: NDArray[np.bool_] = np.any(suspicious(found.maps), axis=0)
    if not which.any():
        return None
    k1, k2 = objective.convolution.kernel_shape
    rows, cols = objective.convolution.image_shape
    apart = ndimage.distance_transform_edt(~which)[k1 // 2 :, k2 // 2 :][:rows, :cols]
    mask = objective.mask & (apart > AROUND * max(k1, k2))
    if mask.sum() < LEAST_SEEN * objective.mask.sum():
        return None
    seen = fit_kernels(Objective(objective.data, mask, (k1, k2)), found.maps, found.kernels)
    return replace(found, kernels=seen.kernels, maps=seen.maps)


@dataclass(frozen=True)
class Judge:
    """What arrangements of the same defects cost, in the unit of the misfit.

    Attributes
    ----------
    objective : Objective
    odds : Odds
        Of amplitudes.
    noise : float
        Standard deviation of a pixel's noise.
    places : float
        Among which the place of a defect is one: cautiously all pixels, or those to each defect.
    sampled : bool
        Whether some kernels were sampled.
    """

    objective: Objective
    odds: Odds
    noise: float
    places: float
    sampled: bool = False

    @classmethod
    def of(cls, objective: Objective, found: Iterate, cautious: bool = True, sampled: bool = False) -> Judge:
        """By the noise that an arrangement leaves, and its amplitudes."""
        noise = robust_std(residual_of(objective, found)[objective.mask])
        defects = 1 if cautious else max(1, int(np.count_nonzero(found.maps)))
        odds = Odds([map_[map_ != 0] for map_ in found.maps], noise**2)
        return cls(objective, odds, noise, max(2.0, float(objective.mask.sum()) / defects), sampled)

    @property
    def place(self) -> float:
        """Cost of the place of a defect, in all that many as `places`."""
        return float(np.log(self.places)) * self.noise**2

    def cost(self, found: Iterate) -> float:
        """Misfit, unusual amplitudes, and the place of each defect; sampled kernels are fitted before.

        These are better than least squares make them, but leave more of the image.
        """
        if self.sampled:
            found = fit_kernels(self.objective, found.maps, found.kernels)
        kinds, *_ = np.nonzero(found.maps)
        sizes = self.odds.cost(found.maps[found.maps != 0], kinds).sum(dtype=float)
        return misfit(residual_of(self.objective, found)) + float(sizes) + self.place * len(kinds)
