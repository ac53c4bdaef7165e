"""Noise of an image, estimated robustly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating]

# Median absolute deviation to standard deviation, for a normal distribution.
NORMAL = 1.4826


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


def leftover(residual: Real, mask: NDArray[np.bool_]) -> tuple[Real, Real, float]:
    """Constant of each slice of a residual, what remains without it, and the deviation of that.

    Parameters
    ----------
    residual : array (slices, rows, cols)
    mask : array of bool (slices, rows, cols)

    Examples
    --------
    >>> bias, rest, noise = leftover(np.array([[[6.0, 8.0]]]), np.ones((1, 1, 2), bool))
    >>> bias.tolist(), rest.tolist(), round(noise, 2)
    ([7.0], [[[-1.0, 1.0]]], 1.48)
    """
    bias = np.array([np.mean(r[m]) if m.any() else 0.0 for r, m in zip(residual, mask, strict=True)])
    rest = residual - bias[:, None, None]
    return bias, rest, robust_std(rest[mask])
