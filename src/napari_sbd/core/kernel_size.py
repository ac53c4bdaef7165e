"""A first estimate of the kernel's window from the image's autocorrelation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_sbd.core.noise import robust_std

Real = NDArray[np.floating]

HELD = 0.998  # share of the kernel's energy that its window is to hold
CERTAIN = 3.5  # deviations by which a ring of the kernel must rise above its noise
FLOOR_PERCENTILE = 30  # of the outer rings' power, which is noise and what errors of the map leave
SIGNIFICANT = 4.0  # deviations of the autocorrelation's far lags above which a lag belongs to the kernel
SHORTEST_GAP, LONGEST_GAP = (
    3,
    0.5,
)  # px, and of the lag before, after which what rises again does not belong to it
SMALLEST, LARGEST_SHARE = 7, 0.34  # px, and share of the image
MIDDLE = 1024  # px, of a large image that are looked at


def estimate_window(data: Real, mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Odd window (k, k) in which one defect's signature fits, from where the autocorrelation fades.

    Parameters
    ----------
    data : array (slices, rows, cols)
        Image, its mean removed.
    mask : array of bool (slices, rows, cols)

    Notes
    -----
    The autocorrelation of a kernel of k pixels ends at lag k - 1; where the signature fades towards the
    window's edge it is lost in the noise before.
    """
    middle = tuple(slice((n - min(n, MIDDLE)) // 2, (n + min(n, MIDDLE)) // 2) for n in data.shape[1:])
    data, mask = data[:, *middle].astype(float), mask[:, *middle]
    rings = _ring_strength(data, mask)
    largest = max(SMALLEST, int(LARGEST_SHARE * min(data.shape[1:])))
    extent = _last_significant(rings[: largest + 1], rings[largest + 1 :])
    size = int(np.clip(extent + 1, min(SMALLEST, largest), largest)) | 1
    return (size, size)


def support(kernel: Real, noise: float, grain: float = 1.0) -> tuple[int, int]:
    """Odd window (k, k) that holds nearly all of a kernel's energy, noise set aside, and a pixel more.

    Parameters
    ----------
    kernel : array (slices, rows, cols)
        Seen in a window that is larger than its support, roughly centred.
    noise : float
        Standard deviation of the noise of a pixel of it.
    grain : float
        Pixels over which the noise is correlated, see `napari_sbd.core.noise.grain`.

    Examples
    --------
    >>> rows, cols = np.mgrid[-20:21, -20:21]
    >>> support(np.where(np.maximum(abs(rows), abs(cols)) <= 6, 1.0, 0.0)[None], 0.01)
    (15, 15)
    """
    energy = np.square(kernel, dtype=float).sum(0)
    floor = len(kernel) * noise**2
    middle = ndimage.center_of_mass(np.maximum(energy - floor, 0)) if energy.any() else (0, 0)
    places = np.indices(energy.shape) - np.reshape(np.rint(middle), (2, 1, 1))
    ring = np.abs(places).max(0).astype(int)
    count = np.bincount(ring.ravel())
    total = np.bincount(ring.ravel(), energy.ravel())
    outer = (total / count)[len(count) // 2 :]
    floor = max(floor, float(np.percentile(outer, FLOOR_PERCENTILE)))
    held = total - count * floor
    held[held < CERTAIN * floor * np.sqrt(2 * count * grain / len(kernel))] = 0
    share = np.cumsum(held)
    half = int(np.searchsorted(share, HELD * share[-1])) if share[-1] > 0 else 1
    size = 2 * max(1, half + 1) + 1
    return (size, size)


def _ring_strength(data: Real, mask: NDArray[np.bool_]) -> Real:
    """Root mean square of the normalised autocorrelation on rings of one pixel width."""
    shape = tuple(fft.next_fast_len(2 * n, real=True) for n in data.shape[1:])
    values = np.where(mask, data, 0)
    power = (np.abs(fft.rfft2(values, shape)) ** 2).sum(0)
    pairs = (np.abs(fft.rfft2(mask.astype(float), shape)) ** 2).sum(0)
    correlation = fft.irfft2(power, shape) / np.maximum(fft.irfft2(pairs, shape), 1)
    lags = [np.minimum(np.arange(n), n - np.arange(n)) for n in shape]
    radius = np.rint(np.hypot(lags[0][:, None], lags[1])).astype(int)
    half = min(data.shape[1:]) // 2
    inside = radius <= half
    square = np.bincount(radius[inside], correlation[inside] ** 2)
    return np.asarray(np.sqrt(square / np.bincount(radius[inside])))


def _last_significant(near: Real, far: Real) -> int:
    """Where the autocorrelation fades: what rises again far behind is where two strong defects meet."""
    if not len(far):
        return len(near) - 1
    level = np.median(far) + SIGNIFICANT * robust_std(far)
    last = 0
    for lag in np.flatnonzero(near[1:] > level) + 1:
        if lag - last > max(SHORTEST_GAP, LONGEST_GAP * last):
            break
        last = int(lag)
    return last
