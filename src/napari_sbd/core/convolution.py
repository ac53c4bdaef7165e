"""The forward model and its adjoints: convolution seen through a window, with a mask and a free bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_sbd.core.device import HOST, Device

Real = NDArray[np.floating]
Complex = NDArray[np.complexfloating]


class Convolution:
    """`P_Ω(Σ_k a_k ∗ x_k)`: kernels and maps of the extended domain to the observed window, and the adjoints.

    The maps live on ``(n1 + k1 - 1, n2 + k2 - 1)`` pixels, so that a defect outside the frame whose
    signature reaches into it can be represented; nothing wraps round. Residuals live on a *canvas* of
    FFT-friendly size on which the frame begins at ``(k1 - 1, k2 - 1)``.

    Parameters
    ----------
    image_shape : tuple of int
        Rows and columns of the observed frame.
    kernel_shape : tuple of int
        Rows and columns of the kernels' window.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.signal import convolve
    >>> model = Convolution((8, 9), (3, 4))
    >>> rng = np.random.default_rng(0)
    >>> kernels, maps = rng.standard_normal((1, 1, 3, 4)), rng.standard_normal((1, 10, 12))
    >>> seen = model.predict(model.kernel_spectra(kernels), model.map_spectra(maps))
    >>> bool(np.allclose(model.frame(seen)[0], convolve(maps[0], kernels[0, 0], "valid")))
    True
    """

    def __init__(self, image_shape: tuple[int, int], kernel_shape: tuple[int, int]) -> None:
        self.image_shape = image_shape
        self.kernel_shape = kernel_shape
        rows, cols = (n + k - 1 for n, k in zip(image_shape, kernel_shape, strict=True))
        self.map_shape = (rows, cols)
        self.canvas_shape = (fft.next_fast_len(rows), fft.next_fast_len(cols, real=True))
        first = (kernel_shape[0] - 1, kernel_shape[1] - 1)
        self._frame = (
            ...,
            slice(first[0], first[0] + image_shape[0]),
            slice(first[1], first[1] + image_shape[1]),
        )

    def frame(self, canvas: Real) -> Real:
        """Cut the observed window out of a canvas."""
        return canvas[self._frame]

    def on_frame(self, maps: Real) -> Real:
        """Cut the frame out of extended maps: an activation at the pixel where the kernel's centre sits."""
        first = [k // 2 for k in self.kernel_shape]
        rows, cols = (slice(f, f + n) for f, n in zip(first, self.image_shape, strict=True))
        return maps[..., rows, cols]

    def to_canvas(self, image: Real) -> Real:
        """Lay an image (..., rows, cols) on a canvas that is zero elsewhere."""
        canvas = np.zeros(image.shape[:-2] + self.canvas_shape, image.dtype)
        canvas[self._frame] = image
        return canvas

    def kernel_spectra(self, kernels: Real) -> Complex:
        """Fourier transform of kernels (types, slices, k1, k2)."""
        return spectra_of_small(kernels, self.canvas_shape)

    def turned_spectra(self, kernels: Real) -> Complex:
        """The conjugate of that: the transform of kernels turned by 180°, by which data are correlated."""
        rows = np.conj(fft.rfft(kernels, self.canvas_shape[1], axis=-1))
        spectra: Complex = fft.ifft(rows, self.canvas_shape[0], axis=-2, norm="forward", overwrite_x=True)
        return spectra

    def map_spectra(self, maps: Real) -> Complex:
        """Fourier transform of extended maps (types, n1 + k1 - 1, n2 + k2 - 1), or of canvases."""
        return self._spectra(maps)

    def _spectra(self, arrays: Real) -> Complex:
        return np.asarray(fft.rfft2(arrays, self.canvas_shape))

    def _inverse(self, spectra: Complex) -> Real:
        """Inverse transform; the spectra are overwritten."""
        # As `irfft2` does it, but columns in place: a copy of them is as dear as their transform.
        columns = fft.ifft(spectra, axis=-2, norm="forward", overwrite_x=True)
        image: Real = fft.irfft(columns, self.canvas_shape[1], norm="forward")
        image *= image.dtype.type(1 / (self.canvas_shape[0] * self.canvas_shape[1]))
        return image

    def predict(self, kernel_spectra: Complex, map_spectra: Complex) -> Real:
        """`Σ_k a_{k,s} ∗ x_k` on the canvas, (slices, rows, cols); right inside the frame only."""
        spectra = kernel_spectra * map_spectra[:, None]
        return self._inverse(spectra[0] if len(spectra) == 1 else spectra.sum(0))

    def correlate_kernels(self, kernel_spectra: Complex, residual: Real) -> Real:
        """Adjoint with respect to the maps: residual canvas (slices, …) to extended maps (types, …)."""
        return self.correlate_turned(np.conj(kernel_spectra), self.map_spectra(residual))

    def correlate_turned(self, turned_spectra: Complex, residual_spectra: Complex) -> Real:
        """The same from the residual's transform and that of turned kernels, which is overwritten."""
        turned_spectra *= residual_spectra
        total = turned_spectra[:, 0] if turned_spectra.shape[1] == 1 else turned_spectra.sum(1)
        return self._inverse(total)[..., : self.map_shape[0], : self.map_shape[1]]

    def correlate_maps(self, map_spectra: Complex, residual: Real) -> Real:
        """Adjoint with respect to the kernels: residual canvas (slices, …) to (types, slices, k1, k2)."""
        return self.correlate_spectra(map_spectra, self._spectra(residual))

    def correlate_spectra(self, map_spectra: Complex, residual_spectra: Complex) -> Real:
        """The same from the residual's transform."""
        spectra = np.conj(map_spectra)[:, None] * residual_spectra
        # Rows beyond the window need not be transformed back.
        rows = fft.ifft(spectra, axis=-2, overwrite_x=True)[..., : self.kernel_shape[0], :]
        return np.asarray(fft.irfft(rows, self.canvas_shape[1])[..., : self.kernel_shape[1]])


def spectra_of_small(arrays: Real, shape: tuple[int, int], device: Device = HOST) -> Complex:
    """Fourier transform of arrays padded to much more than their size: empty rows are left out."""
    rows = device.fft.rfft(arrays, shape[1], axis=-1)
    spectra: Complex = device.fft.fft(rows, shape[0], axis=-2, overwrite_x=True)
    return spectra


def largest_gain(spectra: Complex) -> float:
    """Bound of the squared norm of convolving with these kernels or maps, the result less its mean.

    The zero frequency is a constant on the canvas, which the bias in closed form takes away, so it does
    not count. `spectra` is (types, …, rows, cols); axes between are summed (slices share a map).
    """
    power = (spectra.real**2 + spectra.imag**2).reshape(spectra.shape[0], -1, *spectra.shape[-2:])
    power = power.sum((0, 1))
    power[0, 0] = 0
    return float(power.max())
