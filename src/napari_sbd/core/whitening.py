"""Whitening: a filter that flattens the image's spectrum, so that overlapping defects come apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_sbd.core.noise import noise_floor, white_noise

Real = NDArray[np.floating]

FLOOR = 0.1  # of the mean power, below which a frequency is not raised further
LITTLE_NOISE = (
    5e-3  # of the power, up to which an image is clear: NaFeAs has 0.027, noise-free fields up to 2e-4
)
SHARPEST = 3e-3  # the same, of an image that is to be sharp; its noise's share of the power if that is more
TAPER = 0.25  # share of the image's side that is faded out before its spectrum is taken
SMALLEST_NOISE = 1e-3  # of the image's deviation, for noise-free images


@dataclass(frozen=True)
class Whitened:
    """Whitened image (slices, rows, cols) of unit deviation, and the deviation of its noise.

    `share` is the noise's share of the power of the image as given, of several slices the largest.
    """

    data: Real
    noise: float
    share: float

    @property
    def clear(self) -> bool:
        """Whether there is little noise."""
        return self.share <= LITTLE_NOISE


def whiten(data: Real, mask: NDArray[np.bool_], window: tuple[int, int], sharp: bool = False) -> Whitened:
    """Divide each slice by the square root of its smoothed power spectrum, where that rises above the noise.

    A convolution stays a convolution: kernels are filtered, activation maps stay. The filter is
    `(P - σ²)₊ / P / √(P + 0.1 mean P)` with P the power spectrum smoothed over the resolution of the window.

    Parameters
    ----------
    data : array (slices, rows, cols)
        Image less its mean.
    mask : array of bool (slices, rows, cols)
        True where a pixel counts; others are filled with their nearest neighbour first.
    window : tuple of int
        Window of the kernel.
    sharp : bool
        Whether frequencies of little power are raised as far as noise allows, instead of to 0.1 mean P.
    """
    filtered = np.empty_like(data)
    power, share = 0.0, 0.0
    for number, (image, inside) in enumerate(zip(data, mask, strict=True)):
        spread = float(image[inside].std())
        noise = max(noise_floor(image[None], inside[None]), SMALLEST_NOISE * spread)
        filtered[number], gain = _filter(_filled(image, inside), noise, window, sharp)
        power += (noise * gain) ** 2
        share = max(share, (noise / spread) ** 2 if spread > 0 else 1.0)
    scale = float(filtered[mask].std())
    if not scale > 0:
        return Whitened(data, white_noise(data, mask), share)
    return Whitened(filtered / scale, float(np.sqrt(power / len(data))) / scale, share)


def _filled(image: Real, inside: NDArray[np.bool_]) -> Real:
    if inside.all():
        return image
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def _filter(image: Real, noise: float, window: tuple[int, int], sharp: bool) -> tuple[Real, float]:
    """The whitened image, and the root mean square of the filter's response."""
    padded = _extended(image, window, noise)
    shape = tuple(fft.next_fast_len(n, real=True) for n in padded.shape)
    power = _power_on(image, window, shape)
    wiener = np.maximum(power - noise**2, 0) / np.maximum(power, noise**2)
    floor = max(SHARPEST * power.mean(), noise**2) if sharp else FLOOR * power.mean()
    response = wiener / np.sqrt(power + floor)
    flat = fft.irfft2(fft.rfft2(padded, shape) * response[:, : shape[1] // 2 + 1], shape)
    rows, cols = (slice(k, k + n) for k, n in zip(window, image.shape, strict=True))
    return np.asarray(flat[rows, cols]), float(np.sqrt(np.mean(response**2)))


def _extended(image: Real, window: tuple[int, int], noise: float) -> Real:
    """The image, reflected beyond its border.

    With little noise at a point, since the kink of a mirror would become sharp and bright; else the noise of
    a pixel at the border would be carried far out.
    """
    turned: Literal["even", "odd"] = "odd" if noise**2 <= LITTLE_NOISE * image.var() else "even"
    margins = [(k, k) for k in window]
    if all(k < n for k, n in zip(window, image.shape, strict=True)):
        return np.pad(image, margins, mode="reflect", reflect_type=turned)
    return np.pad(image, margins, mode="edge")


def _power_on(image: Real, window: tuple[int, int], shape: tuple[int, ...]) -> Real:
    """Smoothed power spectrum per pixel (noise of variance σ² gives σ²), on the frequencies of `shape`."""
    from scipy.signal.windows import tukey  # slow to import, and of use to crowded images only

    taper = np.outer(*(tukey(n, TAPER) for n in image.shape))
    faded = (image - image.mean()) * taper
    power = np.abs(fft.fft2(faded)) ** 2 / np.sum(taper**2)
    widths = [n / (4 * k) for n, k in zip(image.shape, window, strict=True)]
    smooth = fft.fftshift(ndimage.gaussian_filter(power, widths, mode="wrap"))
    places = [fft.fftfreq(m) * n + n // 2 for m, n in zip(shape, image.shape, strict=True)]
    grid = np.meshgrid(*places, indexing="ij")
    return np.maximum(ndimage.map_coordinates(smooth, grid, order=1, mode="grid-wrap"), 0)
