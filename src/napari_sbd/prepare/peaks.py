"""Bragg peaks: sharp maxima of an image's spectrum, found by themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_sbd.core.parameters import Setting

Real = NDArray[np.floating]

FEWEST_PERIODS = 6  # in the image; what has fewer is no lattice
APART = 3  # bins between two peaks
PADDED = 2  # the spectrum is sampled that much finer
BLOCK = 32  # px of the spectrum over which its level is taken
STRIP = 24  # px to either side, along which streaks through a peak are measured
BEYOND = max(STRIP, PADDED * APART) + 1  # rows of the other half that are kept
AROUND = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if row or col]
LOOKED_AT = 6  # times as many candidates as peaks are looked at
PROMINENCE = Setting(
    "prominence",
    "Prominence",
    "Least height of a peak over the spectrum around it. Noise alone reaches about 4.5.",
    8.0,
    low=3.0,
    high=100.0,
    step=0.5,
)


def bragg_peaks(stack: Real, count: int, prominence: float, known: Real | None = None) -> Real:
    """Frequencies of the highest peaks in the spectrum, in cycles per pixel, highest first.

    A peak is a maximum that stands out from what is around it in every direction, along the streaks through
    it, too: a hum that has one frequency along all lines, but no fixed phase, is a streak and no peak.

    Parameters
    ----------
    stack : array (slices, rows, cols)
        Its power spectra are added up, each of unit power.
    count : int
        How many at most.
    prominence : float
        Least height over the median around it; noise alone reaches about 4.5.
    known : array (n, 2), optional
        Frequencies close to which no peak is looked for.

    Returns
    -------
    array (n, 2)
        Along rows and columns; of each pair of opposite peaks one.

    Examples
    --------
    >>> rows, cols = np.indices((64, 64))
    >>> wave = np.cos(2 * np.pi * (0.2 * rows + 0.3 * cols))
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> bragg_peaks((wave + noise)[None], 5, 6.0).round(2).tolist()
    [[0.2, 0.3]]
    """
    if not count:
        return np.zeros((0, 2))
    spectrum, middle, size = _spectrum(stack)
    places = _maxima(spectrum)
    rows, cols = (places - middle).T
    once = (rows > 0) | ((rows == 0) & (cols > 0))
    places = places[once & (np.hypot(rows, cols) >= PADDED * FEWEST_PERIODS)]
    heights = spectrum[tuple(places.T)]
    high = heights > prominence * _level(spectrum, places)
    places = places[high][np.argsort(-heights[high], kind="stable")]
    found: list[Real] = []
    taken = (np.zeros((0, 2)) if known is None else known) * size + middle
    for place in places[: LOOKED_AT * count]:
        if len(taken) and np.abs(taken - place).max(axis=1).min() < PADDED * APART:
            continue
        if _is_summit(spectrum, place) and spectrum[tuple(place)] > prominence * _streak(spectrum, place):
            found.append((_summit(spectrum, place) - middle) / size)
        if len(found) == count:
            break
    return np.array(found).reshape(-1, 2)


def _spectrum(stack: Real) -> tuple[Real, NDArray[np.intp], NDArray[np.intp]]:
    """Modulus of the Hann-tapered stack's spectrum, where its frequency is 0, and the size of the whole.

    The other half is this one turned round; only as much of it is there as peaks on its edge need.
    """
    shape = stack.shape[1:]
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in shape))
    size = [fft.next_fast_len(PADDED * n, real=True) for n in shape]
    power = np.zeros((size[0] // 2 + 1, size[1]), np.float32)
    for image in stack:
        faded = taper * (image - np.median(image))
        total = np.sqrt(np.sum(faded**2))
        if total > 0:
            power += np.abs(fft.rfft2((faded / total).astype(np.float32), size[::-1], axes=(1, 0))) ** 2
    half = np.sqrt(fft.fftshift(power, axes=1))
    middle = np.array([min(BEYOND, len(half) - 1), size[1] // 2])
    other = half[middle[0] : 0 : -1, ::-1]
    # Of an even number of columns, the first has no opposite.
    other = np.roll(other, 1 - size[1] % 2, axis=1)
    return np.concatenate([other, half]), middle, np.array(size)


def _maxima(spectrum: Real) -> NDArray[np.intp]:
    """Places (n, 2) that are as high as all eight around them."""
    inner = spectrum[1:-1, 1:-1]
    top = np.ones(inner.shape, bool)
    rows, cols = spectrum.shape
    for row, col in AROUND:
        top &= inner >= spectrum[1 + row : rows - 1 + row, 1 + col : cols - 1 + col]
    return np.argwhere(top) + 1


def _level(spectrum: Real, places: NDArray[np.intp]) -> Real:
    """Median of the spectrum around these places (n, 2), from blocks."""
    # The spectrum is padded: every other point holds all.
    thin = spectrum[::PADDED, ::PADDED]
    counts = [max(1, round(PADDED * n / BLOCK)) for n in thin.shape]
    sides = [n // count for n, count in zip(thin.shape, counts, strict=True)]
    even = thin[: counts[0] * sides[0], : counts[1] * sides[1]]
    blocks = even.reshape(counts[0], sides[0], counts[1], sides[1]).swapaxes(1, 2)
    medians = np.median(blocks.reshape(*counts, -1), axis=2)
    among = (places.T / PADDED + 0.5) / np.reshape(sides, (2, 1)) - 0.5
    return np.asarray(ndimage.map_coordinates(medians, among, order=1, mode="nearest"))


def _is_summit(spectrum: Real, place: NDArray[np.intp]) -> bool:
    """Whether nothing is higher as near as two peaks may be."""
    near = PADDED * APART
    around = tuple(slice(max(0, i - near), i + near + 1) for i in place)
    return bool(spectrum[tuple(place)] >= spectrum[around].max())


def _streak(spectrum: Real, place: NDArray[np.intp]) -> float:
    """The larger of the medians along the row and along the column through a place."""
    row, col = place
    around = [slice(max(0, i - STRIP), i + STRIP + 1) for i in place]
    return float(max(np.median(spectrum[around[0], col]), np.median(spectrum[row, around[1]])))


def _summit(spectrum: Real, place: NDArray[np.intp]) -> Real:
    """Place of a maximum between the bins: a parabola through the logarithm, along each axis."""
    row, col = place
    lines = spectrum[row - 1 : row + 2, col], spectrum[row, col - 1 : col + 2]
    shifts = []
    for before, at, after in (np.log(np.maximum(line, np.finfo(float).tiny)) for line in lines):
        bend = before - 2 * at + after
        shifts.append(0.5 * (before - after) / bend if bend < 0 else 0.0)
    return np.asarray(place + np.array(shifts))
