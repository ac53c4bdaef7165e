"""An image on too fine a grid, such as an interpolated one: every other pixel of it, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_sbd.core import stages
from napari_sbd.core.centre import centred
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.noise import noise_floor, whiteness
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.observation import Observation
from napari_sbd.core.parameters import SMALLEST_WINDOW, Parameters
from napari_sbd.core.sparsity import STRUCTURED
from napari_sbd.core.steps import Steps
from napari_sbd.core.subpixel import resolved, snap, with_cores_on_pixels
from napari_sbd.core.verdict import PIXEL_PRICE, residual_of

Real = NDArray[np.floating]

STEP = 2  # px, from one pixel to the next that is kept
OTHERS = (slice(None), slice(None, None, STEP), slice(None, None, STEP))
# Frequency in cycles per pixel beyond which there is less than this share of the mean power.
BEYOND, EMPTY = 0.4, 3e-4
CLEAR = 0.01  # of an image's power, below which what is left may be no noise
FADED = 16  # px, along the borders of the frame and the mask, where edges have all frequencies
SMALLEST_SIDE = 32  # px


def too_fine(data: Real, mask: NDArray[np.bool_]) -> bool:
    """Whether an image has next to no power at high frequencies, as if its pixels were interpolated.

    Its noise is then smooth over pixels, too; a noise-free image of smooth kernels looks the same.

    Parameters
    ----------
    data : array (slices, rows, cols)
    mask : array of bool (slices, rows, cols)

    Examples
    --------
    >>> from scipy import ndimage
    >>> noise = np.random.default_rng(0).normal(size=(1, 64, 64))
    >>> fine = ndimage.zoom(noise, (1, 2, 2), order=3)
    >>> too_fine(noise, np.ones(noise.shape, bool)), too_fine(fine, np.ones(fine.shape, bool))
    (False, True)
    """
    if min(data.shape[1:]) < STEP * SMALLEST_SIDE:
        return False
    along = [np.abs(fft.fftfreq(n)) for n in data.shape[1:]]
    high = np.maximum(along[0][:, None], along[1]) > BEYOND
    for image, inside in zip(data, mask, strict=True):
        if inside.any():
            power = np.abs(fft.fft2((image - image[inside].mean()) * _faded(inside))) ** 2
            if power[high].mean() > EMPTY * power.mean():
                return False
    return True


def _faded(inside: NDArray[np.bool_]) -> Real:
    """Weights that rise from 0 where a mask (rows, cols) or the frame ends to 1."""
    apart = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    return np.asarray(np.sin(np.pi / 2 * np.minimum(apart / FADED, 1)) ** 2)


def every_other(seen: Observation) -> Observation:
    """The image on every other pixel."""
    rows, cols = seen.pixel_size
    size = STEP * rows, STEP * cols
    return replace(seen, data=seen.data[OTHERS].copy(), mask=seen.mask[OTHERS].copy(), pixel_size=size)


def halved(parameters: Parameters) -> Parameters | None:
    """The same settings for every other pixel; None where the window would be too small."""
    if parameters.kernel_size is None:
        return parameters
    rows, cols = (-(-k // STEP) for k in parameters.kernel_size)
    if min(rows, cols) < SMALLEST_WINDOW:
        return None
    return replace(parameters, kernel_size=(rows, cols))


def fine_window(coarse: tuple[int, int]) -> tuple[int, int]:
    """The window of a kernel on all pixels, whose every other pixel a coarse one holds."""
    rows, cols = (STEP * (k - 1) + 1 for k in coarse)
    return rows, cols


def brought_back(raw: Objective, coarse: Iterate, penalty: Penalty) -> Steps:
    """What was found on every other pixel, on all pixels.

    Least squares show the kernels for the maps found; both are fitted between pixels once, and reweighted
    once. Defects that share an offset from the pixels come on to them, cores of symmetric
    kernels on to a pixel, and kernels to the middle.

    Parameters
    ----------
    raw : Objective
        The image, normalised, with a window of at least `fine_window`.
    coarse : Iterate
    penalty : Penalty
        At the level that the noise reaches on these pixels.
    """
    found = resolved(raw, fit_kernels(raw, _spread(raw, coarse)))
    found = yield from stages.reweighted(raw, found, penalty)
    snapped = with_cores_on_pixels(raw, snap(raw, found))
    if snapped is not found:
        found = yield from stages.reweighted(raw, snapped, penalty)
    return (yield from centred(raw, found, penalty))


def _spread(raw: Objective, coarse: Iterate) -> Real:
    """Maps of every other pixel on those of all; corners of patches stay where they are."""
    maps = np.zeros((len(coarse.maps), *raw.convolution.map_shape), coarse.maps.dtype)
    pairs = zip(raw.convolution.kernel_shape, fine_window(coarse.kernels.shape[-2:]), strict=True)
    first = [own - least for own, least in pairs]
    rows, cols = (slice(f, f + STEP * n, STEP) for f, n in zip(first, coarse.maps.shape[1:], strict=True))
    maps[:, rows, cols] = coarse.maps
    return maps


def noise_reaches(coarse: Objective) -> float:
    """Level that noise alone reaches in the output of a matched filter, where the image is crowded."""
    places = max(2, int(coarse.mask.any(0).sum()))
    return noise_floor(coarse.data, coarse.mask) * float(np.sqrt(2 * np.log(places)))


def leaves_white(coarse: Objective, found: Iterate) -> bool:
    """Whether what is left on every other pixel is white: then it is noise, and the grid the image's own.

    Not where it is so little that the image may have no noise at all.
    """
    rest = residual_of(coarse, found)
    little = misfit(rest) < CLEAR * misfit(np.where(coarse.mask, coarse.data, 0))
    return not little and whiteness(rest, coarse.mask) <= STRUCTURED


def cost(raw: Objective, found: Iterate) -> float:
    """Misfit and price of kernels and activations, counting every other pixel: no more are independent.

    An activation costs its place among all.
    """
    samples = raw.mask.sum() / STEP**2
    left = max(misfit(residual_of(raw, found)), float(np.finfo(np.float32).tiny))
    price = PIXEL_PRICE * found.kernels.size / STEP**2 + 2 * np.log(samples) * np.count_nonzero(found.maps)
    return float(samples * np.log(left) + price)


def enlarged(array: Real, shape: tuple[int, int]) -> Real:
    """Kernels of every other pixel, roughly, as a picture on all.

    Examples
    --------
    >>> enlarged(np.array([[1.0, 2.0]]), (1, 3)).tolist()
    [[1.0, 1.0, 2.0]]
    """
    return array.repeat(STEP, -2).repeat(STEP, -1)[..., : shape[0], : shape[1]]
