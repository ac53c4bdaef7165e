"""Lattice, tilt and line offsets taken out of a real image before its defects are sought.

No Fourier notch: harmonics with slowly varying amplitudes are fitted to the image's own pixels, so that
nothing of a lattice that is not periodic in the frame is left along the borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Real = NDArray[np.floating]

ROUNDS = 6
REJECTED = 4.0  # deviations beyond which a pixel does not count in the fit (Tukey's biweight)
PIXELS = 60_000  # drawn at random, at most, for one fit
LOWEST = 6  # periods in the image below which a peak is no lattice
APART = 3  # bins between two peaks


def levelled(image: Real) -> Real:
    """Image whose scan lines (rows) are brought to one level by the median of differences, tilt removed."""
    steps = np.median(np.diff(image, axis=0), axis=1)
    offsets = np.concatenate([[0.0], np.cumsum(steps)])
    flat = image - offsets[:, None]
    tilt = np.median(np.diff(flat, axis=1)) * np.arange(image.shape[1])
    flat = flat - tilt
    return np.asarray(flat - np.median(flat))


def bragg_peaks(image: Real, count: int, prominence: float = 8.0) -> Real:
    """Frequencies (n, 2), in cycles per pixel, of the highest peaks in the Hann-tapered image's spectrum.

    Parameters
    ----------
    image : array (rows, cols)
    count : int
        How many peaks at most.
    prominence : float
        Least height over the median of the spectrum around the peak.
    """
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in image.shape))
    size = [2 * n for n in image.shape]
    spectrum = np.abs(fft.fftshift(fft.fft2(taper * (image - np.median(image)), size)))
    middle = np.array(size) // 2
    rows, cols = (np.arange(n) - m for n, m in zip(size, middle, strict=True))
    periods = np.hypot(rows[:, None] / 2, cols / 2)
    around = ndimage.median_filter(spectrum[::2, ::2], 41)
    around = np.kron(around, np.ones((2, 2)))[: size[0], : size[1]]
    top = spectrum == ndimage.maximum_filter(spectrum, 2 * 2 * APART + 1)
    half = (rows[:, None] > 0) | ((rows[:, None] == 0) & (cols > 0))
    top &= half & (periods >= LOWEST) & (spectrum > prominence * around)
    top[[0, -1]] = top[:, [0, -1]] = False
    places = np.argwhere(top)
    places = places[np.argsort(-spectrum[tuple(places.T)], kind="stable")[:count]]
    return np.array([_summit(spectrum, place) - middle for place in places]).reshape(-1, 2) / size


def _summit(spectrum: Real, place: NDArray[np.intp]) -> Real:
    """Place of a maximum between the bins: a parabola through the logarithm, along each axis."""
    row, col = place
    lines = spectrum[row - 1 : row + 2, col], spectrum[row, col - 1 : col + 2]
    shifts = []
    for before, at, after in (np.log(line) for line in lines):
        shifts.append(0.5 * (before - after) / (before - 2 * at + after))
    return np.asarray(place + np.array(shifts))


@dataclass(frozen=True)
class Lattice:
    """How a lattice is fitted.

    Parameters
    ----------
    peaks : int
        Number of harmonics.
    order : tuple of int
        Degree in rows and cols of the polynomial that each harmonic's complex amplitude follows.
    background : tuple of int
        Degree of the background.
    jitter : int
        Rounds in which each row and each column finds how far it is displaced: the scanner's jumps between
        lines and its creep at their beginning.
    """

    peaks: int
    order: tuple[int, int]
    background: tuple[int, int]
    jitter: int = 0


def without_lattice(image: Real, lattice: Lattice) -> Real:
    """Image less its lattice and its slow background; defects do not count in the fit."""
    frequencies = bragg_peaks(image, lattice.peaks)
    places = np.indices(image.shape, float)
    fit = _Fit(frequencies, lattice)
    explained = fit.explained(image, places)
    for _ in range(lattice.jitter):
        places = places + _displacement(image - explained, explained, places)
        explained = fit.explained(image, places)
    return np.asarray(image - explained)


def _displacement(rest: Real, lattice: Real, places: Real) -> Real:
    """Displacement (2, rows, cols) of each row, plus that of each column, which explains the rest best."""
    weights = _biweight(rest)
    slopes = np.gradient(lattice)
    moved = np.zeros_like(places)
    for axis, smooth in ((1, 0.0), (0, 2.0)):
        sums = [[(weights * a * b).sum(axis) for b in slopes] for a in slopes]
        right = np.array([(weights * a * rest).sum(axis) for a in slopes])
        normal = np.moveaxis(np.array(sums), -1, 0)
        normal += 0.05 * np.trace(normal, axis1=1, axis2=2).mean() * np.eye(2)
        step = np.clip(np.linalg.solve(normal, right.T[..., None])[..., 0], -0.5, 0.5)
        if smooth:
            step = ndimage.gaussian_filter1d(step, smooth, axis=0)
        moved += np.expand_dims(step.T, 1 + axis)
    return moved


def _biweight(rest: Real) -> Real:
    scale = REJECTED * 1.4826 * np.median(np.abs(rest - np.median(rest)))
    return np.asarray(np.square(np.clip(1 - np.square(rest / scale), 0, None)))


class _Fit:
    """Robust least squares of polynomials, and of polynomials times cosines and sines."""

    def __init__(self, frequencies: Real, lattice: Lattice) -> None:
        self.frequencies, self.lattice = frequencies, lattice

    def explained(self, image: Real, places: Real) -> Real:
        """What the fit makes of the image, pixels standing at `places` (2, rows, cols)."""
        unit = float(np.median(np.abs(image - np.median(image))))
        values = (image / unit).ravel().astype(np.float32)
        where = places.reshape(2, -1)
        chosen = np.sort(np.random.default_rng(0).permutation(image.size)[:PIXELS])
        matrix, seen = self._columns(where[:, chosen], image.shape), values[chosen]
        weights = np.ones_like(seen)
        coefficients = np.zeros(matrix.shape[1], np.float32)
        for _ in range(ROUNDS):
            normal = (matrix * weights[:, None]).T @ matrix
            right = matrix.T @ (weights * seen)
            found = np.linalg.lstsq(normal.astype(float), right.astype(float), rcond=1e-7)[0]
            coefficients = found.astype(np.float32)
            weights = _biweight(seen - matrix @ coefficients).astype(np.float32)
        parts = np.array_split(np.arange(image.size), max(1, image.size // 30_000))
        fit = [self._columns(where[:, part], image.shape) @ coefficients for part in parts]
        return np.concatenate(fit).reshape(image.shape).astype(float) * unit

    def _columns(self, places: Real, shape: tuple[int, ...]) -> NDArray[np.float32]:
        slow = _polynomials(places, shape, self.lattice.order)
        blocks = [_polynomials(places, shape, self.lattice.background)]
        for phase in 2 * np.pi * (self.frequencies @ places):
            blocks += [slow * np.cos(phase)[:, None], slow * np.sin(phase)[:, None]]
        return np.concatenate(blocks, axis=1, dtype=np.float32)


def _polynomials(places: Real, shape: tuple[int, ...], degrees: tuple[int, int]) -> Real:
    row, col = (
        np.polynomial.legendre.legvander(2 * place / (n - 1) - 1, degree)
        for place, n, degree in zip(places, shape, degrees, strict=True)
    )
    terms = [
        row[:, i] * col[:, j]
        for i, j in product(range(degrees[0] + 1), range(degrees[1] + 1))
        if i / max(1, degrees[0]) + j / max(1, degrees[1]) <= 1 + 1e-9
    ]
    return np.stack(terms, axis=1)
