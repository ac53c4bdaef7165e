"""Initial kernels: salient patches of the data itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sbd.core.parameters import SMALLEST_WINDOW
from napari_sbd.core.sphere import project
from napari_sbd.core.tiles import bands

if TYPE_CHECKING:
    from napari_sbd.core.domain import Domain

Real = NDArray[np.floating]

QUIET_PERCENTILE = 20
SMALL = 1024  # px, of a side up to which a product with a matrix smooths
PIECE = 64  # rows of such a matrix that are taken together
BLOCKS = 8  # of a window's side, in which the energy of a large image is summed


def taper(shape: tuple[int, int]) -> Real:
    """Hann window without its zero ends: a patch that ends in a cut defect starts a wrong kernel."""
    rows, cols = (np.hanning(n + 2)[1:-1] for n in shape)
    return np.outer(rows, cols)


def salience(data: Real, mask: NDArray[np.bool_], shape: tuple[int, int]) -> Real:
    """Tapered energy around each pixel (rows, cols) above the quiet background; zero where masked."""
    if mask.all():
        smooth = _smoothed_energy(data, shape)
        energy = smooth.astype(float)
        energy -= _quiet(smooth.ravel())
        return np.asarray(np.maximum(energy, 0, out=energy))
    seen = mask.any(0)
    energy = _smoothed_energy(data, shape, mask).astype(float)
    energy -= _quiet(energy[seen])
    np.maximum(energy, 0, out=energy)
    energy[~seen] = 0
    return energy


def _smoothed_energy(data: Real, shape: tuple[int, int], mask: NDArray[np.bool_] | None = None) -> Real:
    """Energy around each pixel (rows, cols); of small images in single precision."""
    small = max(data.shape[1:]) <= SMALL
    if mask is None and len(data) == 1:
        # Of one slice the sum is the slice; passes over all pixels cost as much as the smoothing.
        energy = np.square(data[0], dtype=data.dtype if small else float)
    else:
        energy = np.square(data, dtype=float).sum(0, where=True if mask is None else mask)
    if small:
        return _smoothed(energy.astype(np.float32, copy=False), shape)
    for axis in range(2):
        energy = ndimage.convolve1d(energy, _weights(shape[axis]), axis=axis, mode="reflect")
    return np.asarray(energy)


def _smoothed(energy: Real, window: tuple[int, int]) -> Real:
    """Weighted means over windows, by products with band matrices, of which only the band is gone through."""
    half, smooth = np.empty_like(energy), np.empty_like(energy)
    for some, near, weights in _pieces(energy.shape[0], window[0]):
        np.matmul(weights, energy[near], out=half[some])
    for some, near, weights in _pieces(energy.shape[1], window[1]):
        smooth[:, some] = half[:, near] @ weights.T
    return smooth


def _quiet(energy: Real) -> float:
    """Its percentile of the quiet background: NumPy's, in a fraction of its time."""
    at = QUIET_PERCENTILE / 100 * (energy.size - 1)
    above = min(int(at) + 1, energy.size - 1)
    parted = np.partition(energy, above)
    low, high = float(parted[: max(above, 1)].max()), float(parted[above])
    return low + (at - int(at)) * (high - low)


def _weights(window: int) -> Real:
    weights = np.hanning(window + 2)[1:-1]
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=8)
def _pieces(size: int, window: int) -> list[tuple[slice, slice, Real]]:
    """The matrix that smooths along an axis, for small images faster than a convolution, in pieces.

    Each has some of its rows, and the columns in which these are not zero.
    """
    matrix = ndimage.convolve1d(np.eye(size, dtype=np.float32), _weights(window), axis=0, mode="reflect")
    pieces, reach = [], window // 2 + 1
    for first in range(0, size, PIECE):
        some, near = slice(first, first + PIECE), slice(max(first - reach, 0), first + PIECE + reach)
        pieces.append((some, near, np.ascontiguousarray(matrix[some, near])))
    return pieces


