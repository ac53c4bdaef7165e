"""Pairs of sites whose patches overlap, by their lag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.sites import Sites

Index = NDArray[np.intp]

FEW = 100  # sites up to which all pairs are tried


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs (first, second), each site with itself included, sorted by the first.

    `lag` is the flat index of `place of first - place of second` in a table (2 k1 - 1, 2 k2 - 1) whose middle
    is lag zero; those of site i are the pairs from `bounds[i]` to `bounds[i + 1]`.
    """

    first: Index
    second: Index
    lag: Index
    bounds: Index


def overlapping(sites: Sites, window: tuple[int, int]) -> Pairs:
    """All pairs of sites less than a window apart.

    Examples
    --------
    >>> kinds = np.zeros(3, int)
    >>> pairs = overlapping(Sites(kinds, np.array([0, 2, 9]), np.array([0, 1, 9])), (3, 3))
    >>> list(zip(pairs.first.tolist(), pairs.second.tolist()))
    [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]
    """
    k1, k2 = window
    if len(sites) <= FEW:
        down = sites.rows[:, None] - sites.rows
        right = sites.cols[:, None] - sites.cols
        near = np.flatnonzero((np.abs(down) < k1) & (np.abs(right) < k2))
        ends = np.arange(len(sites) + 1) * len(sites)
        counts = np.diff(np.searchsorted(near, ends))
        second = near - np.repeat(ends[:-1], counts)
    else:
        second, counts = _in_cells(sites, window)
    # Numbered like this, the difference of two places is their lag.
    places = sites.rows * (2 * k2 - 1) + sites.cols
    lag = np.repeat(places + ((k1 - 1) * (2 * k2 - 1) + k2 - 1), counts)
    lag -= places.take(second)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    return Pairs(np.repeat(np.arange(len(sites)), counts), second, lag, bounds)


def _in_cells(sites: Sites, window: tuple[int, int]) -> tuple[Index, Index]:
    """The second of all pairs, by the first, and how many each has.

    In columns a window wide sites are in order of their rows: all that is near stands in pieces of three.
    """
    (k1, k2), rows = window, sites.rows
    cells, length = sites.cols // k2, int(rows.max()) + 1
    places, size = cells * length + rows, (int(cells.max()) + 1) * length
    order = np.argsort(places, kind="stable")
    # How many sites stand before each place, with an empty cell on either side.
    before = np.concatenate([[0], np.bincount(places, minlength=size).cumsum()])
    corners = np.add.outer(cells, [-1, 0, 1]) * length
    low, high = np.maximum(rows - k1 + 1, 0)[:, None], np.minimum(rows + k1, length)[:, None]
    begin = before.take(corners + low, mode="clip")
    tried = before.take(corners + high, mode="clip") - begin
    ends = np.cumsum(tried).reshape(tried.shape)
    numbers = np.repeat((begin - ends + tried).ravel(), tried.ravel())
    numbers += np.arange(len(numbers))
    apart = sites.cols.take(order).take(numbers)
    apart -= np.repeat(sites.cols, tried.sum(1))
    near = np.abs(apart) < k2
    first = np.concatenate([[0], ends[:-1, -1]])
    return order.take(numbers[near]), np.add.reduceat(near, first, dtype=np.intp)
