"""Fourier transforms of windows by matrix products: what is small pays for calls, not for arithmetic."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Real = NDArray[np.floating]
Complex = NDArray[np.complexfloating]
Pair = tuple[int, int]

SMALL = 40  # px, the side of a window up to which products with a matrix are faster than an FFT


class WindowTransform:
    """`rfft2` of windows padded to a size, and the window at the corner of `irfft2`.

    Parameters
    ----------
    window : tuple of int
    size : tuple of int
        Of the transform, at least the window's; an even or odd number of columns.
    dtype : dtype
        Of what is transformed, real.

    Examples
    --------
    >>> transform = WindowTransform((3, 2), (5, 4), np.dtype(float))
    >>> window = np.arange(6.0).reshape(3, 2)
    >>> bool(np.allclose(transform.forward(window), fft.rfft2(window, (5, 4))))
    True
    >>> bool(np.allclose(transform.back(transform.forward(window)), window))
    True
    """

    def __init__(self, window: Pair, size: Pair, dtype: np.dtype) -> None:
        self.window, self.size = window, size
        self._small = max(window) <= SMALL
        if not self._small:
            return
        (k1, k2), (n1, n2) = window, size
        half = n2 // 2 + 1
        self._complex = np.result_type(dtype, np.complex64)
        down = np.exp(-2j * np.pi * np.outer(np.arange(n1), np.arange(k1)) / n1)
        right = np.exp(-2j * np.pi * np.outer(np.arange(k2), np.arange(half)) / n2)
        self._down, self._up = (a.astype(self._complex) for a in (down, down.conj().T / n1))
        self._right = right.astype(self._complex).view(dtype)
        # Of a real image the other half of the columns says the same, but for the first and a middle one.
        twice = np.where((np.arange(half) == 0) | (2 * np.arange(half) == n2), 1, 2) / n2
        left = right.T * twice[:, None]
        # The real part of a product with the conjugate, from real and imaginary parts side by side.
        self._left = np.stack([left.real, left.imag], axis=1).reshape(2 * half, k2).astype(dtype)

    def forward(self, windows: Real) -> Complex:
        """Half the spectra (..., rows, columns // 2 + 1) of windows (..., k1, k2)."""
        if not self._small:
            return np.asarray(fft.rfft2(windows, self.size))
        return np.asarray(self._down @ (windows @ self._right).view(self._complex))

    def back(self, spectra: Complex) -> Real:
        """The first rows and columns of what spectra belong to; they may be overwritten."""
        if not self._small:
            k1, k2 = self.window
            return np.asarray(fft.irfft2(spectra, self.size, overwrite_x=True)[..., :k1, :k2])
        return np.asarray((self._up @ spectra).view(self._left.dtype) @ self._left)


@lru_cache(maxsize=8)
def transform_of(window: Pair, size: Pair, dtype: np.dtype) -> WindowTransform:
    """The transform of a window, kept."""
    return WindowTransform(window, size, dtype)
