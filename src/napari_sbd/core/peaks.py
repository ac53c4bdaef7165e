"""Peaks: which activations of a map are one defect, and how large a usual one is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from napari_sbd.core.noise import median, robust_std

Real = NDArray[np.floating]

SMOOTHING = 0.7  # px, of the map in which peaks are sought: joins what one defect split over neighbours
REACH = 1.5  # px around a peak whose activations are one defect
SPARSE_REACH = 2.3  # the same where defects are far apart
WEAKEST = 0.3  # amplitude over the typical one below which an activation is no defect
UNSPLIT = 0.5  # of the median activation, above which one of a sampled map is a defect
ALIKE = 0.6  # of the typical amplitude, below which one is odd where all others are alike
SEVERAL, SPREAD = 1.5, 0.2  # of the usual amplitude: what may be several, deviation of those alike
FEWEST_ALIKE = 8  # of one sign, to tell whether they are alike
BOXES = 512  # defects that are looked at together: memory stays bounded


@dataclass(frozen=True)
class Peaks:
    """Defects of one type: centres (n, 2) on the image's grid, row and col, and amplitudes (n,)."""

    centres: Real
    amplitudes: Real

    def chosen(self, which: NDArray[np.bool_]) -> Peaks:
        """The peaks where `which` is true."""
        return Peaks(self.centres[which], self.amplitudes[which])


