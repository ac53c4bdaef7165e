"""Random fields of defects: Bernoulli positions, linear convolution, white noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft
from scipy.signal import fftconvolve

from napari_sbd.simulate._validation import checked_shape
from napari_sbd.simulate.ldos import PIXEL_NM
from napari_sbd.simulate.sample import FloatArray, IntArray, Sample, marked_map


@dataclass(frozen=True)
class _Defects:
    """Defects of a field, those outside the frame included; positions count from the frame's first pixel."""

    positions: FloatArray
    types: IntArray
    amplitudes: FloatArray


def random_field(
    kernels: ArrayLike,
    shape: Sequence[int],
    density: float | Sequence[float],
    *,
    snr_db: float | None = 20.0,
    seed: int = 0,
    signed: bool = False,
    bias: float = 0.0,
    outside: bool = False,
    subpixel: bool = False,
    amplitude_spread: float = 0.0,
    pixel_size: tuple[float, float] = (PIXEL_NM, PIXEL_NM),
) -> Sample:
    """Return a field of defects at random places with known truth: the model's own image, plus white noise.

    The usual test of blind deconvolution: each pixel carries a defect of each type with probability `density`
    (Bernoulli); the image is the kernels' linear convolution with the activation map, the kernel's centre at
    index ``(k - 1) // 2``.

    Parameters
    ----------
    kernels : (k1, k2) or (types, k1, k2) array_like
        One kernel or one per defect type; each is scaled to unit Frobenius norm.
    shape : (rows, cols)
        Shape of the image in pixels.
    density : float or one float per type
        Probability of a defect at a pixel, above 0 and at most 1 (0 is allowed for single types of several).
    snr_db : float or None
        10 log10 of var(clean image) / var(noise). None: no noise.
    seed : int
        Seed of positions, amplitudes and noise.
    signed : bool
        Give amplitudes random signs.
    bias : float
        Constant added to the image.
    outside : bool
        Cut the image out of a field that is larger by the window on each side, so that defects outside the
        frame reach in. By default there are none outside.
    subpixel : bool
        Put the defects at continuous positions, by band-limited (Fourier) shifts of the kernel, instead of on
        pixels.
    amplitude_spread : float
        Amplitudes are uniform in 1 +- this number, 0 up to below 1.
    pixel_size : (row, col)
        Size of a pixel in nm.

    Returns
    -------
    Sample
        Positions, types and amplitudes are those inside the frame; `extended_activations` holds the ones
        outside too.

    Raises
    ------
    ValueError
        If an input is out of range, a kernel is empty, or not a single defect was drawn.

    References
    ----------
    Zhang et al., On the Global Geometry of Sphere-Constrained Sparse Blind Deconvolution, CVPR 2017.

    Examples
    --------
    >>> from napari_sbd.simulate import ldos_kernel
    >>> field = random_field(ldos_kernel(25), (128, 128), density=0.005, snr_db=10, seed=3)
    >>> field.image.shape, bool(9.5 < 10 * np.log10(field.clean.var() / field.noise_std**2) < 10.5)
    ((128, 128), True)
    """
    unit = unit_kernels(kernels)
    frame = checked_shape(shape)
    densities = _checked_densities(density, len(unit))
    if not 0 <= amplitude_spread < 1:
        raise ValueError(f"amplitude_spread is {amplitude_spread}; give a number from 0 to below 1")
    rng = np.random.default_rng(seed)
    margin = np.array(unit.shape[1:]) * outside
    defects = _drawn(rng, frame, margin, densities, subpixel)
    defects = _with_amplitudes(rng, defects, amplitude_spread, signed)
    extended = marked_map(defects.positions, defects.types, defects.amplitudes, frame, unit.shape)
    clean = bias + (_shifted_sum(unit, defects, frame) if subpixel else convolved(extended, unit))
    if not clean.var() > 0:
        raise ValueError(
            f"density {density} put no defect into {frame} with seed {seed}; raise it or change the seed"
        )
    inside = np.all((defects.positions >= -0.5) & (defects.positions < np.array(frame) - 0.5), axis=1)
    noise_std = 0.0 if snr_db is None else float(clean.std() * 10 ** (-snr_db / 20))
    return Sample(
        name="field",
        image=clean + noise_std * rng.standard_normal(frame),
        clean=clean,
        kernels=unit,
        positions=defects.positions[inside],
        types=defects.types[inside],
        amplitudes=defects.amplitudes[inside],
        extended_activations=extended,
        pixel_size=pixel_size,
        value_unit="a.u.",
        noise_std=noise_std,
        seed=seed,
    )


