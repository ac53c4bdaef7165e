"""Pairs of sites whose patches overlap, by their lag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.sites import Sites

Index = NDArray[np.intp]

FEW = 100  # sites up to which all pairs are tried
MOST_TRIED = 2**22  # pairs in bands of rows, up to which these are faster than a tree


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs (first, second), each site with itself included, sorted by the first.

    `lag` is the flat index of `place of first - place of second` in a table (2 k1 - 1, 2 k2 - 1) whose middle
    is lag zero.
    """

    first: Index
    second: Index
    lag: Index


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
        first, second = np.nonzero((np.abs(down) < k1) & (np.abs(right) < k2))
    else:
        near = _in_bands(sites, window)
        one, other = _in_tree(sites, window) if near is None else near
        itself = np.arange(len(sites))
        first = np.concatenate([itself, one, other])
        second = np.concatenate([itself, other, one])
        # Of numbers of 16 bits a stable sort is one by digits, which is many times faster.
        order = np.argsort(first.astype(np.uint16) if len(sites) < 2**16 else first, kind="stable")
        first, second = first[order], second[order]
    # Numbered like this, the difference of two places is their lag.
    places = sites.rows * (2 * k2 - 1) + sites.cols
    return Pairs(first, second, places[first] - places[second] + (k1 - 1) * (2 * k2 - 1) + k2 - 1)


def _in_bands(sites: Sites, window: tuple[int, int]) -> tuple[Index, Index] | None:
    """Each pair once: of all sites fewer rows apart, those near enough in columns; None where these are many.

    Sites in order of their rows only.
    """
    count, (k1, k2) = len(sites), window
    if np.any(np.diff(sites.rows) < 0):
        return None
    behind = np.searchsorted(sites.rows, sites.rows + k1) - np.arange(1, count + 1)
    total = int(behind.sum())
    if total > MOST_TRIED:
        return None
    cols = sites.cols.astype(np.int32)
    first = np.repeat(np.arange(count, dtype=np.int32), behind)
    begin = np.cumsum(behind) - behind - np.arange(1, count + 1)
    second = np.arange(total, dtype=np.int32) - np.repeat(begin.astype(np.int32), behind)
    near = np.flatnonzero(np.abs(cols[first] - cols[second]) < k2)
    return first[near].astype(np.intp), second[near].astype(np.intp)


def _in_tree(sites: Sites, window: tuple[int, int]) -> tuple[Index, Index]:
    """The same of sites in any order."""
    places = np.column_stack([sites.rows / window[0], sites.cols / window[1]])
    near = spatial.KDTree(places).query_pairs(1 - 0.5 / max(window), p=np.inf, output_type="ndarray")
    return near[:, 0], near[:, 1]
