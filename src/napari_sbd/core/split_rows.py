"""One defect that its type's kernel composes of several atoms, each of which would be a row of the table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse, spatial, special

from napari_sbd.core.amplitude_errors import autocorrelation
from napari_sbd.core.defects import core
from napari_sbd.core.peaks import WEAKEST, Peaks, typical_amplitude

Real = NDArray[np.floating]

CLOSE = 0.5  # of the radius in which a kernel is strong: nearer ones may be one defect
FARTHEST = 1.0  # of it, beyond which none are
ONE = 0.95  # similarity to a single atom, from which two look like one; .94 where Gaussians have one maximum
FEW = 0.5  # pairs so close by chance, above which nothing is joined
THIRD = 3  # largest: one alone may be several
BY_CHANCE = 0.01  # probability that so many of random places lie so close, below which they are


def whole_defects(peaks: Peaks, kernel: Real, places: int) -> Peaks:
    """Peaks of one type, where those that are very close to one another are one, if that is no chance.

    A defect that is not quite like the others of its type, or larger than its kernel, takes several atoms.
    Of few defects at random places hardly any two are so close; where many are, none is joined. Smooth
    kernels are close as far as two of them look like a single one.

    Parameters
    ----------
    peaks : Peaks
    kernel : array (slices, k1, k2)
    places : int
        Pixels at which a defect may sit.

    Examples
    --------
    >>> rows, cols = np.mgrid[-10:11, -10:11]
    >>> kernel = np.exp(-(rows**2 + cols**2) / 50)[None]
    >>> places = np.array([[20.0, 20.0], [22.0, 20.0], [70.0, 60.0], [72.0, 60.0], [10.0, 90.0]])
    >>> found = whole_defects(Peaks(places, np.array([3.0, 1.0, 2.0, 2.0, 3.0])), kernel, 9000**2)
    >>> found.centres.tolist(), (found.amplitudes / np.square(kernel).sum()).round(1).tolist()
    ([[20.5, 20.0], [71.0, 60.0], [10.0, 90.0]], [4.0, 4.0, 3.0])
    """
    number = len(peaks.amplitudes)
    overlap, radius = autocorrelation(kernel), core(kernel)[1]
    likely = peaks.chosen(_likely(peaks.amplitudes))
    by_chance = len(likely.amplitudes) ** 2 / 2 * _close_lags(overlap, radius) / places
    found = len(_close(likely, overlap, radius))
    if not found or by_chance > FEW or special.pdtrc(found - 1, by_chance) > BY_CHANCE:
        return peaks
    pairs = _close(peaks, overlap, radius)
    links = sparse.coo_array((np.ones(len(pairs)), tuple(pairs.T)), (number, number))
    groups, member = sparse.csgraph.connected_components(links, directed=False)
    weight = np.abs(peaks.amplitudes)
    total = np.bincount(member, weight, groups)
    centres = np.stack(
        [np.bincount(member, weight * peaks.centres[:, axis], groups) / total for axis in range(2)], axis=1
    )
    lags = (peaks.centres - centres[member] + np.array(kernel.shape[1:]) - 1).T
    share = ndimage.map_coordinates(overlap, lags, order=1)
    return Peaks(centres, np.bincount(member, (peaks.amplitudes * share).astype(float), groups).astype(float))


def all_whole(peaks: list[Peaks], kernels: Real, mask: NDArray[np.bool_]) -> list[Peaks]:
    """`whole_defects` of each type, for kernels (types, slices, k1, k2) and the mask (slices, rows, cols)."""
    places = int(mask.any(0).sum())
    return [whole_defects(own, kernel, places) for own, kernel in zip(peaks, kernels, strict=True)]


def _likely(amplitudes: Real) -> NDArray[np.bool_]:
    """Which are not weak; where the largest stand out, against the third."""
    size = np.abs(amplitudes)
    clipped = np.minimum(size, np.sort(size)[-THIRD] if len(size) >= THIRD else np.inf)
    return np.asarray(size >= WEAKEST * typical_amplitude(clipped))


def _close(peaks: Peaks, overlap: Real, radius: float) -> NDArray[np.intp]:
    """Pairs of peaks of one sign that may be one defect, (n, 2)."""
    pairs = spatial.KDTree(peaks.centres).query_pairs(FARTHEST * radius, output_type="ndarray")
    first, second = peaks.amplitudes[pairs.T]
    pairs = pairs[first * second > 0]
    lags = peaks.centres[pairs[:, 0]] - peaks.centres[pairs[:, 1]]
    return np.asarray(pairs[_are_close(lags, np.abs(peaks.amplitudes[pairs]), overlap, radius)])


def _close_lags(overlap: Real, radius: float) -> int:
    """Number of lags at which two equal peaks are close."""
    lags = np.argwhere(np.ones(overlap.shape, bool)) - np.array(overlap.shape) // 2
    lags = lags[np.linalg.norm(lags, axis=1) <= FARTHEST * radius]
    return int(np.count_nonzero(_are_close(lags, np.ones((len(lags), 2)), overlap, radius)))


def _are_close(lags: Real, sizes: Real, overlap: Real, radius: float) -> NDArray[np.bool_]:
    """Whether pairs of these lags and sizes (n, 2) are near, or look like one at their centroid."""
    share = sizes / sizes.sum(1, keepdims=True)
    middle = np.array(overlap.shape) // 2

    def alike(apart: Real) -> Real:
        seen = ndimage.map_coordinates(overlap, (apart + middle[None]).T, order=1)
        return np.asarray(seen / overlap[tuple(middle)])

    one = share[:, 0] * alike(lags * share[:, 1:]) + share[:, 1] * alike(lags * share[:, :1])
    both = np.sqrt((share**2).sum(1) + 2 * share.prod(1) * alike(lags))
    return np.asarray((np.linalg.norm(lags, axis=1) <= CLOSE * radius) | (one >= ONE * both))
