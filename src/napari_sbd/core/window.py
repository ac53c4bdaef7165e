"""Moves of the kernel's window: lift to a bigger sphere, recentre, crop; the maps follow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.sphere import project

Real = NDArray[np.floating]
Pair = tuple[int, int]

# Windows whose energy differs by less than this share of it hold the kernel equally well.
EQUAL_ENERGY = 1e-3


def lift(kernels: Real, maps: Real, margin: Pair) -> tuple[Real, Real]:
    """Zero-pad kernels by `margin` on each side, on to a bigger sphere, and their extended maps alike.

    The prediction stays the same (Zhang et al. 2017, section 3.2 and figure 3).
    """
    return padded(kernels, margin), padded(maps, margin)


def padded(array: Real, margin: Pair, after: Pair | None = None) -> Real:
    """Zeros round the last two axes, so many before them and `after` them, or as many if that is not given.

    A tenth of the time that `np.pad` takes for small arrays.
    """
    (rows, cols), (down, right), (up, left) = array.shape[-2:], margin, margin if after is None else after
    padded = np.zeros((*array.shape[:-2], down + rows + up, right + cols + left), array.dtype)
    padded[..., down : down + rows, right : right + cols] = array
    return padded


def crop(kernels: Real, maps: Real, shape: Pair) -> tuple[Real, Real]:
    """Cut the middle window of `shape` out of kernels, back to unit norm, and the maps that belong to it."""
    first = [(n - k) // 2 for n, k in zip(kernels.shape[-2:], shape, strict=True)]
    last = [n - k - f for n, k, f in zip(kernels.shape[-2:], shape, first, strict=True)]
    inside = kernels[..., first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    rows, cols = (slice(f, n - b) for f, b, n in zip(last, first, maps.shape[-2:], strict=True))
    return project(np.ascontiguousarray(inside)), np.ascontiguousarray(maps[..., rows, cols])


def recentre(kernels: Real, maps: Real, shape: Pair) -> tuple[Real, Real, bool]:
    """Move each kernel so that its window of largest energy is the middle one; maps move against it.

    Returns the moved kernels and maps, and whether anything moved.
    """
    kernels, moved = kernels.copy(), False
    middle = [(n - k) // 2 for n, k in zip(kernels.shape[-2:], shape, strict=True)]
    for number, kernel in enumerate(kernels):
        corner = richest_window(np.square(kernel, dtype=float).sum(0), shape)
        move = (middle[0] - corner[0], middle[1] - corner[1])
        if any(move):
            if not moved:
                maps, moved = maps.copy(), True
            kernels[number] = shift(kernel, move)
            maps[number] = shift(maps[number], (-move[0], -move[1]))
    return project(kernels), maps, moved


def middle_window(kernels: Real, window: Pair) -> tuple[Any, ...]:
    """Index of the middle window of the last two axes."""
    first = [(n - k) // 2 for n, k in zip(kernels.shape[-2:], window, strict=True)]
    return (..., *(slice(f, f + k) for f, k in zip(first, window, strict=True)))


def energy_gained(before: Real, after: Real, window: tuple[int, int]) -> float:
    """Largest gain of a kernel's energy inside the middle window, as a share of all of it."""
    inside = middle_window(before, window)
    energies = [np.square(kernels[inside], dtype=float).sum((1, 2, 3)) for kernels in (before, after)]
    return float((energies[1] - energies[0]).max())


def most_gained(kernels: Real, window: Pair) -> float:
    """The largest share of a kernel's energy that another window holds more than the middle one."""
    middle = [(n - k) // 2 for n, k in zip(kernels.shape[-2:], window, strict=True)]
    gains = []
    for kernel in kernels:
        held = _in_windows(np.square(kernel, dtype=float).sum(0), window)
        gains.append((held.max() - held[middle[0], middle[1]]) / max(float(held.max()), 1e-30))
    return float(max(gains))


def shift(array: Real, move: Pair) -> Real:
    """Move the last two axes by whole pixels; zeros come in, what leaves is lost.

    Examples
    --------
    >>> shift(np.array([[1, 2, 3]]), (0, 1)).tolist()
    [[0, 1, 2]]
    """
    moved = np.zeros_like(array)
    rows, cols = array.shape[-2:]
    down, right = move
    part = array[..., max(0, -down) : rows + min(0, -down), max(0, -right) : cols + min(0, -right)]
    moved[..., max(0, down) : rows + min(0, down), max(0, right) : cols + min(0, right)] = part
    return moved


def richest_window(energy: Real, shape: Pair) -> Pair:
    """Corner of the window of `shape` that holds most energy; of equal ones, the one best centred on it.

    Best centred means that the energy's centroid is nearest to the window's middle.
    """
    held = _in_windows(energy, shape)
    equal = held >= held.max() * (1 - EQUAL_ENERGY)
    if np.count_nonzero(equal) > 1:
        off = _off_centre(energy, shape, held)
        equal &= off <= off[equal].min()
    row, col = np.argwhere(equal)[0]
    return int(row), int(col)


def _in_windows(energy: Real, shape: Pair) -> Real:
    """Sum over every window."""
    sums = np.zeros((energy.shape[0] + 1, energy.shape[1] + 1))
    energy.cumsum(0).cumsum(1, out=sums[1:, 1:])
    rows, cols = shape
    return np.asarray(sums[rows:, cols:] - sums[:-rows, cols:] - sums[rows:, :-cols] + sums[:-rows, :-cols])


def _off_centre(energy: Real, shape: Pair, held: Real) -> Real:
    """Distance of the energy's centroid from the middle of every window."""
    offsets = []
    for axis in range(2):
        along = np.expand_dims(np.arange(energy.shape[axis], dtype=float), 1 - axis)
        middle = np.expand_dims(np.arange(held.shape[axis]) + (shape[axis] - 1) / 2, 1 - axis)
        offsets.append(_in_windows(energy * along, shape) - middle * held)
    return np.asarray(np.hypot(*offsets) / np.where(held > 0, held, 1))


def rewindowed(kernels: Real, maps: Real, window: Pair) -> tuple[Real, Real]:
    """Kernels in a window that is larger or smaller on all sides, back to unit norm, and their extended maps.

    What is new of a larger window is zero.

    Examples
    --------
    >>> kernels, maps = rewindowed(np.ones((1, 1, 3, 3)), np.ones((1, 12, 12)), (6, 3))
    >>> kernels.shape, maps.shape
    ((1, 1, 6, 3), (1, 15, 12))
    """
    first = [(new - old) // 2 for new, old in zip(window, kernels.shape[-2:], strict=True)]
    last = [new - old - f for new, old, f in zip(window, kernels.shape[-2:], first, strict=True)]
    if not any((*first, *last)):
        return kernels, maps
    return project(_framed(kernels, first, last)), _framed(maps, last, first)


def _framed(array: Real, first: list[int], last: list[int]) -> Real:
    """Zeros round the last two axes; where a number is negative, so much is cut off."""
    rows, cols = (
        slice(max(0, -f), n - max(0, -b)) for f, b, n in zip(first, last, array.shape[-2:], strict=True)
    )
    pads = [(0, 0)] * (array.ndim - 2) + [(max(0, f), max(0, b)) for f, b in zip(first, last, strict=True)]
    return np.pad(array[..., rows, cols], pads)
