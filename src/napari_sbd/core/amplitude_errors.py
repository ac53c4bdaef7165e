"""Standard errors of amplitudes: pixel noise through the least squares of atoms that overlap."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft, ndimage, spatial

from napari_sbd.core.peaks import Peaks

Real = NDArray[np.floating]

NEIGHBOURS = 60  # that take part in one amplitude's standard error
MANY = 2000  # defects up to which all their inner products are held
BOXES = 512  # defects that are looked at together: memory stays bounded
SMALLEST_SHARE = 1e-3  # of a kernel, below which its error is not told from infinite


def standard_errors(
    peaks: Peaks,
    kernel: Real,
    mask: NDArray[np.bool_],
    noise: float,
    neighbours: int = NEIGHBOURS,
    which: NDArray[np.bool_] | None = None,
) -> Real:
    """Standard error of each amplitude: pixel noise through the least squares of overlapping atoms.

    `σ √((AᵀA)⁻¹)ᵢᵢ` with the Gram matrix of a defect and its nearest neighbours, and only the part of the
    kernel that the mask lets through.

    Parameters
    ----------
    peaks : Peaks
    kernel : array (slices, k1, k2)
        Of unit norm.
    mask : array of bool (slices, rows, cols)
    noise : float
        Standard deviation of the noise of a pixel, in the image's unit.
    neighbours : int
        How many defects take part in the error of one.
    which : array of bool, optional
        Of which defects the errors are wanted; by default of all.
    """
    wanted = np.arange(len(peaks.centres)) if which is None else np.flatnonzero(which)
    if not len(wanted):
        return np.empty(0)
    visible = _visible_energy(peaks.centres, kernel, mask)
    overlap = autocorrelation(kernel)
    count = min(neighbours, len(peaks.centres))
    tree = spatial.KDTree(peaks.centres / kernel.shape[1:])
    total, errors = len(peaks.centres), np.empty(len(wanted))
    pairs = _inner_products(peaks.centres, tree, visible, overlap) if total <= MANY else None
    for first in range(0, len(wanted), BOXES):
        some = wanted[first : first + BOXES]
        # Atoms a window and more away have nothing in common with this one.
        _, near = tree.query(tree.data[some], count, p=np.inf, distance_upper_bound=1.0)
        near = near.reshape(len(some), count)
        near = near[:, : max(1, int((near < total).sum(1).max()))]
        inverse = _inverses(peaks.centres, near, visible, overlap, pairs)
        errors[first : first + BOXES] = noise * np.sqrt(np.maximum(inverse, 1 / visible[some]))
    return errors


def _inner_products(centres: Real, tree: spatial.KDTree, visible: Real, overlap: Real) -> Real:
    """Those of all atoms that overlap, and zeros behind them: many groups share a pair."""
    one, other = tree.query_pairs(1.0, p=np.inf, output_type="ndarray").T
    products = np.zeros((len(centres) + 1,) * 2)
    products[one, other] = products[other, one] = _at_lags(centres[one] - centres[other], overlap) * np.sqrt(
        visible[one] * visible[other]
    )
    return products


def _at_lags(lags: Real, overlap: Real) -> Real:
    places = np.moveaxis(lags, -1, 0) + np.reshape(overlap.shape, (2, *[1] * (lags.ndim - 1))) // 2
    return np.asarray(ndimage.map_coordinates(overlap, places, order=1))


def _inverses(
    centres: Real, near: NDArray[np.intp], visible: Real, overlap: Real, pairs: Real | None
) -> Real:
    """First element of the inverse of the Gram matrix of each group; numbers too large are no atom."""
    missing = near == len(centres)
    group = np.where(missing, near[:, :1], near)
    if pairs is not None:
        gram = pairs[near[:, :, None], near[:, None, :]]
    else:
        one, other = np.triu_indices(group.shape[1], 1)
        seen = np.sqrt(visible[group])
        values = _at_lags(centres[group[:, one]] - centres[group[:, other]], overlap)
        values *= seen[:, one] * seen[:, other]
        gram = np.empty((*group.shape, group.shape[1]))
        gram[:, one, other] = gram[:, other, one] = values
        gram[missing] = 0
        gram.transpose(0, 2, 1)[missing] = 0
    diagonal = np.arange(near.shape[1])
    gram[:, diagonal, diagonal] = np.where(missing, 1, visible[group] * (1 + 1e-6))
    try:
        # With an atom itself the last, its factor's last element tells.
        return np.asarray(np.linalg.cholesky(gram[:, ::-1, ::-1])[:, -1, -1] ** -2)
    except np.linalg.LinAlgError:
        return _solved_first(gram)


def _solved_first(gram: Real) -> Real:
    """The same where overlaps, read between pixels, are not positive definite."""
    first = np.zeros((*gram.shape[:2], 1))
    first[:, 0] = 1
    try:
        return np.asarray(np.linalg.solve(gram, first)[:, 0, 0])
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(gram, rcond=1e-6, hermitian=True)[:, 0, 0])


def autocorrelation(kernel: Real) -> Real:
    """Autocorrelation of a kernel (slices, k1, k2), summed over slices; zero lag in the middle."""
    (k1, k2), lags = kernel.shape[1:], [np.arange(1 - k, k) for k in kernel.shape[1:]]
    shape = fft.next_fast_len(2 * k1 - 1), fft.next_fast_len(2 * k2 - 1, real=True)
    spectra = fft.rfft2(kernel.astype(float), shape)
    power = (np.square(spectra.real) + np.square(spectra.imag)).sum(0)
    return np.asarray(fft.irfft2(power, shape)[np.ix_(*lags)])


def _visible_energy(centres: Real, kernel: Real, mask: NDArray[np.bool_]) -> Real:
    """Share of the kernel's energy that falls on pixels which count, for a defect at each centre."""
    window = kernel.shape[1:]
    limits = [n + k - 1 for n, k in zip(mask.shape[1:], window, strict=True)]
    places = np.rint(centres).astype(int) + [k // 2 for k in window]
    places = np.clip(places, 0, np.array(limits) - 1)
    power = np.square(kernel, dtype=float)
    share = np.full(len(places), power.sum())
    inside = (places >= np.array(window) - 1) & (places <= np.array(mask.shape[1:]) - 1)
    cut = np.arange(len(places)) if not mask.all() else np.flatnonzero(~inside.all(1))
    share[cut] = 0
    for seen, own in zip(mask, power, strict=True):
        views = sliding_window_view(np.pad(seen, [(k - 1, k - 1) for k in window]), window)
        for first in range(0, len(cut), BOXES):
            some = cut[first : first + BOXES]
            share[some] += np.tensordot(views[tuple(places[some].T)], own, 2)
    return np.asarray(np.maximum(share, SMALLEST_SHARE))
