"""The image as it is worked with: slices of equal noise, unit deviation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.noise import sampled, white_noise
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
    medians, largest, weights = np.array(
        [
            _levels(values, inside, len(seen.data) > 1)
            for values, inside in zip(seen.data, seen.mask, strict=True)
        ]
    ).T
    data = np.zeros(seen.data.shape, np.float32)
    scales = largest * weights
    deviation = _deviation(seen, medians, scales)
    for number, (values, inside) in enumerate(zip(seen.data, seen.mask, strict=True)):
        for rows in bands(seen.shape):
            centred = np.where(inside[rows], values[rows] - medians[number], 0)
            data[number, rows] = centred / largest[number] / weights[number] / deviation
    return Normalised(data, scales * deviation)


def _levels(values: Real, inside: NDArray[np.bool_], weighted: bool) -> tuple[float, float, float]:
    """Median of a slice; its largest deviation, so that squares stay in range; its noise over that."""
    if not inside.any():
        return 0.0, 1.0, 1.0
    median = float(np.median(sampled(values, inside)))
    parts = (values[rows][inside[rows]] for rows in bands((values.shape[0], values.shape[1])))
    largest = max((float(np.abs(part - median).max()) for part in parts if part.size), default=0.0)
    largest = largest if largest > 0 else 1.0
    if not weighted:
        return median, largest, 1.0
    centred = np.where(inside, values - median, 0) / largest
    noise = max(white_noise(centred[None], inside[None]), SMALLEST_NOISE * float(centred[inside].std()))
    return median, largest, noise if noise > 0 else 1.0


def _deviation(seen: Observation, medians: Real, scales: Real) -> float:
    """Standard deviation of all slices together, each less its median and over its scale."""
    count, total, squares = 0, 0.0, 0.0
    for values, inside, median, scale in zip(seen.data, seen.mask, medians, scales, strict=True):
        for rows in bands(seen.shape):
            part = (values[rows][inside[rows]] - median) / scale
            count += part.size
            total += float(part.sum(dtype=float))
            squares += float(np.vdot(part, part))
    return float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))
