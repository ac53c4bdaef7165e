"""The image as it is worked with: slices of equal noise, unit deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.noise import white_noise
from napari_sbd.core.observation import Observation

Real = NDArray[np.floating]

# A slice almost without noise must not outweigh all others: their own structure differs, too.
SMALLEST_NOISE = 0.05  # of a slice's deviation


@dataclass(frozen=True)
class Normalised:
    """Data (slices, rows, cols), and the factor of each slice that gives the image's unit back."""

    data: Real
    scales: Real


def normalised(seen: Observation) -> Normalised:
    """Take the median off each slice, divide by its noise, and all by the common deviation.

    Slices of equal noise are what least squares over a stack presuppose: a bad slice weighs little.
    """
    data = np.zeros_like(seen.data)
    scales: Real = np.ones(len(data))
    for number, (values, inside) in enumerate(zip(seen.data, seen.mask, strict=True)):
        if inside.any():
            data[number], scales[number] = _equalised(values, inside)
    if len(data) > 1:
        scales, data = _weighted_by_noise(data, seen.mask, scales)
    deviation = float(data[seen.mask].std())
    return Normalised(data / deviation, scales * deviation)


def _equalised(values: Real, inside: NDArray[np.bool_]) -> tuple[Real, float]:
    """A slice less its median, to a largest value of 1 (so that no square under- or overflows)."""
    centred = np.where(inside, values - np.median(values[inside]), 0)
    largest = float(np.abs(centred).max())
    if not largest > 0:
        return centred, 1.0
    return centred / largest, largest


def _weighted_by_noise(data: Real, mask: NDArray[np.bool_], scales: Real) -> tuple[Real, Real]:
    weights = np.ones(len(data))
    for number, (values, inside) in enumerate(zip(data, mask, strict=True)):
        if inside.any():
            spread = float(values[inside].std())
            noise = max(white_noise(values[None], inside[None]), SMALLEST_NOISE * spread)
            weights[number] = noise if noise > 0 else 1.0
    return scales * weights, data / weights[:, None, None]
