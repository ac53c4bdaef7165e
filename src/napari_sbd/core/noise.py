"""Noise of an image, estimated robustly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Real = NDArray[np.floating]

# Median absolute deviation to standard deviation, for a normal distribution.
NORMAL = 1.4826
REACH = 4.0  # deviations, beyond which a residual is no noise


def robust_std(values: Real) -> float:
    """Standard deviation from the median absolute deviation: outliers such as defects hardly count.

    Examples
    --------
    >>> round(robust_std(np.append(np.random.default_rng(0).standard_normal(9999), 1e6)), 1)
    1.0
    """
    return NORMAL * float(np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def white_noise(data: Real, mask: NDArray[np.bool_]) -> float:
    """Standard deviation of the pixel noise, from `(p - q - r + s) / 2` over blocks of 2×2 pixels.

    What is smooth over two pixels cancels, so the defects themselves count little; overlapping blocks are
    used, those with a masked pixel are not. Where none is left, the plain robust deviation is returned.

    Parameters
    ----------
    data : array (slices, rows, cols)
    mask : array of bool (slices, rows, cols)

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 2, (1, 200, 200)) + 7
    >>> round(white_noise(noise, np.ones(noise.shape, bool)), 1)
    2.0
    """
    detail = (data[:, :-1, :-1] - data[:, 1:, :-1] - data[:, :-1, 1:] + data[:, 1:, 1:]) / 2
    whole = mask[:, :-1, :-1] & mask[:, 1:, :-1] & mask[:, :-1, 1:] & mask[:, 1:, 1:]
    return robust_std(detail[whole]) or robust_std(data[mask])


def whiteness(residual: Real, mask: NDArray[np.bool_]) -> float:
    """Deviation of a residual over that of its pixel noise: 1 when white, larger with structure left.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 2, (1, 200, 200))
    >>> round(whiteness(noise, np.ones(noise.shape, bool)), 1)
    1.0
    """
    grain = white_noise(residual, mask)
    return robust_std(residual[mask]) / grain if grain > 0 else float("inf")


def grain(residual: Real, mask: NDArray[np.bool_]) -> float:
    """Number of pixels over which a residual is correlated: 1 where it is white.

    Its power spectrum P tells, as mean P² / 2 (mean P)².

    Examples
    --------
    >>> from scipy import ndimage
    >>> noise = np.random.default_rng(0).normal(0, 2, (1, 200, 200))
    >>> mask = np.ones(noise.shape, bool)
    >>> smooth = ndimage.uniform_filter(noise, (1, 4, 4))
    >>> round(grain(noise, mask), 1), round(grain(smooth, mask))
    (1.0, 8)
    """
    values = np.where(mask, residual - np.median(residual[mask]), 0.0) if mask.any() else np.zeros(mask.shape)
    reach = REACH * robust_std(values[mask])
    power = np.abs(fft.fft2(np.clip(values, -reach, reach))) ** 2
    mean = float(power.mean())
    return max(1.0, float(np.mean(power**2)) / (2 * mean**2)) if mean > 0 else 1.0