def find_peaks(extended: Real, kernel_shape: tuple[int, int], alike: bool = False) -> Peaks:
    """Gather the activations of an extended map into defects.

    Strongest first, a maximum of the lightly smoothed map takes the activations around it: their sum is
    the amplitude, their centroid the centre.

    Parameters
    ----------
    extended : array (n1 + k1 - 1, n2 + k2 - 1)
        Activation map on the extended domain.
    kernel_shape : tuple of int
        Window of the kernel.
    alike : bool
        Whether close activations are defects of their own where each is like others, and their sum is not.

    Examples
    --------
    >>> extended = np.zeros((12, 12))
    >>> extended[5, 5:7] = 1, 3
    >>> peaks = find_peaks(extended, (3, 3))
    >>> peaks.centres.tolist(), peaks.amplitudes.tolist()
    ([[4.0, 4.75]], [4.0])
    """
    active = np.column_stack(np.divmod(np.flatnonzero(extended != 0), extended.shape[1]))
    if not len(active):
        return Peaks(np.empty((0, 2)), np.empty(0))
    summits, heights = _summits(extended, active)
    values = extended[tuple(active.T)].astype(float)
    owner = _owners(summits[np.argsort(-heights, kind="stable")], active, extended.shape)
    active, values, owner = active[owner >= 0], values[owner >= 0], owner[owner >= 0]
    if alike:
        owner = _apart(owner, active, values)
    weight, strength = np.abs(values), np.bincount(owner, values)
    there = strength != 0
    sums = [np.bincount(owner, weight * active[:, axis])[there] for axis in range(2)]
    centres = np.column_stack(sums) / np.bincount(owner, weight)[there, None]
    return Peaks(centres - [k // 2 for k in kernel_shape], strength[there])


def strong_activations(extended: Real, kernel_shape: tuple[int, int]) -> Peaks:
    """The activations of a map whose defects were sampled: each a defect, but for weak ones beside them.

    There defects sit a pixel or two apart, and none is split: `find_peaks` would take several for one.

    Examples
    --------
    >>> extended = np.zeros((12, 12))
    >>> extended[5, 5:8] = 4, 1, 3
    >>> strong_activations(extended, (3, 3)).centres.tolist()
    [[4.0, 4.0], [4.0, 6.0]]
    """
    active = np.argwhere(extended)
    values = extended[tuple(active.T)].astype(float)
    size = np.abs(values)
    strong = size >= UNSPLIT * median(size) if len(size) else size > 0
    return Peaks((active[strong] - [k // 2 for k in kernel_shape]).astype(float), values[strong])


def _owners(summits: NDArray[np.intp], active: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Number of the first summit near each activation; -1 where there is none."""
    reach, count = _reach(summits), len(summits)
    side = int(reach)
    steps = np.indices((2 * side + 1,) * 2).reshape(2, -1) - side
    steps = steps[:, (steps**2).sum(0) <= reach**2]
    # Zero but for the summits, the first of them highest: only what is written takes memory.
    ranks = np.zeros([n + 2 * side for n in shape], np.int32)
    ranks[tuple(summits.T + side)] = count - np.arange(count)
    down, right = (np.add.outer(at, step) + side for at, step in zip(active.T, steps, strict=True))
    best = ranks[down, right].max(1).astype(np.intp)
    return np.where(best > 0, count - best, -1)


def _apart(owner: NDArray[np.intp], active: NDArray[np.intp], values: Real) -> NDArray[np.intp]:
    """The same, but for activations of one summit that are each like other defects, as their sum is not.

    Where defects are alike, that tells close ones from one that is split over neighbouring pixels.
    """
    sums: Real = np.abs(np.bincount(owner, values))
    usual, spread = usual_amplitude(sums[sums > 0])
    owner, number = owner.copy(), len(sums)
    for group in np.flatnonzero(sums > SEVERAL * usual) if spread < SPREAD * usual else ():
        members = np.flatnonzero(owner == group)
        whole = members[np.abs(values[members]) >= ALIKE * usual]
        if len(whole) < 2:
            continue
        nearest = np.square(active[members, None] - active[whole]).sum(2).argmin(1)
        sizes: Real = np.abs(np.bincount(nearest, values[members]))
        if np.square(sizes - usual).sum() < (sums[group] - usual) ** 2:
            owner[members] = number + nearest
            number += len(whole)
    return owner


def _summits(extended: Real, active: NDArray[np.intp]) -> tuple[NDArray[np.intp], Real]:
    """Maxima of the lightly smoothed map (n, 2), and their heights; of sparse maps box by box.

    An activation with no other in its box is one.
    """
    half = round(4 * SMOOTHING) + 1  # of what an active pixel can make a maximum of
    side = 4 * half + 1
    if len(active) * side**2 > extended.size:
        smooth = ndimage.gaussian_filter(np.abs(extended), SMOOTHING, mode="constant")
        summits = np.argwhere((smooth == ndimage.maximum_filter(smooth, 3)) & (smooth > 0))
        return summits, smooth[tuple(summits.T)]
    tree = spatial.KDTree(active)
    apart = np.asarray(tree.query(active, [2], p=np.inf, distance_upper_bound=2 * half + 1)[0])[:, 0]
    alone, close = active[np.isinf(apart)], active[np.isfinite(apart)]
    found = [alone]
    heights = [np.abs(extended[tuple(alone.T)]) * _smoothed_point(half)]
    steps = np.arange(side) - 2 * half
    for first in range(0, len(close), BOXES):
        some = close[first : first + BOXES]
        rows, cols = (some[:, axis, None] + steps for axis in range(2))
        inside = [(i >= 0) & (i < n) for i, n in zip((rows, cols), extended.shape, strict=True)]
        whole = inside[0][:, :, None] & inside[1][:, None, :]
        at = (np.clip(i, 0, n - 1) for i, n in zip((rows, cols), extended.shape, strict=True))
        down, right = at
        boxes = np.where(whole, np.abs(extended[down[:, :, None], right[:, None, :]]), 0)
        smooth = ndimage.gaussian_filter(boxes, SMOOTHING, mode="constant", axes=(1, 2))
        smooth[~whole] = -1
        highest = ndimage.maximum_filter(smooth, 3, axes=(1, 2))
        middle = slice(half, side - half)
        top = ((smooth == highest) & (smooth > 0))[:, middle, middle]
        box, row, col = np.nonzero(top)
        found.append(some[box] + np.column_stack([row, col]) - half)
        heights.append(smooth[box, row + half, col + half])
    summits = np.concatenate(found)
    _, once = np.unique(summits[:, 0] * extended.shape[1] + summits[:, 1], return_index=True)
    return summits[once], np.concatenate(heights)[once]


@cache
def _smoothed_point(half: int) -> float:
    """Height of a single activation of one, lightly smoothed."""
    point = np.zeros((2 * half + 1,) * 2)
    point[half, half] = 1
    return float(ndimage.gaussian_filter(point, SMOOTHING, mode="constant")[half, half])


def _reach(summits: NDArray[np.intp]) -> float:
    if len(summits) < 2:
        return SPARSE_REACH
    nearest = np.asarray(spatial.KDTree(summits).query(summits, 2)[0])[:, 1]
    return SPARSE_REACH if np.percentile(nearest, 10) > 2 * SPARSE_REACH else REACH


def typical_amplitude(amplitudes: Real, power: int = 2) -> float:
    """Amplitude above which half of the sum of their powers lies: the many weak ones hardly count.

    Examples
    --------
    >>> typical_amplitude(np.array([0.01] * 50 + [2.0, 2.1, 2.2]))
    2.1
    """
    size = np.sort(np.abs(amplitudes))[::-1]
    if not len(size):
        return 0.0
    held = np.cumsum(size.astype(float) ** power)
    return float(size[np.searchsorted(held, held[-1] / 2)])


def usual_amplitude(sizes: Real) -> tuple[float, float]:
    """Median and deviation of those that are not weak; the latter infinite for less than eight.

    Examples
    --------
    >>> usual_amplitude(np.array([0.1] * 20 + [1.0, 1.1] * 5))[0]
    1.05
    """
    strong = sizes[sizes >= typical_amplitude(sizes) / 2]
    if len(strong) < FEWEST_ALIKE:
        return 0.0, np.inf
    return float(np.median(strong)), robust_std(strong)