def coarse_energy(data: Real, mask: NDArray[np.bool_], shape: tuple[int, int]) -> tuple[Real, int]:
    """Tapered energy around a pixel of every block of some pixels a side, and how many: for large images.

    What windows hold changes little from pixel to pixel, so an eighth of a window is fine enough.
    """
    step = max(1, min(shape) // BLOCKS)
    rows, cols = (n // step for n in data.shape[1:])
    energy, whole = np.zeros((rows, cols)), bool(mask.all())
    for some in bands((rows, cols * step * step)):
        fine = slice(some.start * step, some.stop * step)
        for image, seen in zip(data, mask, strict=True):
            part = np.square(image[fine, : cols * step])
            if not whole:
                part *= seen[fine, : cols * step]
            # First along the rows, which lie one behind the other in memory.
            energy[some] += part.reshape(-1, step, cols * step).sum(1).reshape(-1, cols, step).sum(2)
    energy /= step**2
    window = [np.hanning(max(1, n // step) + 2)[1:-1] for n in shape]
    for axis in range(2):
        energy = ndimage.convolve1d(energy, window[axis] / window[axis].sum(), axis=axis, mode="reflect")
    return energy, step


def salient_patches(
    data: Real, mask: NDArray[np.bool_], shape: tuple[int, int], count: int, rng: np.random.Generator
) -> list[Real]:
    """Up to `count` tapered unit-norm patches (1, slices, k1, k2), where the image is rich in energy.

    A patch of the data is a superposition of few shift truncations of the kernel (Lau et al., 2020).
    """
    return patches_at(data, mask, shape, salient_places(data, mask, shape, count, rng))


def salient_places(
    data: Real, mask: NDArray[np.bool_], shape: tuple[int, int], count: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Draw up to `count` pixels (row, col) with a probability proportional to `salience`.

    They are at least half a window apart.
    """
    chance = salience(data, mask, shape)
    places: list[tuple[int, int]] = []
    while len(places) < count:
        # The row first, then the place in it: that is the same law.
        above = chance.sum(1).cumsum()
        if not above[-1] > 0:
            break
        drawn = rng.random() * above[-1]
        row = min(int(np.searchsorted(above, drawn, side="right")), len(above) - 1)
        left = drawn - (above[row - 1] if row else 0.0)
        col = int(np.searchsorted(chance[row].cumsum(), left, side="right"))
        places.append((row, min(col, chance.shape[1] - 1)))
        _forbid(chance, *places[-1], shape)
    return places


def patches_at(
    data: Real, mask: NDArray[np.bool_], shape: tuple[int, int], places: list[tuple[int, int]]
) -> list[Real]:
    """The tapered unit-norm patches (1, slices, k1, k2) around these pixels."""
    padded = np.pad(np.where(mask, data, 0), [(0, 0)] + [(k // 2, k - 1 - k // 2) for k in shape])
    weight = taper(shape)
    cut = [padded[None, :, row : row + shape[0], col : col + shape[1]] * weight for row, col in places]
    return [project(patch).astype(data.dtype) for patch in cut if np.any(patch)]


def _forbid(chance: Real, row: int, col: int, shape: tuple[int, int]) -> None:
    half = [max(1, n // 2) for n in shape]
    chance[max(0, row - half[0]) : row + half[0] + 1, max(0, col - half[1]) : col + half[1] + 1] = 0


@dataclass(frozen=True)
class Starts:
    """What the user gives to begin with: boxes of the image, or kernels.

    Parameters
    ----------
    boxes : array (n, 2, 2)
        Corners ((row, col), (row, col)) in pixels.
    kernels : tuple of array (slices, k1, k2)
        Kernels known before.
    """

    boxes: Real
    kernels: tuple[Real, ...] = ()

    @property
    def window(self) -> tuple[int, int] | None:
        """Odd window in which the largest of what was given fits; None where nothing was."""
        sizes = [np.ceil(np.abs(box[1] - box[0])).astype(int) for box in self.boxes]
        sizes += [np.array(kernel.shape[-2:]) for kernel in self.kernels]
        if not sizes:
            return None
        rows, cols = np.maximum(np.max(sizes, axis=0), SMALLEST_WINDOW)
        if self.kernels and not len(self.boxes):
            return int(rows), int(cols)
        return int(rows) | 1, int(cols) | 1

    def patches(self, domain: Domain) -> list[Real]:
        """Unit-norm patches (1, slices, k1, k2) of a domain's data, or the kernels as they show in it."""
        part, window = domain.part, domain.part.convolution.kernel_shape
        boxed = [_boxed(domain.whole.data, domain.whole.mask, box, window) for box in self.boxes]
        known = [domain.from_raw(_fitted(kernel, window)) for kernel in self.kernels]
        seen = [domain.in_part(patch) for patch in (*boxed, *known)]
        return [project(patch).astype(part.data.dtype) for patch in seen if np.any(patch)]


NO_STARTS = Starts(np.empty((0, 2, 2)))


def given_starts(start: Any, shape: tuple[int, int], slices: int) -> Starts:
    """Check what a user gives as `start`.

    Parameters
    ----------
    start : array-like, Recovery or None
    shape : tuple of int
        Rows and columns of the image.
    slices : int

    Raises
    ------
    ValueError
        If it is none of these, or a box lies outside the image.

    Examples
    --------
    >>> given_starts([[[2, 3], [12, 13]]], (40, 40), 1).window
    (11, 11)
    """
    if start is None:
        return NO_STARTS
    if hasattr(start, "kernels"):
        kernels = tuple(np.asarray(kernel, float) for kernel in start.kernels)
    else:
        given = np.asarray(start, float)
        if given.ndim == 3 and given.shape[1:] == (2, 2):
            return Starts(_checked_boxes(given, shape))
        if given.ndim not in (2, 3):
            raise ValueError(
                f"start has shape {given.shape}: pass boxes (n, 2, 2) as corners ((row, col), (row, col)), "
                "a kernel (k1, k2) or (slices, k1, k2), or a Recovery"
            )
        kernels = (given.reshape((-1, *given.shape[-2:])),)
    return Starts(NO_STARTS.boxes, tuple(_checked_kernel(kernel, shape, slices) for kernel in kernels))


def _checked_boxes(boxes: Real, shape: tuple[int, int]) -> Real:
    low, high = boxes.min(1), boxes.max(1)
    if not np.isfinite(boxes).all() or (high <= 0).any() or (low >= shape).any():
        raise ValueError(f"a box of start lies outside the image, {shape[0]}×{shape[1]} px")
    if ((high - low) < SMALLEST_WINDOW - 1).any():
        raise ValueError(f"a box of start is smaller than {SMALLEST_WINDOW} px: draw it round a whole defect")
    return np.stack([low, high], axis=1)


def _checked_kernel(kernel: Real, shape: tuple[int, int], slices: int) -> Real:
    if len(kernel) not in (1, slices):
        raise ValueError(f"start has {len(kernel)} slices and the image {slices}: pass one slice or as many")
    if any(k > n for k, n in zip(kernel.shape[1:], shape, strict=True)):
        raise ValueError("the kernel of start is larger than the image: crop it")
    if not np.isfinite(kernel).all() or not np.any(kernel):
        raise ValueError("the kernel of start is empty or not finite: pass a recovered kernel")
    return np.broadcast_to(kernel, (slices, *kernel.shape[1:]))


def _boxed(data: Real, mask: NDArray[np.bool_], box: Real, window: tuple[int, int]) -> Real:
    """The data inside a box, tapered, in the middle of the window."""
    margin = [(k, k) for k in window]
    padded = np.pad(np.where(mask, data, 0), [(0, 0), *margin])
    low = np.rint(box.mean(0)).astype(int) - [(k - 1) // 2 for k in window] + window
    patch = padded[None, :, low[0] : low[0] + window[0], low[1] : low[1] + window[1]]
    size = np.clip(np.rint(box[1] - box[0]).astype(int), SMALLEST_WINDOW, window)
    weight = _centred(taper((int(size[0]), int(size[1])))[None], window)[0]
    return np.asarray(patch * weight)


def _fitted(kernel: Real, window: tuple[int, int]) -> Real:
    """A kernel (1, slices, k1, k2) cut or zero-padded to the window about its middle."""
    return _centred(kernel, window)[None]


def _centred(array: Real, window: tuple[int, int]) -> Real:
    for axis, size in zip((1, 2), window, strict=True):
        have = array.shape[axis]
        before = max(0, (have - size) // 2)
        array = np.take(array, np.arange(before, before + min(have, size)), axis)
        missing = size - array.shape[axis]
        pads = [(0, 0)] * 3
        pads[axis] = (missing // 2, missing - missing // 2)
        array = np.pad(array, pads)
    return array
