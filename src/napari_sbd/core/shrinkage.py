"""Shrinkage: what noise adds to kernels, taken off where it outweighs them.

Least squares leaves noise in a kernel, as much in the fine detail that a smooth signature lacks as in what
it consists of. By the energy that a band of spatial frequencies has beyond that noise, it is told how much
of the band is the signature.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_sbd.core.descent import Iterate
from napari_sbd.core.noise import white_noise
from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites
from napari_sbd.core.sphere import project
from napari_sbd.core.symmetry import Ties

Real = NDArray[np.floating]

FREE = 2  # coefficients of a band that tell its energy: of fewer than three nothing is taken
TOGETHER = 2  # px, within which activations count as one defect that lies between pixels
LAGS = np.array([lag for lag in product(range(-TOGETHER, TOGETHER + 1), repeat=2) if lag > (0, 0)])
FAINTEST = 0.05  # power of a map at a frequency over its mean, at least
MIDDLE = 384  # px, the side of what tells the noise of a large image
TINY = np.finfo(float).tiny


def shrunk(kernels: Real, variance: Real | float) -> Real:
    """Kernels closer to the truth than those that least squares found, if these are off by noise.

    The positive-part James-Stein estimate (W. James and C. Stein, Proc. 4th Berkeley Symp. 1, 361 (1961);
    B. Efron and C. Morris, J. Am. Stat. Assoc. 68, 117 (1973)) in bands of the cosine transform: each band
    of `n` coefficients, energy `P` and noise of mean variance `v` is multiplied by
    `max(0, 1 - (n - 2) v / P)`. Whatever the signature is, that is nearer to it on average.

    Parameters
    ----------
    kernels : array (types, slices, k1, k2)
    variance : float or array that broadcasts against kernels
        Of the noise in each coefficient of the cosine transform, as in each pixel if it is white.

    Returns
    -------
    array (types, slices, k1, k2)
        Not of unit norm.

    Examples
    --------
    >>> smooth = np.outer(np.hanning(15), np.hanning(15))[None, None]
    >>> noisy = smooth + 0.05 * np.random.default_rng(0).standard_normal(smooth.shape)
    >>> before, after = (np.linalg.norm(it - smooth) for it in (noisy, shrunk(noisy, 0.05**2)))
    >>> bool(after < 0.6 * before)
    True
    """
    found = _transformed(kernels)
    return np.asarray(_back(found * _shares(found, variance)), kernels.dtype)


def shares(kernels: Real, variance: Real | float) -> Real:
    """What each coefficient of the cosine transform is multiplied by, of the shape of the kernels."""
    return _shares(_transformed(kernels), variance)


def filtered(kernels: Real, factors: Real) -> Real:
    """Kernels whose coefficients of the cosine transform are multiplied by factors of the same shape."""
    return np.asarray(_back(_transformed(kernels) * factors), kernels.dtype)


def _transformed(kernels: Real) -> Real:
    return np.asarray(fft.dctn(kernels.astype(float), axes=(2, 3), norm="ortho"))


def _back(coefficients: Real) -> Real:
    return np.asarray(fft.idctn(coefficients, axes=(2, 3), norm="ortho"))


def _shares(found: Real, variance: Real | float) -> Real:
    bands = _bands(found.shape[2:])
    number = np.bincount(bands.ravel())
    energy = _summed(np.square(found), bands)
    noise = _summed(np.broadcast_to(variance, found.shape), bands) * np.maximum(1 - FREE / number, 0)
    return np.asarray(np.maximum(1 - noise / np.maximum(energy, TINY), 0)[..., bands])


def without_noise(objective: Objective, found: Iterate, ties: Ties | None = None) -> Iterate:
    """The same with kernels shrunk by the noise that least squares leaves in them.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        Kernels of unit norm that least squares found for these maps, or nearly.
    ties : Ties, optional
        Which kernels are orientations of one shape: it is the shapes that are shrunk.
    """
    variance = noise_of_fit(objective, found, ties)
    if ties is None:
        kernels = shrunk(found.kernels, variance)
        norms = _norms(kernels)
    else:
        shapes = shrunk(ties.shapes(found.kernels), variance) * ties.seen(found.kernels.shape)
        kernels, norms = ties.spread(shapes), _norms(shapes)[ties.types]
    if not norms.all():
        return found
    sites = found.sites
    values = sites.read(found.maps) * norms.astype(found.maps.dtype)[sites.kinds]
    return replace(found, kernels=project(kernels), maps=sites.write(values, found.maps))


def noise_of_fit(objective: Objective, found: Iterate, ties: Ties | None = None) -> Real:
    """Variance of the noise in each coefficient of kernels, or of shapes, found by least squares.

    That of the image over the power of a type's maps at that frequency. What is smooth in the residual counts
    as no noise: it may be what the model does not tell.
    """
    rest, mask = _left_in_the_middle(objective, found)
    deviations = [white_noise(rest[n : n + 1], mask[n : n + 1]) for n in range(len(rest))]
    window = found.kernels.shape
    power = np.array([_power(map_[None], window[2:]) for map_ in found.maps])
    if ties is not None:
        # Shapes are zero, without noise, where an orientation does not see them.
        power = np.array([power[ties.members(kind)].sum(0) for kind in range(len(ties.first))])
        power /= ties.seen(window).mean((1, 2, 3))[:, None, None]
    # A type without activations was not fitted.
    power[power == 0] = np.inf
    return np.asarray(np.square(deviations)[None, :, None, None] / power[:, None])


def _norms(kernels: Real) -> Real:
    return np.asarray(np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1))


def _left_in_the_middle(objective: Objective, found: Iterate) -> tuple[Real, NDArray[np.bool_]]:
    """What is left of an image, of large ones of their middle, and the mask there."""
    maps = found.maps
    if not objective.in_one_piece:
        (k1, k2), shape = objective.convolution.kernel_shape, objective.convolution.image_shape
        first, second = (slice((n - min(n, MIDDLE)) // 2, (n + min(n, MIDDLE)) // 2) for n in shape)
        maps = maps[:, first.start : first.stop + k1 - 1, second.start : second.stop + k2 - 1]
        inside = np.s_[:, first, second]
        objective = Objective(objective.data[inside], objective.mask[inside], (k1, k2))
    return objective.left(found.kernels, maps), objective.mask


def _power(map_: Real, window: tuple[int, ...]) -> Real:
    """Power spectrum of a map (1, rows, cols) at the frequencies of the window's cosine transform.

    Of activations within some pixels of each other, which may be one defect; others stand at random.
    """
    sites = Sites.of(map_)
    own = sites.read(map_).astype(float)
    down, right = LAGS.T
    rows, cols = (
        np.cos(np.pi * np.outer(lag, np.arange(n) / n)) for lag, n in zip(LAGS.T, window, strict=True)
    )
    at = sites.rows + down[:, None], sites.cols + right[:, None]
    inside = [(place >= 0) & (place < n) for place, n in zip(at, map_.shape[1:], strict=True)]
    row, col = (np.where(here, place, 0) for here, place in zip(inside, at, strict=True))
    together = (map_[0, row, col] * (inside[0] & inside[1])) @ own
    # Of two lags that are each other's opposite the products are the same.
    total = float(own @ own) + 2 * (rows.T * together) @ cols
    return np.asarray(np.maximum(total, FAINTEST * float(own @ own)))


def _summed(values: Real, bands: NDArray[np.intp]) -> Real:
    """Sums over bands, (types, slices, bands)."""
    flat = values.reshape(-1, bands.size)
    return np.array([np.bincount(bands.ravel(), one) for one in flat]).reshape(*values.shape[:2], -1)


def _bands(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The band of each coefficient: its distance from the constant one, a step of the longer side wide."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(max(shape) * np.hypot(rows / shape[0], cols / shape[1]), np.intp)
