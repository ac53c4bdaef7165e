"""How stable the kernels are: standard errors by bootstrap over defects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.noise import robust_std
from napari_sbd.core.objective import Objective
from napari_sbd.core.peaks import Peaks
from napari_sbd.core.revisit import Revisit
from napari_sbd.core.shrinkage import filtered, noise_of_fit, shares
from napari_sbd.core.symmetry import Ties
from napari_sbd.core.tied import fit_tied

Real = NDArray[np.floating]

RESAMPLES, FEWEST_RESAMPLES = 40, 10
FEWEST_DEFECTS = 4


def kernel_errors(
    past: Revisit,
    peaks: Sequence[Peaks],
    resamples: int = RESAMPLES,
    seed: int = 0,
    ties: Ties | None = None,
) -> Real:
    """Standard error of each pixel of each kernel, (types, slices, k1, k2); kernels have unit norm.

    Every pixel of the image belongs to the defect that is nearest to it. In each resample all defects get
    random weights of mean and deviation 1, as in the Bayesian bootstrap, their pixels with them, and least
    squares fit the kernels anew to the maps, which stay. What differs from defect to defect, be it noise,
    another type mixed in or a distorted image, shows as spread.

    Where noise was taken off the kernels, only what that left of the spread counts, see `shrunk`.

    That amplitudes fit noise, too, is corrected for. On simulated fields of 16 and more defects the errors
    are 0.8 to 1.3 times the actual ones.

    Parameters
    ----------
    past : Revisit
    peaks : sequence of Peaks
        Defects of each type; centres in pixels of the frame.
    resamples : int
        Number of fits; the errors are known to within 70 % / √resamples.
    seed : int
    ties : Ties, optional
        Which kernels are orientations of one shape: they are fitted as one, and errors are the shapes'.

    Raises
    ------
    ValueError
        If there are too few defects or resamples.
    """
    if isinstance(resamples, bool) or resamples < FEWEST_RESAMPLES:
        raise ValueError(
            f"resamples must be a whole number of at least {FEWEST_RESAMPLES}, not {resamples!r}"
        )
    centres = np.concatenate([p.centres for p in peaks])
    if len(centres) < FEWEST_DEFECTS:
        raise ValueError(
            f"the stability of a kernel needs at least {FEWEST_DEFECTS} defects, and {len(centres)} were "
            "found: judge it by the noise instead"
        )
    rng = np.random.default_rng(seed)
    objective = past.objective
    grid = np.indices(objective.data.shape[1:]).reshape(2, -1).T
    owner = spatial.KDTree(centres).query(grid)[1].reshape(objective.data.shape[1:])
    fits = []
    for _ in range(resamples):
        weight = rng.exponential(size=len(centres))[owner] * objective.mask
        # An Objective only multiplies with its mask, so that weights serve as well.
        resampled = Objective(
            objective.data,
            cast(NDArray[np.bool_], weight.astype(objective.data.dtype)),
            objective.convolution.kernel_shape,
        )
        fits.append(past.returned(_fitted(resampled, past, ties)))
    few = np.sqrt(len(centres) / (len(centres) - 1))
    absorbed = _absorbed(past) if ties is None else _absorbed(past)[ties.first]
    kept = _kept(past, ties)
    off = np.array([filtered(one, kept) for one in np.asarray(fits) - np.mean(fits, axis=0)])
    return np.asarray(off.std(axis=0, ddof=1) * few * absorbed[:, None, None, None])


def _fitted(resampled: Objective, past: Revisit, ties: Ties | None) -> Real:
    """The kernel of each type that fits a resample."""
    if ties is None:
        return fit_kernels(resampled, past.found.maps).kernels
    return ties.shapes(fit_tied(resampled, past.found.maps, ties, past.found.kernels).kernels)


def _kept(past: Revisit, ties: Ties | None) -> Real:
    """What is left of the error of least squares, as a factor, once noise is taken off the kernels.

    Of a coefficient of which a share is kept, that share of the variance (Efron and Morris, 1973).
    """
    variance = noise_of_fit(past.objective, past.found, ties)
    return np.sqrt(shares(_fitted(past.objective, past, ties), variance))


def _absorbed(past: Revisit) -> Real:
    """Noise of a pixel over what the matched filter of each type finds left of it, at least 1.

    Where defects crowd, their amplitudes fit the noise as well: what is left shows less than there was.
    """
    rest = past.objective.replaced(past.rest.astype(past.objective.data.dtype))
    inside = past.objective.mask.any(0)
    seen = rest.convolution.on_frame(rest.correlation(past.found.kernels))
    left = np.array([robust_std(map_[inside]) for map_ in seen])
    pixel = robust_std(past.rest[past.objective.mask])
    return np.maximum(pixel / np.where(left > 0, left, np.inf), 1)