def unit_kernels(kernels: ArrayLike) -> FloatArray:
    """Return kernels as (types, k1, k2), each of unit norm, or raise ValueError saying what is wrong."""
    stack = np.asarray(kernels, float)
    stack = stack[None] if stack.ndim == 2 else stack
    if stack.ndim != 3 or stack.size == 0:
        raise ValueError(f"kernels has shape {np.shape(kernels)}; give (k1, k2) or (types, k1, k2)")
    norms = np.linalg.norm(stack, axis=(1, 2), keepdims=True)
    if not np.all(np.isfinite(norms)) or np.any(norms == 0):
        raise ValueError("kernels holds a kernel that is zero or not finite; leave it out")
    return np.asarray(stack / norms)


def convolved(extended: FloatArray, kernels: FloatArray) -> FloatArray:
    """Return the image of an extended activation map: the "valid" convolutions, summed over the types."""
    images = [fftconvolve(x, a, "valid") for x, a in zip(extended, kernels, strict=True)]
    return np.asarray(np.sum(images, axis=0))


def _checked_densities(density: float | Sequence[float], types: int) -> FloatArray:
    densities = np.atleast_1d(np.asarray(density, float))
    densities = np.repeat(densities, types) if len(densities) == 1 else densities
    if len(densities) != types:
        raise ValueError(
            f"density has {len(densities)} values for {types} kernels; give one, or one per kernel"
        )
    if not np.all((densities >= 0) & (densities <= 1)) or not densities.any():
        raise ValueError(f"density is {density}; give a probability per pixel, above 0 and at most 1")
    return densities


def _drawn(
    rng: np.random.Generator, frame: tuple[int, int], margin: IntArray, densities: FloatArray, subpixel: bool
) -> _Defects:
    larger = np.array(frame) + 2 * margin
    places = []
    for theta in densities:
        if subpixel:
            count = rng.binomial(int(larger.prod()), theta)
            places.append(rng.uniform(-0.5, larger - 0.5, (count, 2)))
        else:
            places.append(np.argwhere(rng.random(larger) < theta).astype(float))
    types = np.repeat(np.arange(len(densities)), [len(p) for p in places])
    return _Defects(np.concatenate(places) - margin, types, np.ones(len(types)))


def _with_amplitudes(rng: np.random.Generator, defects: _Defects, spread: float, signed: bool) -> _Defects:
    amplitudes = 1 + spread * rng.uniform(-1, 1, len(defects.types))
    if signed:
        amplitudes *= rng.choice([-1.0, 1.0], len(amplitudes))
    return _Defects(defects.positions, defects.types, amplitudes)


def _shifted_sum(kernels: FloatArray, defects: _Defects, frame: tuple[int, int]) -> FloatArray:
    """Sum of kernels shifted to continuous positions, each shift exact for the kernel's Fourier series."""
    window = np.array(kernels.shape[1:])
    # Odd lengths have no Nyquist frequency, at which a shift by a fraction of a pixel is ambiguous; two
    # windows of margin a side keep defects outside the frame from coming back in at the other end.
    size = tuple(int(n) for n in (np.array(frame) + 4 * window) | 1)
    spectrum = np.zeros((size[0], size[1] // 2 + 1), complex)
    for kind, kernel in enumerate(kernels):
        chosen = defects.types == kind
        first = defects.positions[chosen] - (window - 1) // 2 + window
        rows = np.exp(-2j * np.pi * np.outer(first[:, 0], fft.fftfreq(size[0])))
        cols = np.exp(-2j * np.pi * np.outer(first[:, 1], fft.rfftfreq(size[1])))
        spectrum += ((rows * defects.amplitudes[chosen, None]).T @ cols) * fft.rfft2(kernel, size)
    image = fft.irfft2(spectrum, size)
    cut: FloatArray = image[window[0] : window[0] + frame[0], window[1] : window[1] + frame[1]]
    return cut
