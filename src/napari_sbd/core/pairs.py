"""Pairs of sites whose patches overlap, by their lag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.sites import Sites

Index = NDArray[np.intp]

FEW = 100  # sites up to which all pairs are tried


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
        places = np.column_stack([sites.rows / k1, sites.cols / k2])
        tree = spatial.KDTree(places)
        near = tree.query_pairs(1 - 0.5 / max(window), p=np.inf, output_type="ndarray")
        itself = np.arange(len(sites))
        first = np.concatenate([itself, near[:, 0], near[:, 1]])
        second = np.concatenate([itself, near[:, 1], near[:, 0]])
        # Of numbers of 16 bits a stable sort is one by digits, which is many times faster.
        order = np.argsort(first.astype(np.uint16) if len(sites) < 2**16 else first, kind="stable")
        first, second = first[order], second[order]
    down = sites.rows[first] - sites.rows[second] + k1 - 1
    right = sites.cols[first] - sites.cols[second] + k2 - 1
    return Pairs(first, second, down * (2 * k2 - 1) + right)
