"""The image as it is worked with: slices of equal noise, unit deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.noise import median, sampled, white_noise
from napari_sbd.core.observation import Observation
from napari_sbd.core.tiles import bands

Real = NDArray[np.floating]

# A slice almost without noise must not outweigh all others: their own structure differs, too.
SMALLEST_NOISE = 0.05  # of a slice's deviation


@dataclass(frozen=True)
class Normalised:
    """Data (slices, rows, cols) in single precision, and each slice's factor that gives the unit back."""

    data: Real
    scales: Real


def normalised(seen: Observation) -> Normalised:
    """Take the median off each slice, divide by its noise, and all by the common deviation.

    Slices of equal noise are what least squares over a stack presuppose: a bad slice weighs little.
    """
    levels = [
        _levels(values, inside, len(seen.data) > 1)
        for values, inside in zip(seen.data, seen.mask, strict=True)
    ]
    deviation = _deviation(seen, levels)
    data = np.empty(seen.data.shape, np.float32)
    for values, inside, image, (middle, scale) in zip(seen.data, seen.mask, data, levels, strict=True):
        for rows in bands(seen.shape):
            part = values[rows] - middle
            part /= scale
            part /= deviation
            image[rows] = part
            if not inside[rows].all():
                image[rows][~inside[rows]] = 0
    return Normalised(data, np.array([scale for _, scale in levels]) * deviation)


def _levels(values: Real, inside: NDArray[np.bool_], weighted: bool) -> tuple[float, float]:
    """Median of a slice, and its scale: the largest deviation, so that squares stay in range, or noise."""
    if not inside.any():
        return 0.0, 1.0
    middle = median(sampled(values, inside))
    parts = [_inside(values, inside, rows) for rows in bands((values.shape[0], values.shape[1]))]
    largest = max(max(part.max() - middle, middle - part.min()) for part in parts if part.size)
    largest = float(largest) if largest > 0 else 1.0
    if not weighted:
        return middle, largest
    centred = values - middle
    if not inside.all():
        centred[~inside] = 0
    centred /= largest
    counted = _inside(centred, inside, slice(None)).ravel()
    noise = max(white_noise(centred[None], inside[None]), SMALLEST_NOISE * float(counted.std()))
    return middle, largest * noise if noise > 0 else largest


def _deviation(seen: Observation, levels: list[tuple[float, float]]) -> float:
    """Standard deviation of all slices together, each less its median and over its scale."""
    count, total, squares = 0, 0.0, 0.0
    for values, inside, (middle, scale) in zip(seen.data, seen.mask, levels, strict=True):
        for rows in bands(seen.shape):
            part = _inside(values, inside, rows) - middle
            part /= scale
            count += part.size
            total += float(part.sum(dtype=float))
            squares += float(np.vdot(part, part))
    return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))


def _inside(values: Real, inside: NDArray[np.bool_], rows: slice) -> Real:
    """What counts of some rows."""
    return values[rows] if inside[rows].all() else values[rows][inside[rows]]
