"""Quasiparticle interference: the magnitude of a kernel's Fourier transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Real = NDArray[np.floating]

SPECTRUM_SIDE = 128  # px at least, to which a kernel is padded
SHOWN_ENERGY = 0.98  # share of the spectrum's energy that its picture must hold
CLOSEST = 4  # times that a spectrum may be enlarged


def spectrum(kernel: Real) -> tuple[Real, float]:
    """Magnitude of a kernel's Fourier transform around q = 0, and its end over the largest q.

    Examples
    --------
    >>> magnitude, reach = spectrum(np.outer(np.hanning(33), np.hanning(33)))
    >>> magnitude.shape, reach
    ((33, 33), 0.25)
    """
    size = max(SPECTRUM_SIDE, 2 * fft.next_fast_len(max(kernel.shape)))
    size += -size % (2 * CLOSEST)
    whole: Real = fft.fftshift(np.abs(fft.fft2(kernel, (size, size))))
    energy = float(np.sum(whole**2))
    for closer in (CLOSEST, CLOSEST // 2):
        half = size // 2 // closer
        part = whole[size // 2 - half : size // 2 + half + 1, size // 2 - half : size // 2 + half + 1]
        if np.sum(part**2) >= SHOWN_ENERGY * energy:
            return part, 1 / closer
    return np.pad(whole, ((0, 1), (0, 1)), mode="wrap"), 1.0
